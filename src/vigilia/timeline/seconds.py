"""From the model's steps, of whatever length, to one state a second.

The grid begins with the recording. Each cell gets the mean of the steps that cover it, weighted by
the time they cover. A cell that a hole in the recording cuts gives one row for each of its observed
parts, so that the rows tile the observed time exactly; a cell inside a hole gives none.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import CheckpointError, OptionError
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.timeline import Scores

__all__ = [
    "Second",
    "SecondsState",
    "finish_seconds",
    "init_seconds",
    "per_second",
    "push_step",
    "to_scores",
]


@dataclass(frozen=True, eq=False)
class Second:
    """The scores of one cell of the grid, or of an observed part of it.

    Attributes:
        start_seconds: where it begins.
        end_seconds: where it ends.
        probabilities: (K,) float32.
    """

    start_seconds: float
    end_seconds: float
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class SecondsState:
    """The cell that is not complete yet; its size never grows.

    Attributes:
        anchor_seconds: where the grid begins.
        step_seconds: length of a cell.
        start_seconds: where the open row begins; None if none is open.
        end_seconds: how far it reaches; None before the first step.
        cell: number of the cell it lies in.
        weighted: (K,) sum of probability times seconds over the row.
    """

    anchor_seconds: float
    step_seconds: float
    start_seconds: float | None = None
    end_seconds: float | None = None
    cell: int = 0
    weighted: tuple[float, ...] = ()

    def to_json(self) -> str:
        """Text that `from_json` turns into this same state, to the last bit."""
        return json.dumps(dataclasses.asdict(self), allow_nan=False)

    @staticmethod
    def from_json(text: str) -> SecondsState:
        """Reads `to_json`.

        Raises:
            CheckpointError: the text is no saved state.
        """
        try:
            content = json.loads(text)
            return SecondsState(weighted=tuple(content.pop("weighted")), **content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(f"the saved seconds cannot be used: {error}") from error


def init_seconds(anchor_seconds: float = 0.0, step_seconds: float = 1.0) -> SecondsState:
    """A grid that begins at `anchor_seconds`, the start of the recording.

    Raises:
        OptionError: `step_seconds` is not a positive number.
    """
    if not (math.isfinite(step_seconds) and step_seconds > 0 and math.isfinite(anchor_seconds)):
        raise OptionError(f"step_seconds must be a positive number, got {step_seconds}")
    return SecondsState(float(anchor_seconds), float(step_seconds))


def push_step(
    state: SecondsState,
    start_seconds: float,
    end_seconds: float,
    probabilities: Sequence[float] | NDArray[np.floating],
) -> tuple[SecondsState, list[Second]]:
    """Takes the scores of [start, end); steps come in order and do not overlap.

    Args:
        state: as returned by the call before.
        start_seconds: where the step begins.
        end_seconds: where it ends.
        probabilities: (K,).

    Returns:
        The next state, and the rows that are now complete.

    Raises:
        OptionError: the step is empty or out of order, or the probabilities are not (K,) numbers.
    """
    values = np.asarray(probabilities, np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise OptionError(f"probabilities must be (K,) finite numbers, got shape {values.shape}")
    position, end = float(start_seconds), float(end_seconds)
    previous = state.end_seconds
    rows: list[Second] = []
    if previous is not None:
        if position < previous - ROUNDING_SECONDS:
            raise OptionError(f"steps must come in order: got {position} s after {previous} s")
        if position > previous + ROUNDING_SECONDS:
            rows, state = finish_seconds(state), replace(state, start_seconds=None)
        else:
            position = previous
    if not end > position:
        raise OptionError(f"a step must end after it starts, got {position} to {end} s")
    while position < end:
        if state.start_seconds is None:
            cells = (position + ROUNDING_SECONDS - state.anchor_seconds) / state.step_seconds
            state = replace(
                state,
                start_seconds=position,
                cell=math.floor(cells),
                weighted=(0.0,) * len(values),
            )
        boundary = state.anchor_seconds + (state.cell + 1) * state.step_seconds
        # A sliver that only rounding leaves is not worth a row of its own.
        complete = end >= boundary - ROUNDING_SECONDS
        reach = boundary if complete and abs(end - boundary) > ROUNDING_SECONDS else end
        reach = min(reach, end)
        weighted = np.asarray(state.weighted) + values * (reach - position)
        state = replace(state, end_seconds=reach, weighted=tuple(weighted.tolist()))
        if complete:
            rows, state = rows + finish_seconds(state), replace(state, start_seconds=None)
        position = reach
    return state, rows


def finish_seconds(state: SecondsState) -> list[Second]:
    """The row that is still open, as the last one."""
    if state.start_seconds is None or state.end_seconds is None:
        return []
    mean = np.asarray(state.weighted) / (state.end_seconds - state.start_seconds)
    return [Second(state.start_seconds, state.end_seconds, mean.astype(np.float32))]


def to_scores(rows: Sequence[Second], classes: int) -> Scores:
    """Rows as one table. `classes` gives its width where there are no rows."""
    return Scores(
        np.array([row.start_seconds for row in rows], np.float64),
        np.array([row.end_seconds for row in rows], np.float64),
        np.array([row.probabilities for row in rows], np.float32).reshape(len(rows), classes),
    )


def per_second(
    steps: Scores, *, anchor_seconds: float | None = None, step_seconds: float = 1.0
) -> Scores:
    """The whole recording at once: `push_step` for every step, then `finish_seconds`.

    Args:
        steps: scores of the model's steps.
        anchor_seconds: where the grid begins; with the first step if not given.
        step_seconds: length of a cell.
    """
    if anchor_seconds is None:
        anchor_seconds = float(steps.start_seconds[0]) if len(steps) else 0.0
    state = init_seconds(anchor_seconds, step_seconds)
    rows: list[Second] = []
    for start, end, probabilities in zip(
        steps.start_seconds.tolist(), steps.end_seconds.tolist(), steps.probabilities, strict=True
    ):
        state, complete = push_step(state, start, end, probabilities)
        rows += complete
    return to_scores(rows + finish_seconds(state), steps.probabilities.shape[1])
