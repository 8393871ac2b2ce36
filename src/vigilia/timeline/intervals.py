"""Which label covers most of a stretch of time: the one rule that labels and timelines share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError

__all__ = ["grid_starts", "majority"]

ROUNDING_SECONDS = 1e-6
"""Two times closer than this are the same time."""


def grid_starts(
    start_seconds: float, end_seconds: float, step_seconds: float
) -> NDArray[np.float64]:
    """Starts of the cells of `step_seconds` that cover [start, end), the last maybe reaching over.

    Raises:
        OptionError: `step_seconds` is not a positive number.
    """
    if not (np.isfinite(step_seconds) and step_seconds > 0):
        raise OptionError(f"step_seconds must be a positive number, got {step_seconds}")
    cells = int(np.ceil((end_seconds - start_seconds) / step_seconds - ROUNDING_SECONDS))
    return start_seconds + step_seconds * np.arange(max(cells, 0), dtype=np.float64)


def majority(
    starts: ArrayLike,
    ends: ArrayLike,
    codes: ArrayLike,
    cell_starts: ArrayLike,
    cell_ends: ArrayLike,
) -> NDArray[np.int64]:
    """Code that covers most of each cell, -1 where less than half of the cell is covered.

    Of codes that cover the same time the one that comes first in the cell wins.

    Args:
        starts: (M,) seconds, ascending; the intervals do not overlap.
        ends: (M,) seconds.
        codes: (M,) integers, 0 or above.
        cell_starts: (N,) seconds, in any order.
        cell_ends: (N,) seconds.

    Returns:
        (N,) int64.

    Raises:
        OptionError: a cell ends before or when it starts.
    """
    starts, ends = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    codes = np.asarray(codes, np.int64)
    cell_starts, cell_ends = np.asarray(cell_starts, np.float64), np.asarray(cell_ends, np.float64)
    if np.any(cell_ends <= cell_starts):
        raise OptionError("an interval must end after it starts")
    winners = np.full(len(cell_starts), -1, np.int64)
    first = np.searchsorted(ends, cell_starts, side="right")
    after_last = np.searchsorted(starts, cell_ends, side="left")
    counts = np.maximum(after_last - first, 0)
    if counts.sum() == 0:
        return winners
    # One entry for each pair of a cell and an interval that meets it.
    cell = np.repeat(np.arange(len(counts)), counts)
    offset = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    interval = np.repeat(first, counts) + offset
    overlap = np.minimum(ends[interval], cell_ends[cell]) - np.maximum(
        starts[interval], cell_starts[cell]
    )
    width = int(codes.max()) + 1
    keys, first_pair, inverse = np.unique(
        cell * width + codes[interval], return_index=True, return_inverse=True
    )
    # Rounded, so that a tie is a tie whatever the last bit of a sum says.
    covered = np.round(np.bincount(inverse, weights=overlap), 7)
    order = np.lexsort((first_pair, -covered, keys // width))
    leader_cells, leaders = np.unique(keys[order] // width, return_index=True)
    winners[leader_cells] = keys[order][leaders] % width
    labelled = np.bincount(cell, weights=overlap, minlength=len(winners))
    winners[labelled < (cell_ends - cell_starts) / 2 - ROUNDING_SECONDS] = -1
    return winners
