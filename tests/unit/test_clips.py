"""Clips: what each shows, what each labels, and that holes and ends cut where they should."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.video import Sample
from vigilia.video.clips import Clip, ClipWindow, flush, push_sample

INTERVAL = 0.25


def sample(tick: int) -> Sample:
    pixels = np.full((2, 3, 3), tick, dtype=np.int64)  # a picture that says which one it is
    return Sample(pixels, tick * INTERVAL, tick * INTERVAL)


def window(clip_frames: int, stride_frames: int) -> ClipWindow:
    return ClipWindow(clip_frames, stride_frames, INTERVAL)


def cut(clip_frames: int, stride_frames: int, stretches: list[range]) -> list[Clip]:
    """Clips of stretches of ticks with holes between them."""
    clips, now = [], window(clip_frames, stride_frames)
    for ticks in stretches:
        for tick in ticks:
            now, clip = push_sample(now, sample(tick))
            clips.append(clip)
        now, clip = flush(now)
        clips.append(clip)
    return [clip for clip in clips if clip is not None]


def shown(clip: Clip) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in clip.frames]


def test_seven_samples_with_stride_two_and_clips_of_four_by_hand() -> None:
    clips = cut(4, 2, [range(7)])
    assert [shown(clip) for clip in clips] == [
        [0, 0, 0, 1],  # two frames exist yet: the first is repeated
        [0, 1, 2, 3],
        [2, 3, 4, 5],
        [3, 4, 5, 6],  # one sample is left over at the end
    ]
    assert [(clip.start_seconds, clip.end_seconds) for clip in clips] == [
        (0.0, 0.5),
        (0.5, 1.0),
        (1.0, 1.5),
        (1.5, 1.75),
    ]


def test_a_hole_after_three_samples_by_hand() -> None:
    clips = cut(4, 2, [range(3), range(9, 12)])
    assert [shown(clip) for clip in clips] == [
        [0, 0, 0, 1],
        [0, 0, 1, 2],
        [9, 9, 9, 10],
        [9, 9, 10, 11],
    ]
    assert [(clip.start_seconds, clip.end_seconds) for clip in clips] == [
        (0.0, 0.5),
        (0.5, 0.75),
        (2.25, 2.75),
        (2.75, 3.0),
    ]


def random_case(rng: random.Random) -> tuple[int, int, list[range]]:
    clip_frames = rng.randint(1, 12)
    stretches, tick = [], rng.randint(0, 5)
    for _ in range(rng.randint(1, 4)):
        length = rng.randint(1, 40)
        stretches.append(range(tick, tick + length))
        tick += length + rng.randint(1, 9)
    return clip_frames, rng.randint(1, clip_frames), stretches


def test_what_the_clips_label_tiles_the_observed_time_exactly() -> None:
    rng = random.Random(0)
    for _ in range(200):
        clip_frames, stride_frames, stretches = random_case(rng)
        clips = cut(clip_frames, stride_frames, stretches)
        labelled = [
            tick
            for clip in clips
            for tick in range(int(clip.start_seconds * 4), int(clip.end_seconds * 4))
        ]
        assert labelled == [tick for ticks in stretches for tick in ticks]
        for clip in clips:
            assert 0 < clip.end_seconds - clip.start_seconds <= stride_frames * INTERVAL
        for ticks in stretches:
            # Only a stretch's last clip may label less than a stride.
            own = [clip for clip in clips if ticks.start <= clip.start_seconds * 4 < ticks.stop]
            assert len(own) == -(-len(ticks) // stride_frames)
            for before, after in itertools.pairwise(own):
                assert before.end_seconds == after.start_seconds
                assert before.end_seconds - before.start_seconds == stride_frames * INTERVAL


def test_each_clip_shows_the_last_frames_of_its_own_side_of_the_hole() -> None:
    rng = random.Random(1)
    for _ in range(200):
        clip_frames, stride_frames, stretches = random_case(rng)
        for clip in cut(clip_frames, stride_frames, stretches):
            last = round(clip.end_seconds / INTERVAL) - 1
            [ticks] = [ticks for ticks in stretches if last in ticks]
            wanted = range(last - clip_frames + 1, last + 1)
            assert shown(clip) == [max(tick, ticks.start) for tick in wanted]


def test_no_clip_knows_a_later_frame() -> None:
    now = window(5, 2)
    for tick in range(30):
        now, clip = push_sample(now, sample(tick))
        if clip is not None:
            assert max(shown(clip)) == tick
            assert clip.end_seconds == (tick + 1) * INTERVAL


def test_a_window_is_a_value() -> None:
    rng = random.Random(2)
    for _ in range(50):
        old = window(4, 3)
        for tick in range(rng.randint(0, 9)):
            old, _ = push_sample(old, sample(tick))
        frames, copy = old.frames, replace(old)
        one, one_clip = push_sample(old, sample(50))
        flush(old)
        two, two_clip = push_sample(old, sample(50))
        assert old.frames is frames
        assert (old.fresh, old.start_seconds, old.last_seconds) == (
            copy.fresh,
            copy.start_seconds,
            copy.last_seconds,
        )
        assert len(one.frames) == len(two.frames) <= 4
        assert (one_clip is None) == (two_clip is None)
        if one_clip is not None and two_clip is not None:
            assert shown(one_clip) == shown(two_clip)


def test_the_window_never_holds_more_than_a_clip() -> None:
    now = window(6, 2)
    for tick in range(100):
        now, _ = push_sample(now, sample(tick))
        assert len(now.frames) == min(tick + 1, 6)


def test_flushing_twice_or_an_empty_window_gives_nothing() -> None:
    now, clip = flush(window(4, 2))
    assert clip is None
    now, clip = push_sample(now, sample(0))
    now, clip = flush(now)
    assert clip is not None
    now, clip = flush(now)
    assert clip is None
    assert now.frames == ()


def test_nothing_is_left_over_after_a_whole_number_of_strides() -> None:
    assert [shown(clip) for clip in cut(2, 2, [range(4)])] == [[0, 1], [2, 3]]


@pytest.mark.parametrize("stride", [0, -1, 5])
def test_a_stride_outside_the_clip_is_refused(stride: int) -> None:
    with pytest.raises(
        OptionError, match=rf"stride_frames must lie in 1\.\.clip_frames=4, got {stride}"
    ):
        window(4, stride)


def test_a_clip_prints_its_shape_and_time_and_no_pixels() -> None:
    [clip] = cut(4, 4, [range(4)])
    assert repr(clip) == "Clip((4, 2, 3, 3) uint8, 0.000..1.000 s)"
