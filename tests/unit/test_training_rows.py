"""Rows of a batch: stretches that play in order, places that cover all recordings, looks."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from vigilia.training.augment import Look, apply_look, draw_look
from vigilia.training.frames import load_frames
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import (
    Batch,
    Cursor,
    Places,
    first_cursor,
    jump,
    make_places,
    next_batch,
    place_of,
)


def recording(number: int, clips: int, clip_frames: int = 3, stride: int = 2) -> Recording:
    """Every frame says which recording and which clip it is: frame n shows (number, n)."""
    count = clips * stride
    frames = np.zeros((count, 1, 1, 3), dtype=np.uint8)
    frames[..., 0] = number
    frames[:, 0, 0, 1] = np.arange(count)
    last = np.arange(1, clips + 1) * stride - 1
    shown = np.maximum(last[:, None] - np.arange(clip_frames)[::-1], 0)
    return Recording(
        name=f"{number}.mp4",
        frames=frames,
        clips=shown,
        start_seconds=np.arange(clips) * 1.0 + 1000 * number,
        end_seconds=np.arange(clips) * 1.0 + 1 + 1000 * number,
        labels=np.arange(clips) % 3 - 1,
    )


THREE = [recording(0, 40), recording(1, 100), recording(2, 60)]


def even(recordings: list[Recording], seed: int = 0, rows: int = 4) -> Places:
    return make_places(recordings, TrainOptions(seed=seed, rows=rows))


def play(places: Places, cursor: Cursor, batches: int) -> tuple[list[Batch], Cursor]:
    out = []
    for _ in range(batches):
        batch, cursor = next_batch(places, cursor)
        out.append(batch)
    return out, cursor


def where(batch: Batch, row: int) -> tuple[int, int]:
    """Which recording and clip a row shows, read off its time."""
    number, clip = divmod(round(batch.seconds[row]) - 1, 1000)
    return number, clip


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("plays", [10, 50, 400])
def test_places_cover_the_recordings_in_proportion_to_their_length(seed: int, plays: int) -> None:
    places = [place_of(even(THREE, seed), play) for play in range(plays)]
    for index, one in enumerate(THREE):
        share = sum(place[0] == index for place in places) / plays
        assert abs(share - len(one) / 200) < 3 / plays
    for index, clip in places:
        assert 0 <= clip < len(THREE[index])


def test_places_leave_no_wide_hole() -> None:
    ends = np.cumsum([0] + [len(one) for one in THREE])
    for seed in range(5):
        along = sorted(
            ends[index] + clip
            for index, clip in (place_of(even(THREE, seed), p) for p in range(50))
        )
        gaps = np.diff([*along, along[0] + 200])
        assert gaps.max() <= 3 * 200 / 50


def test_places_depend_on_the_seed_and_on_nothing_else() -> None:
    one = [place_of(even(THREE, 1), play) for play in range(30)]
    np.random.seed(5)  # noqa: NPY002
    assert one == [place_of(even(THREE, 1), play) for play in range(30)]
    assert one != [place_of(even(THREE, 2), play) for play in range(30)]


def test_one_recording_of_one_clip_is_always_found() -> None:
    assert {place_of(even([recording(0, 1)]), play) for play in range(100)} == {(0, 0)}


def test_the_first_cursor_starts_every_row_at_a_place_of_its_own() -> None:
    cursor = first_cursor(even(THREE, 3))
    assert cursor.plays == (0, 1, 2, 3)
    assert cursor.clips == tuple(place_of(even(THREE, 3), play)[1] for play in range(4))
    assert cursor.starts == (True, True, True, True)


def test_a_batch_shows_the_clips_their_times_and_their_labels() -> None:
    places = even(THREE, 1, rows=3)
    batches, _ = play(places, first_cursor(places), 30)
    for batch in batches:
        frames = load_frames(THREE, batch.recordings, batch.clips, batch.plays)
        assert frames.shape == (3, 3, 1, 1, 3)
        assert frames.dtype == np.uint8
        assert batch.labels.dtype == np.int64
        assert batch.seconds.dtype == np.float64
        for row in range(3):
            number, clip = where(batch, row)
            assert (frames[row, ..., 0] == number).all()
            assert frames[row, :, 0, 0, 1].tolist() == THREE[number].clips[clip].tolist()
            assert batch.labels[row] == THREE[number].labels[clip]


@pytest.mark.parametrize("seed", range(4))
def test_stretches_are_contiguous_and_start_exactly_where_a_row_jumps_or_a_recording_ends(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    places = even(THREE, seed)
    cursor = first_cursor(places)
    before: list[tuple[int, int] | None] = [None] * 4
    sent = np.ones(4, dtype=bool)
    seen = Counter[str]()
    for _ in range(150):
        batch, cursor = next_batch(places, cursor)
        for row in range(4):
            number, clip = where(batch, row)
            last = before[row]
            ended = last is not None and last[1] + 1 == len(THREE[last[0]])
            assert batch.starts[row] == (sent[row] or ended)
            if not batch.starts[row]:
                assert last is not None
                assert (number, clip) == (last[0], last[1] + 1)
            else:
                assert (number, clip) == place_of(places, batch.plays[row])
            seen["ended" if ended else "jumped" if sent[row] else "went on"] += 1
            before[row] = (number, clip)
        sent = rng.random(4) < 0.1
        cursor = jump(places, cursor, sent)
    assert min(seen["ended"], seen["jumped"], seen["went on"]) > 3


def test_rows_of_a_recording_of_three_clips_by_hand() -> None:
    short = even([recording(0, 3)], rows=1)
    first = place_of(short, 0)[1]
    batches, cursor = play(short, Cursor((0,), (first,), (True,)), 3 - first)
    assert [where(batch, 0)[1] for batch in batches] == list(range(first, 3))
    assert [bool(batch.starts[0]) for batch in batches] == [True] + [False] * (2 - first)
    assert cursor == Cursor((1,), (place_of(short, 1)[1],), (True,))


def test_no_two_stretches_have_the_same_number() -> None:
    places = even(THREE, rows=3)
    cursor, seen = first_cursor(places), []
    rng = np.random.default_rng(0)
    for _ in range(60):
        batch, cursor = next_batch(places, cursor)
        seen += [play for play, start in zip(batch.plays, batch.starts, strict=True) if start]
        cursor = jump(places, cursor, rng.random(3) < 0.3)
    assert len(seen) == len(set(seen))
    assert max(seen) <= len(seen) + 2


def test_a_jump_moves_the_chosen_rows_alone() -> None:
    cursor = Cursor((4, 5, 6), (7, 8, 9), (False, False, False))
    places = even(THREE, rows=3)
    moved = jump(places, cursor, np.array([True, False, True]))
    assert moved.plays == (7, 5, 8)
    assert moved.clips == (place_of(places, 7)[1], 8, place_of(places, 8)[1])
    assert moved.starts == (True, False, True)
    assert cursor.plays == (4, 5, 6)
    assert jump(places, cursor, np.zeros(3, dtype=bool)) == cursor


def test_playing_on_from_a_saved_cursor_shows_the_same_clips() -> None:
    places = even(THREE, 7, rows=3)
    cursor = first_cursor(places)
    _, middle = play(places, cursor, 25)
    straight, end = play(places, cursor, 60)
    rest, same_end = play(places, middle, 35)
    assert end == same_end
    for one, other in zip(straight[25:], rest, strict=True):
        for left, right in zip(one, other, strict=True):
            assert np.array_equal(left, right)


OPTIONS = TrainOptions(mirror=True, quarter_turns=True, zoom=0.1, brightness=0.2, seed=3)


def of_row(look: Look, row: int) -> tuple[object, ...]:
    moves = None if look.moves is None else tuple(look.moves[row].flatten().tolist())
    gain, offset = float(look.gain[row]), float(look.offset[row])
    return look.mirrored[row], look.quarter_turns[row], moves, gain, offset


def test_a_look_is_a_function_of_the_stretch_alone() -> None:
    one, other = draw_look(OPTIONS, (4, 9, 5)), draw_look(OPTIONS, (9, 9, 2))
    assert of_row(one, 1) == of_row(other, 0) == of_row(other, 1)
    many = draw_look(OPTIONS, tuple(range(50)))
    assert len({of_row(many, row) for row in range(50)}) == 50
    again = draw_look(dataclasses.replace(OPTIONS, seed=4), (4, 9, 5))
    assert of_row(again, 0) != of_row(one, 0)


def test_a_look_stays_from_the_start_of_a_stretch_to_its_end() -> None:
    places = even(THREE, rows=3)
    batches, _ = play(places, first_cursor(places), 120)
    looks = [draw_look(OPTIONS, batch.plays) for batch in batches]
    changes = 0
    for row in range(3):
        for index in range(1, 120):
            kept = of_row(looks[index], row) == of_row(looks[index - 1], row)
            assert kept == (not batches[index].starts[row])
            changes += not kept
    assert changes > 3


def test_asking_for_one_change_leaves_the_others_as_they_were() -> None:
    plays = tuple(range(20))
    whole = draw_look(OPTIONS, plays)
    plain = draw_look(dataclasses.replace(OPTIONS, mirror=False), plays)
    assert plain.mirrored == (False,) * 20
    assert plain.quarter_turns == whole.quarter_turns
    assert torch.equal(plain.gain, whole.gain)


def test_about_half_of_the_stretches_are_mirrored_and_each_turn_is_as_frequent() -> None:
    look = draw_look(OPTIONS, tuple(range(400)))
    assert 160 < sum(look.mirrored) < 240
    counts = Counter(look.quarter_turns)
    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > 70


def test_without_any_change_a_clip_stays_as_it_is() -> None:
    options = TrainOptions(mirror=False, quarter_turns=False, zoom=0.0, brightness=0.0)
    clip = torch.randn(3, 3, 2, 4, 6)
    assert torch.equal(apply_look(clip, draw_look(options, (0, 1, 2))), clip)


def test_changes_stay_within_their_bounds() -> None:
    look = draw_look(OPTIONS, tuple(range(400)))
    assert look.moves is not None
    bounded = [
        (look.gain - 1, 0.2),
        (look.offset, 0.2),
        (look.moves[:, 0, 0] - 1, 0.1),
        (look.moves[:, 0, 2], 0.1),
        (look.moves[:, 1, 2], 0.1),
    ]
    for change, bound in bounded:
        assert change.abs().max() <= bound + 1e-6
        assert change.max() > 0.9 * bound
        assert change.min() < -0.9 * bound
    assert torch.equal(look.moves[:, 0, 0], look.moves[:, 1, 1])
    assert not look.moves[:, 0, 1].any()
    assert not look.moves[:, 1, 0].any()


def plain_look(rows: int, **changes: object) -> Look:
    look = Look((False,) * rows, (0,) * rows, None, torch.ones(rows), torch.zeros(rows))
    return dataclasses.replace(look, **changes)  # type: ignore[arg-type]


def test_a_mirrored_row_is_flipped_left_to_right_in_every_frame() -> None:
    clip = torch.randn(2, 3, 4, 5, 6)
    got = apply_look(clip, plain_look(2, mirrored=(True, False)))
    assert torch.equal(got[1], clip[1])
    for column in range(6):
        assert torch.equal(got[0, ..., column], clip[0, ..., 5 - column])


def test_a_quarter_turn_turns_every_frame_of_its_row() -> None:
    clip = torch.randn(4, 3, 2, 5, 5)
    got = apply_look(clip, plain_look(4, quarter_turns=(0, 1, 2, 3)))
    assert torch.equal(got[0], clip[0])
    assert torch.equal(got[1, ..., 0, :], clip[1, ..., :, 4])  # the right edge comes to the top
    assert torch.equal(got[2], clip[2].flip(-1, -2))
    assert torch.equal(got[3, ..., 4, :].flip(-1), clip[3, ..., :, 4])


def test_a_shift_by_one_pixel_repeats_the_edge() -> None:
    clip = torch.arange(4.0).expand(1, 1, 2, 4, 4)  # every line reads 0 1 2 3
    moves = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])  # half of half a picture
    got = apply_look(clip, plain_look(1, moves=moves))
    assert got.shape == clip.shape
    assert torch.allclose(got, torch.tensor([1.0, 2.0, 3.0, 3.0]).expand_as(clip), atol=1e-5)


def test_every_frame_of_a_row_moves_alike_and_each_row_by_its_own_map() -> None:
    picture = torch.randn(1, 3, 1, 8, 8)
    clip = picture.expand(2, 3, 4, 8, 8)
    look = draw_look(dataclasses.replace(OPTIONS, mirror=False, quarter_turns=False), (1, 2))
    got = apply_look(clip, look)
    for frame in range(4):
        assert torch.equal(got[:, :, frame], got[:, :, 0])
    assert not torch.allclose(got[0], got[1], atol=1e-2)


def test_gain_and_offset_by_hand() -> None:
    look = plain_look(2, gain=torch.tensor([2.0, 1.0]), offset=torch.tensor([0.5, -1.0]))
    got = apply_look(torch.tensor([[1.0, 3.0], [1.0, 3.0]]).view(2, 1, 1, 1, 2), look)
    assert got.flatten().tolist() == [2.5, 6.5, 0.0, 2.0]
