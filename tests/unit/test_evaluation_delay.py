"""Detection delay."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.errors import OptionError
from vigilia.evaluation.delay import delays_of, detection_delays

PAIRS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 2), min_size=n, max_size=n),
        st.lists(st.integers(-1, 2), min_size=n, max_size=n),
    )
)


def test_delays_worked_by_hand() -> None:
    #        a           b           a        b
    truth = [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 1, 1]
    said = [0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0]
    assert delays_of(truth, said) == ([0, 0, 2, -1], [0, 1, 0, 1])
    a, b, whole = detection_delays([(truth, said)], ["a", "b"], step_seconds=0.5)
    assert (a.label, a.bouts, a.missed, a.mean_seconds, a.median_seconds) == ("a", 2, 0, 0.5, 0.5)
    assert (b.label, b.bouts, b.missed, b.mean_seconds) == ("b", 2, 1, 0.0)
    assert (whole.label, whole.bouts, whole.missed) == (None, 4, 1)
    assert whole.mean_seconds == pytest.approx(1 / 3)
    assert whole.p90_seconds == pytest.approx(0.8)


def test_what_nobody_observed_is_no_miss() -> None:
    assert delays_of([0, 0, 0, 1, 1], [-1, -1, 0, -1, -1]) == ([0], [0])
    assert delays_of([0, 0, 0], [-1, 1, 0]) == ([1], [0])
    assert detection_delays([([0], [-1])], ["a"]) == ()


def test_a_class_that_was_always_missed_has_no_delay() -> None:
    (one, _) = detection_delays([([0, 0], [1, 1])], ["a", "b"])
    assert (one.missed, one.mean_seconds, one.median_seconds, one.p90_seconds) == (
        1,
        None,
        None,
        None,
    )


def test_background_and_order_of_recordings() -> None:
    first, second = ([0, 1, 1], [0, 0, 1]), ([1, 0, 0], [1, 1, 1])
    found = detection_delays([first, second], ["rest", "walk"], background=["rest"])
    assert [one.label for one in found] == ["walk", None]
    assert (found[1].bouts, found[1].mean_seconds) == (2, 0.5)
    again = detection_delays([second, first], ["rest", "walk"], background=["rest"])
    assert again == found


@settings(max_examples=80, deadline=None)
@given(PAIRS, st.integers(1, 3))
def test_finer_cells_give_the_same_seconds(pair: tuple[list[int], list[int]], times: int) -> None:
    truth, said = (np.array(side) for side in pair)
    coarse = detection_delays([(truth, said)], "abc", step_seconds=float(times))
    fine = detection_delays([(truth.repeat(times), said.repeat(times))], "abc")
    assert coarse == fine
    for one in detection_delays([(truth, truth)], "abc"):
        assert (one.missed, one.mean_seconds) == (0, 0.0)


def test_sides_of_different_lengths_are_refused() -> None:
    with pytest.raises(OptionError, match=r"\(N,\)"):
        delays_of([0, 1], [0])
