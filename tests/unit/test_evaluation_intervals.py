"""Intervals from resampling recordings."""

from __future__ import annotations

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.evaluation.intervals import bootstrap


def mean_of(values: np.ndarray):
    return lambda pick: [float(values[pick].mean())]


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(0).normal(size=12)
    (first,) = bootstrap(mean_of(values), 12, resamples=200, seed=3)
    (again,) = bootstrap(mean_of(values), 12, resamples=200, seed=3)
    (other,) = bootstrap(mean_of(values), 12, resamples=200, seed=4)
    assert first == again
    assert first != other
    assert first is not None
    assert first.value == pytest.approx(values.mean())


def test_an_interval_worked_by_hand() -> None:
    # Of two recordings, 0 and 1, the mean of a resample is 0, 0.5 or 1, each end a quarter of them.
    (found,) = bootstrap(mean_of(np.array([0.0, 1.0])), 2, resamples=400)
    assert found is not None
    assert (found.low, found.value, found.high) == (0.0, 0.5, 1.0)
    (narrow,) = bootstrap(mean_of(np.array([0.0, 1.0])), 2, resamples=400, level=0.3)
    assert narrow is not None
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        (found,) = bootstrap(mean_of(random.normal(size=25)), 25, resamples=200, seed=0)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        inside += found.low <= 0 <= found.high
    assert 0.85 <= inside / 200 <= 0.99


def test_recordings_of_one_animal_are_drawn_together() -> None:
    drawn: list[list[int]] = []

    def statistic(pick: np.ndarray) -> list[float]:
        drawn.append(pick.tolist())
        return [0.0]

    bootstrap(statistic, ["cow", "pig", "cow", "pig", "hen"], resamples=50)
    assert drawn[0] == [0, 1, 2, 3, 4]
    for pick in drawn[1:]:
        assert pick.count(0) == pick.count(2)
        assert pick.count(1) == pick.count(3)
        assert pick.count(0) + pick.count(1) + pick.count(4) == 3


def test_one_unit_has_no_interval_and_an_undefined_figure_is_none() -> None:
    (found,) = bootstrap(mean_of(np.ones(2)), ["sow", "sow"])
    assert found is not None
    assert (found.value, found.low, found.high) == (1.0, None, None)
    (off,) = bootstrap(mean_of(np.ones(2)), 2, resamples=0)
    assert off is not None
    assert off.low is None
    assert bootstrap(lambda pick: [np.nan], 2, resamples=5) == [None]
    # Undefined in some resamples: from those in which it is defined.
    (some,) = bootstrap(lambda pick: [1.0 if 0 in pick else np.nan], 2, resamples=50)
    assert some is not None
    assert (some.low, some.high) == (1.0, 1.0)


def test_options_that_cannot_work_are_refused() -> None:
    for groups, options in [(0, {}), (2, {"resamples": -1}), (2, {"level": 1.0})]:
        with pytest.raises(OptionError):
            bootstrap(mean_of(np.ones(2)), groups, **options)
