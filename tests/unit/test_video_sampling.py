"""Sampling by time, without any video: ticks, holes, ends, going on."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.video import Frame, Gap, Sample, sample

TOLERANCE = 1e-6


def frames_at(*times: float, duration: float | None = None) -> list[Frame]:
    return [
        Frame(np.full((1, 1, 3), number, np.uint8), seconds, duration)
        for number, seconds in enumerate(times)
    ]


def told(items) -> list[tuple]:
    """Everything that can be compared about what sampling yields."""
    return [
        ("gap", item.start_seconds, item.end_seconds)
        if isinstance(item, Gap)
        else ("sample", item.tick, item.seconds, item.frame_seconds, int(item.pixels[0, 0, 0]))
        for item in items
    ]


def oracle(frames: list[Frame], fps: float, max_gap: float, start: float | None) -> list[tuple]:
    """The rule as a reader would say it, tick by tick."""
    start = frames[0].seconds if start is None else start
    last = frames[-1]
    interval = last.seconds - frames[-2].seconds if len(frames) > 1 else 0.0
    duration = interval if last.duration_seconds is None else last.duration_seconds
    end = last.seconds + max(duration, 3 * TOLERANCE)
    result: list[tuple] = []
    hole = None
    k = 0
    while start + k / fps + TOLERANCE < end:
        tick = start + k / fps
        seen = [(i, f) for i, f in enumerate(frames) if f.seconds <= tick + TOLERANCE]
        if seen and tick - seen[-1][1].seconds <= max_gap + TOLERANCE:
            if hole is not None:
                result.append(("gap", hole, tick))
                hole = None
            result.append(("sample", k, tick, seen[-1][1].seconds, seen[-1][0]))
        elif hole is None:
            hole = tick
        k += 1
    if hole is not None:
        result.append(("gap", hole, start + k / fps))
    return result


def random_times(rng: random.Random) -> list[float]:
    steps = [0.0, 0.001, 0.04, 1 / 30, 0.1, 0.25, 0.5, 0.8, 3.0, 11.0]
    now = rng.choice([0.0, -2.5, 1.075, 86400.0])
    times = [now]
    for _ in range(rng.randrange(0, 30)):
        now += rng.choice(steps)
        times.append(now)
    return times


def test_each_tick_shows_the_last_frame_that_is_not_later() -> None:
    frames = frames_at(0.0, 0.1, 0.2, 0.45, 0.5, 0.8, 1.0)
    shown = [(item.seconds, item.frame_seconds) for item in sample(frames, fps=4.0)]
    assert shown == [(0.0, 0.0), (0.25, 0.2), (0.5, 0.5), (0.75, 0.5), (1.0, 1.0)]


def test_a_hole_is_one_gap_from_its_first_tick_to_the_first_observed_one() -> None:
    frames = frames_at(0.0, 0.5, 4.1, 4.6)
    assert told(sample(frames, fps=2.0, max_gap_seconds=1.0)) == [
        ("sample", 0, 0.0, 0.0, 0),
        ("sample", 1, 0.5, 0.5, 1),
        ("sample", 2, 1.0, 0.5, 1),
        ("sample", 3, 1.5, 0.5, 1),
        ("gap", 2.0, 4.5),
        ("sample", 9, 4.5, 4.1, 2),
        ("sample", 10, 5.0, 4.6, 3),
    ]


@pytest.mark.parametrize("seed", range(150))
def test_sampling_agrees_with_the_rule_said_tick_by_tick(seed: int) -> None:
    rng = random.Random(seed)
    frames = frames_at(*random_times(rng), duration=rng.choice([None, 0.04, 0.0, 6.0]))
    fps = rng.choice([0.3, 1.0, 4.0, 7.0, 29.97])
    max_gap = rng.choice([0.2, 1.0, 2.0])
    start = rng.choice([None, frames[0].seconds - 3.3, frames[0].seconds + 0.7])
    found = told(sample(frames, fps=fps, max_gap_seconds=max_gap, start_seconds=start))
    assert found == oracle(frames, fps, max_gap, start)


@pytest.mark.parametrize("seed", range(40))
def test_going_on_after_any_sample_gives_the_rest(seed: int) -> None:
    rng = random.Random(1000 + seed)
    frames = frames_at(*random_times(rng), duration=0.04)
    whole = list(sample(frames, fps=4.0, max_gap_seconds=0.6))
    for number, item in enumerate(whole):
        if isinstance(item, Gap):
            continue
        held = int(item.pixels[0, 0, 0])
        rest = sample(
            frames[held + 1 :],
            fps=4.0,
            max_gap_seconds=0.6,
            start_seconds=item.start_seconds,
            first_tick=item.tick + 1,
            held=frames[held],
        )
        assert told(rest) == told(whole[number + 1 :])


def test_a_tick_comes_out_as_soon_as_a_later_frame_is_seen() -> None:
    seen = []

    def frames():
        for frame in frames_at(0.0, 0.1, 0.2, 0.3, 0.4, 0.5):
            seen.append(frame.seconds)
            yield frame

    items = sample(frames(), fps=4.0)
    assert next(items).frame_seconds == 0.0
    assert seen == [0.0, 0.1]
    assert next(items).frame_seconds == 0.2
    assert seen == [0.0, 0.1, 0.2, 0.3]


def test_rounding_of_timestamps_does_not_hide_the_frame_at_a_tick() -> None:
    late = math.nextafter(0.1 + 0.2, 1.0)  # later than the tick 3 / 10 by two roundings
    assert late > 3 / 10
    items = list(sample(frames_at(0.0, 0.1, 0.2, late), fps=10.0))
    assert [item.frame_seconds for item in items] == [0.0, 0.1, 0.2, late]


def test_ticks_are_multiplied_and_never_accumulated() -> None:
    tick = 20_000_000  # a week at 29.97 per second
    start, fps = 1.075, 29.97
    held = Frame(np.zeros((1, 1, 3), np.uint8), start + tick / fps)
    following = Frame(np.zeros((1, 1, 3), np.uint8), held.seconds + 1.0)
    items = sample([following], fps=fps, start_seconds=start, first_tick=tick + 1, held=held)
    for number, item in enumerate(itertools.islice(items, 20)):
        assert item.seconds == start + (tick + 1 + number) / fps


def test_one_frame_gives_one_sample() -> None:
    assert told(sample(frames_at(5.0), fps=100.0)) == [("sample", 0, 5.0, 5.0, 0)]


def test_no_frames_give_no_samples() -> None:
    assert list(sample([], fps=4.0)) == []


def test_the_last_frame_lasts_its_duration_exclusive() -> None:
    assert len(list(sample(frames_at(0.0, 0.1, duration=0.4), fps=10.0))) == 5
    assert len(list(sample(frames_at(0.0, 0.1), fps=10.0))) == 2


def test_time_before_the_first_frame_is_unobserved() -> None:
    items = list(sample(frames_at(1.1, 1.2), fps=4.0, start_seconds=0.0))
    assert told(items) == [("gap", 0.0, 1.25), ("sample", 5, 1.25, 1.2, 1)]


def test_frames_out_of_order_are_ignored() -> None:
    items = sample(frames_at(0.0, 0.5, 0.3, 0.6), fps=10.0)
    assert [item.frame_seconds for item in items] == [0.0] * 5 + [0.5, 0.6]


@pytest.mark.timeout(10)
def test_a_hole_of_a_thousand_years_costs_no_time() -> None:
    far = 3.2e10
    items = list(sample(frames_at(0.0, far, far + 0.5), fps=30.0))
    assert sum(isinstance(item, Gap) for item in items) == 1
    assert items[-1].seconds == pytest.approx(far + 1.0, abs=0.1)
    assert all(
        item.seconds - item.frame_seconds <= 2.1 for item in items if isinstance(item, Sample)
    )


@pytest.mark.parametrize("fps", [0.0, -1.0, math.nan, math.inf])
def test_a_rate_that_cannot_work_is_refused_at_once(fps: float) -> None:
    with pytest.raises(OptionError, match="fps"):
        sample([], fps=fps)


def test_a_gap_limit_that_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="max_gap_seconds"):
        sample([], fps=1.0, max_gap_seconds=0.0)
