"""Sleep figures of a night worked by hand, names of states, Bland-Altman."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.errors import OptionError
from vigilia.evaluation.bland_altman import bland_altman
from vigilia.evaluation.sleep import sleep_figures, transition_counts
from vigilia.evaluation.sleep_states import parse_sleep_states, recognise_sleep_states

CLASSES = ("W", "N2", "N3", "R", "lights")
KINDS = {"W": "wake", "N2": "NREM", "N3": "NREM", "R": "REM"}
NIGHT = [CLASSES.index({"2": "N2", "3": "N3"}.get(one, one)) for one in "WW22332WR222WRRWW"]


def test_a_night_worked_by_hand() -> None:
    found = sleep_figures(NIGHT, CLASSES, KINDS, epoch_seconds=30)
    assert found is not None
    assert found.recording_seconds == found.scored_seconds == 17 * 30
    assert found.total_sleep_seconds == 11 * 30
    assert found.sleep_efficiency == pytest.approx(11 / 17)
    assert found.sleep_latency_seconds == 60
    # Sleep begins with epoch 2, REM with epoch 8.
    assert found.rem_latency_seconds == 6 * 30
    assert found.waso_seconds == 4 * 30
    assert found.waso_inside_sleep_seconds == 2 * 30
    assert found.awakenings == 3
    assert [one.state for one in found.states] == ["wake", "NREM", "REM"]
    assert [one.state for one in found.stages] == ["N2", "N3"]
    wake, nrem, rem = found.states
    assert (wake.seconds, wake.bouts, wake.share_of_sleep) == (180, 4, None)
    assert (nrem.seconds, nrem.bouts, nrem.mean_bout_seconds) == (240, 2, 120)
    assert (rem.bouts, rem.mean_bout_seconds, rem.median_bout_seconds) == (2, 45, 45)
    assert rem.share_of_sleep == pytest.approx(3 / 11)
    assert rem.latency_seconds == 8 * 30
    two, three = found.stages
    assert (two.bouts, two.seconds, three.bouts, three.seconds) == (3, 180, 1, 60)
    # From wake: W-W twice, to NREM once, to REM twice.
    assert found.transitions == ((2, 1, 2), (2, 6, 0), (1, 1, 1))
    assert found.state("N3") == three
    assert found.state("N1") is None


def test_what_nobody_scored_is_neither_wake_nor_sleep() -> None:
    codes = [-1, 4, 0, 1, -1, 1, 4, 4]
    found = sleep_figures(codes, CLASSES, KINDS, epoch_seconds=10)
    assert found is not None
    assert (found.recording_seconds, found.scored_seconds) == (40, 30)
    assert found.sleep_latency_seconds == 10
    nrem = found.state("NREM")
    assert nrem is not None
    assert (nrem.bouts, nrem.seconds) == (2, 20)
    assert np.sum(found.transitions) == 1
    assert sleep_figures([-1, 4], CLASSES, KINDS, epoch_seconds=10) is None


def test_a_night_without_sleep_or_without_rem() -> None:
    awake = sleep_figures([0, 0], CLASSES, KINDS, epoch_seconds=30)
    assert awake is not None
    assert (awake.total_sleep_seconds, awake.sleep_efficiency, awake.waso_seconds) == (0, 0, 0)
    assert awake.sleep_latency_seconds is awake.rem_latency_seconds is None
    shallow = sleep_figures([0, 1, 1], CLASSES, KINDS, epoch_seconds=30)
    assert shallow is not None
    assert shallow.rem_latency_seconds is None
    rem = shallow.state("REM")
    assert rem is not None
    assert (rem.bouts, rem.mean_bout_seconds, rem.latency_seconds) == (0, None, None)
    plain = sleep_figures(
        [0, 1], ("wake", "sleep"), {"wake": "wake", "sleep": "sleep"}, epoch_seconds=1
    )
    assert plain is not None
    assert [one.state for one in plain.states] == ["wake", "sleep"]
    assert plain.total_sleep_seconds == 1


def test_transitions_are_pairs_of_neighbours() -> None:
    assert transition_counts([0, 0, 1, -1, 1, 0], 2).tolist() == [[1, 1], [1, 0]]
    assert transition_counts([], 2).tolist() == [[0, 0], [0, 0]]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-1, 4), min_size=1, max_size=50), st.integers(2, 4))
def test_seconds_add_up_and_do_not_depend_on_the_epoch(codes: list[int], times: int) -> None:
    found = sleep_figures(codes, CLASSES, KINDS, epoch_seconds=30.0)
    fine = sleep_figures(np.repeat(codes, times), CLASSES, KINDS, epoch_seconds=30.0 / times)
    if found is None or fine is None:
        assert found is fine is None
        return
    assert sum(one.seconds for one in found.states) == found.scored_seconds
    assert found.scored_seconds <= found.recording_seconds
    wake = found.state("wake")
    assert wake is not None
    assert wake.seconds + found.total_sleep_seconds == pytest.approx(found.scored_seconds)
    assert found.waso_inside_sleep_seconds <= found.waso_seconds <= wake.seconds
    for name in ("total_sleep_seconds", "waso_seconds", "sleep_latency_seconds", "awakenings"):
        ours, theirs = getattr(found, name), getattr(fine, name)
        assert (ours is None and theirs is None) or ours == pytest.approx(theirs)
    for ours, theirs in zip(found.states, fine.states, strict=True):
        assert (ours.bouts, ours.seconds) == (theirs.bouts, pytest.approx(theirs.seconds))


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(OptionError, match="epoch_seconds"):
        sleep_figures(NIGHT, CLASSES, KINDS, epoch_seconds=0)
    with pytest.raises(OptionError, match="below 5"):
        sleep_figures([5], CLASSES, KINDS, epoch_seconds=1)


# Names


@pytest.mark.parametrize(
    ("classes", "kinds"),
    [
        ("wake NREM REM", "wake NREM REM"),
        ("W N1 N2 N3 R", "wake NREM NREM NREM REM"),
        ("w n r", "wake NREM REM"),
        ("awake asleep", "wake sleep"),
        ("WAKE SWS PS", "wake NREM REM"),
        ("Wake S1 S2 S3 S4 REM", "wake NREM NREM NREM NREM REM"),
    ],
)
def test_states_are_recognised_by_name(classes: str, kinds: str) -> None:
    expected = dict(zip(classes.split(), kinds.split(), strict=True))
    assert recognise_sleep_states(classes.split()) == expected


def test_states_of_several_words_are_recognised() -> None:
    names = {
        "Sleep stage W": "wake",
        "Sleep stage N2": "NREM",
        "Sleep stage R": "REM",
        "Sleep stage 3": "NREM",
        "Active Waking": "wake",
        "non-REM": "NREM",
        "slow wave sleep": "NREM",
        "REM sleep": "REM",
        "quiet_wake": "wake",
    }
    assert recognise_sleep_states([*names, "out of view", "grooming"]) == names


@pytest.mark.parametrize("classes", ["walk rest eat", "rear walk n w_turn", "wake eat", "NREM REM"])
def test_other_behaviour_is_no_sleep(classes: str) -> None:
    assert recognise_sleep_states(classes.split()) is None


def test_states_are_read_from_text() -> None:
    text = "wake=W,Wach; NREM = N1, N2,N3 ;rem=R;"
    assert parse_sleep_states(text, ["W", "N2", "R", "x"]) == {
        "W": "wake",
        "N2": "NREM",
        "R": "REM",
    }
    for wrong, problem in [
        ("wake", "must read like"),
        ("dream=R", "must read like"),
        ("wake=W; rem=W", "as wake and as REM"),
        ("wake=Q", "none of the classes"),
    ]:
        with pytest.raises(OptionError, match=problem):
            parse_sleep_states(wrong, ["W", "R"])


# Bland-Altman


def test_bias_and_limits_worked_by_hand() -> None:
    found = bland_altman("TST", ["a", "b", "c", "d"], [10, 20, 30, None], [12, 20, 34, 5])
    assert found is not None
    assert found.names == ("a", "b", "c")
    assert found.differences == (2, 0, 4)
    assert found.means == (11, 20, 32)
    assert found.bias == 2
    # The differences have standard deviation 2.
    assert found.lower_limit == pytest.approx(2 - 1.96 * 2)
    assert found.upper_limit == pytest.approx(2 + 1.96 * 2)


def test_few_animals_have_no_limits() -> None:
    one = bland_altman("TST", ["a"], [1.0], [2.0])
    assert one is not None
    assert (one.bias, one.lower_limit, one.upper_limit) == (1.0, None, None)
    assert bland_altman("TST", ["a"], [None], [2.0]) is None
    with pytest.raises(OptionError, match="equally many"):
        bland_altman("TST", ["a"], [1.0, 2.0], [2.0])
