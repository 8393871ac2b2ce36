"""Streams of the memory benchmark: gaps, ages, and the memoryless ceiling."""

from __future__ import annotations

import subprocess
import sys
from itertools import product

import numpy as np
import pytest

from vigilia.bench import CLIP_SECONDS, TASKS, Stream, age_bins
from vigilia.bench.ceilings import memoryless_accuracy
from vigilia.bench.streams import cue_times, last_time, plain_levels, question_times
from vigilia.errors import OptionError


def test_the_benchmark_tasks_do_not_load_torch() -> None:
    code = "import sys, vigilia.bench.tasks, vigilia.bench.render; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(run.stdout.split()) & {"torch", "matplotlib", "av"}


def test_gaps_have_the_mean_that_was_asked_for() -> None:
    random = np.random.default_rng(0)
    for gap in (1.0, 3.0, 20.0, 220.0):
        steps = np.diff(cue_times(int(4000 * gap), random, gap))
        assert steps.mean() == pytest.approx(gap, rel=0.05)
        assert steps.min() >= 1


def test_gaps_are_spread_evenly_over_their_logarithm() -> None:
    steps = np.diff(cue_times(1_000_000, np.random.default_rng(1), 220.0))
    longest = steps.max()
    assert longest > 1200
    # An exponential distribution of this mean would have 86 % above its mean's seventh.
    assert np.median(steps) == pytest.approx(np.sqrt(longest), rel=0.2)
    assert np.mean(steps > 600) == pytest.approx(1 / 8, abs=0.03)


def test_no_gap_is_shorter_than_the_least() -> None:
    for gap in (1.0, 5.0, 60.0):
        steps = np.diff(cue_times(20_000, np.random.default_rng(2), gap, least=4))
        assert steps.min() >= 4
        assert steps.mean() == pytest.approx(max(gap, 4.0), rel=0.1)


def test_every_run_of_eight_gaps_holds_a_long_one() -> None:
    for seed in range(20):
        assert np.diff(cue_times(10_000, np.random.default_rng(seed), 220.0)).max() > 600


def test_the_first_cue_comes_within_four_clips_and_the_last_within_the_stream() -> None:
    firsts = set()
    for seed in range(60):
        times = cue_times(64, np.random.default_rng(seed), 20.0)
        firsts.add(int(times[0]))
        assert times[-1] < 64
        assert (np.diff(times) > 0).all()
    assert firsts == {0, 1, 2, 3}


def test_questions_come_every_two_to_twelve_clips() -> None:
    times = question_times(10_000, np.random.default_rng(0))
    assert set(np.diff(times).tolist()) == set(range(2, 13))
    assert times[-1] < 10_000
    assert times[-1] > 10_000 - 13


def test_questions_come_as_close_as_cues() -> None:
    for gap, longest in ((3.0, 2), (10.0, 5), (20.0, 10)):
        times = question_times(5_000, np.random.default_rng(0), gap)
        assert set(np.diff(times).tolist()) == set(range(1, longest + 1))


def test_the_last_time_is_remembered() -> None:
    shown = np.array([0, 0, 1, 0, 1, 0], bool)
    assert last_time(shown).tolist() == [-1, -1, 2, 2, 4, 4]


def test_age_bins_adjoin_and_are_labelled_in_seconds() -> None:
    bins = age_bins(10_000)
    assert [(b.low, b.high) for b in bins] == [
        (0, 1.0),
        (1, 4.0),
        (4, 16.0),
        (16, 64.0),
        (64, 160.0),
        (160, 600.0),
        (600, np.inf),
    ]
    assert [b.label for b in bins] == [
        "0 s",
        "2-6 s",
        "8-30 s",
        "32-126 s",
        "128-318 s",
        "320-1198 s",
        "1200 s+",
    ]
    assert bins[-1].low * CLIP_SECONDS == 20 * 60


def test_every_scored_age_lies_in_one_bin_and_an_unscored_in_none() -> None:
    ages = np.array([-1, 0, 1, 3, 4, 599, 600, 9999])
    held = np.stack([b.holds(ages) for b in age_bins(10_000)])
    assert held.sum(0).tolist() == [0, 1, 1, 1, 1, 1, 1, 1]
    assert held.argmax(0)[1:].tolist() == [0, 1, 1, 2, 5, 6, 6]


def test_a_short_horizon_has_fewer_bins() -> None:
    assert [b.label for b in age_bins(20)] == ["0 s", "2-6 s", "8-30 s", "32 s+"]
    assert [b.label for b in age_bins(0)] == ["0 s+"]
    with pytest.raises(OptionError, match="horizon_clips"):
        age_bins(-1)


def test_a_stream_checks_its_shapes() -> None:
    two, three = np.zeros(2, np.int64), np.zeros(3, np.int64)
    with pytest.raises(ValueError, match="labels must be"):
        Stream(np.zeros(2, np.int16), three, two, plain_levels(2))
    with pytest.raises(ValueError, match="symbols must be"):
        Stream(two, two, two, plain_levels(2))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same clips"):
        Stream(np.zeros(2, np.int16), two, two - 1, plain_levels(2))


def test_impossible_draws_are_refused() -> None:
    random = np.random.default_rng(0)
    for task in TASKS.values():
        with pytest.raises(OptionError, match="clips must"):
            task.draw(0, random)
        for gap in (0.5, float("nan"), float("inf")):
            with pytest.raises(OptionError, match="gap must"):
                task.draw(10, random, gap=gap)


def test_the_memoryless_ceiling_of_a_literal_stream() -> None:
    symbols = np.array([0, 1, 0, 0, 2, 0], np.int16)
    labels = np.array([-1, 0, 0, 0, 1, 1])
    ages = np.array([-1, 0, 1, 2, 0, 1])
    stream = Stream(symbols, labels, ages, plain_levels(6))
    # Nothing shown: 0 is right twice of three times; each cue tells itself.
    assert TASKS["T1"].memoryless_ceiling([stream]) == 4 / 5
    assert TASKS["T1"].memoryless_ceiling([stream], min_age=1) == 2 / 3
    assert np.isnan(TASKS["T1"].memoryless_ceiling([stream], min_age=3))


def test_the_memoryless_ceiling_is_that_of_the_best_of_all_functions() -> None:
    random = np.random.default_rng(4)
    for name in ("T1", "T3", "T4", "T8"):
        task = TASKS[name]
        streams = [task.draw(300, random, gap=10.0) for _ in range(2)]
        symbols = np.concatenate([s.symbols[s.scored] for s in streams])
        labels = np.concatenate([s.labels[s.scored] for s in streams])
        shown = np.unique(symbols)
        index = np.searchsorted(shown, symbols)
        best = max(
            (np.array(answers)[index] == labels).mean()
            for answers in product(range(len(task.classes)), repeat=len(shown))
        )
        assert task.memoryless_ceiling(streams) == pytest.approx(best)


def test_the_memoryless_ceiling_reads_the_level_in_steps() -> None:
    symbols = np.zeros(4, np.int16)
    levels = np.array([0.1, 0.2, 0.8, 1.0], np.float32)
    labels = np.array([0, 0, 1, 1])
    assert memoryless_accuracy([(symbols, levels, labels)]) == 0.5
    assert memoryless_accuracy([(symbols, levels, labels)], 2) == 1.0
    assert memoryless_accuracy([(symbols, levels, labels[::-1].copy())], 2) == 1.0
    assert memoryless_accuracy([(symbols, levels, np.array([0, 1, 0, 1]))], 2) == 0.5
