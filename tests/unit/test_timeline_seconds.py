"""From steps of any length to one row a second."""

from __future__ import annotations

import numpy as np
import pytest

from vigilia.errors import CheckpointError, OptionError
from vigilia.timeline import Scores, per_second
from vigilia.timeline.seconds import (
    SecondsState,
    finish_seconds,
    init_seconds,
    push_step,
    to_scores,
)


def random_steps(seed: int, count: int = 120) -> Scores:
    random = np.random.default_rng(seed)
    edges = 5.3 + np.cumsum(random.uniform(0.05, 2.6, count + 1))
    keep = random.random(count) > 0.1
    return Scores(edges[:-1][keep], edges[1:][keep], random.dirichlet(np.ones(4), count)[keep])


def test_a_second_is_the_mean_of_its_steps_weighted_by_time() -> None:
    steps = Scores(np.array([0.0, 0.75]), np.array([0.75, 2.5]), np.array([[1.0, 0], [0, 1.0]]))
    rows = per_second(steps)
    assert rows.start_seconds.tolist() == [0, 1, 2]
    assert rows.end_seconds.tolist() == [1, 2, 2.5]
    assert rows.probabilities.tolist() == [[0.75, 0.25], [0, 1], [0, 1]]


def test_a_hole_gives_no_row_and_cuts_the_seconds_at_its_edges() -> None:
    steps = Scores(
        np.array([10.0, 13.5, 14.75]), np.array([11.5, 14.25, 15.0]), np.array([[1.0], [0.5], [0]])
    )
    rows = per_second(steps)
    assert list(zip(rows.start_seconds, rows.end_seconds, strict=True)) == [
        *[(10, 11), (11, 11.5), (13.5, 14), (14, 14.25), (14.75, 15)]
    ]
    assert rows.probabilities[:, 0].tolist() == [1, 1, 0.5, 0.5, 0]


def test_the_grid_begins_with_the_recording() -> None:
    steps = Scores(np.array([2.0]), np.array([4.0]), np.array([[1.0]]))
    rows = per_second(steps, anchor_seconds=0.25)
    assert rows.start_seconds.tolist() == [2.0, 2.25, 3.25]
    assert per_second(steps, step_seconds=0.5).start_seconds.tolist() == [2, 2.5, 3, 3.5]


def test_rows_agree_with_adding_up_every_overlap() -> None:
    for seed in range(5):
        steps = random_steps(seed)
        rows = per_second(steps, anchor_seconds=5.0)
        assert np.sum(rows.end_seconds - rows.start_seconds) == pytest.approx(
            np.sum(steps.end_seconds - steps.start_seconds)
        )
        for start, end, row in zip(
            rows.start_seconds, rows.end_seconds, rows.probabilities, strict=True
        ):
            overlap = np.clip(
                np.minimum(steps.end_seconds, end) - np.maximum(steps.start_seconds, start), 0, None
            )
            assert overlap.sum() == pytest.approx(end - start)
            assert row == pytest.approx(overlap @ steps.probabilities / overlap.sum(), abs=1e-6)
            assert np.floor(start + 2e-6) == np.floor(end - 2e-6)


def test_streaming_with_a_save_at_every_step_equals_the_whole() -> None:
    steps = random_steps(9)
    state, rows = init_seconds(5.0), []
    for start, end, row in zip(
        steps.start_seconds, steps.end_seconds, steps.probabilities, strict=True
    ):
        assert SecondsState.from_json(state.to_json()) == state
        state, complete = push_step(SecondsState.from_json(state.to_json()), start, end, row)
        rows += complete
    whole = per_second(steps, anchor_seconds=5.0)
    assert to_scores(rows + finish_seconds(state), 4) == whole


def test_steps_that_end_a_rounding_error_off_the_grid_make_one_row_a_second() -> None:
    edges = np.cumsum(np.full(3001, 0.1)) - 0.1
    steps = Scores(edges[:-1], edges[1:], np.ones((3000, 1)))
    assert len(per_second(steps)) == 300
    assert len(per_second(steps, step_seconds=0.1)) == 3000


def test_wrong_input_is_refused() -> None:
    state, _ = push_step(init_seconds(), 0, 1.5, [1.0])
    with pytest.raises(OptionError, match="order"):
        push_step(state, 1.0, 2.0, [1.0])
    with pytest.raises(OptionError, match="end after"):
        push_step(state, 1.5, 1.5, [1.0])
    with pytest.raises(OptionError, match="finite"):
        push_step(state, 1.5, 2.5, [np.nan])
    with pytest.raises(OptionError, match="positive"):
        init_seconds(step_seconds=0)
    with pytest.raises(CheckpointError):
        SecondsState.from_json("{}")
