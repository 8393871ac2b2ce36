"""Boxes: how much they overlap, and which belongs to which.

A box is (left, top, right, bottom) in pixels. Letters: N boxes, M others.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["box_overlap", "match_boxes"]


def box_overlap(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union. (N, 4), (M, 4) -> (N, M), 0 to 1."""
    corner = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    opposite = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = (opposite - corner).clamp(min=0).prod(dim=2)
    areas = [(one[:, 2:] - one[:, :2]).clamp(min=0).prod(dim=1) for one in (boxes, others)]
    union = areas[0][:, None] + areas[1][None] - shared
    return shared / union.clamp(min=1e-9)


def match_boxes(gain: Tensor, *, least: float) -> list[tuple[int, int]]:
    """Pairs (row, column) with the greatest total gain, each row and column at most once.

    Pairs below `least` are no pairs, and do not keep others from theirs. The assignment is by
    shortest augmenting paths (Kuhn 1955; Jonker and Volgenant 1987).

    Args:
        gain: (N, M), 0 or more, such as overlaps.
        least: of a pair.
    """
    if 0 in gain.shape:
        return []
    worth = np.where(gain.numpy() >= least, gain.double().numpy(), 0.0)
    pairs = _assign(-worth) if worth.shape[0] <= worth.shape[1] else None
    if pairs is None:
        pairs = [(row, column) for column, row in _assign(-worth.T)]
    return sorted((row, column) for row, column in pairs if gain[row, column] >= least)


def _assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Rows to columns at least total cost; cost: (n, m) with n <= m."""
    rows, columns = cost.shape
    row_price, column_price = np.zeros(rows + 1), np.zeros(columns + 1)
    holder = np.zeros(columns + 1, np.int64)  # the row that holds a column, from 1; 0 none
    for row in range(1, rows + 1):
        holder[0], here = row, 0
        shortest = np.full(columns + 1, np.inf)
        came_from = np.zeros(columns + 1, np.int64)
        seen = np.zeros(columns + 1, bool)
        while holder[here]:
            seen[here] = True
            free = np.flatnonzero(~seen[1:]) + 1
            reduced = (
                cost[holder[here] - 1, free - 1] - row_price[holder[here]] - column_price[free]
            )
            better = reduced < shortest[free]
            shortest[free[better]] = reduced[better]
            came_from[free[better]] = here
            following = free[shortest[free].argmin()]
            step = shortest[following]
            row_price[holder[seen]] += step
            column_price[seen] -= step
            shortest[free] -= step
            here = following
        while here:
            holder[here] = holder[came_from[here]]
            here = came_from[here]
    return [(int(holder[c]) - 1, c - 1) for c in range(1, columns + 1) if holder[c]]
