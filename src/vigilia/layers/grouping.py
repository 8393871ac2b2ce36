"""Which tokens of a space-time grid attend among themselves.

A grid is cut into boxes. The tokens inside a box form a group, or the tokens at the same place of
all boxes do; nearly every factorised attention is one of the two. A grid that the boxes do not
fill is padded, and what was padded is masked.

Letters: B streams, T H W the token grid, D features, G groups, N tokens of one group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vigilia.layers.windows import Size, pad_to_multiple, partition_windows, reverse_windows

__all__ = ["Extent", "Grouping", "group", "grouping_mask", "ungroup"]

Extent = int | Literal["whole", "half"]
"""How far a box reaches along one axis: so many tokens, the whole axis, or half of it."""


@dataclass(frozen=True)
class Grouping:
    """Boxes over a grid, and which tokens of them belong together.

    Attributes:
        box: extent along T, H and W.
        across: groups are the tokens at one place of all boxes, not those inside one box.
    """

    box: tuple[Extent, Extent, Extent]
    across: bool = False

    def fit(self, grid: Size) -> Size:
        """The box on this grid, in tokens. Half of an odd extent rounds up."""
        t, h, w = (
            size if extent == "whole" else -(-size // 2) if extent == "half" else extent
            for size, extent in zip(grid, self.box, strict=True)
        )
        return t, h, w


def group(x: Tensor, grouping: Grouping) -> Tensor:
    """x: (B, T, H, W, D) -> (B, G, N, D), the groups' tokens in (t, h, w) order."""
    box = grouping.fit((x.shape[1], x.shape[2], x.shape[3]))
    inside = partition_windows(pad_to_multiple(x, box), box)  # (B * boxes, places, D)
    inside = inside.unflatten(0, (len(x), -1))  # (B, boxes, places, D)
    return inside.transpose(1, 2) if grouping.across else inside


def ungroup(groups: Tensor, grouping: Grouping, grid: Size) -> Tensor:
    """groups: (B, G, N, D) -> (B, T, H, W, D), the inverse of `group` on a grid (T, H, W)."""
    box = grouping.fit(grid)
    inside = groups.transpose(1, 2) if grouping.across else groups
    t, h, w = (-(-size // extent) * extent for size, extent in zip(grid, box, strict=True))
    x = reverse_windows(inside.flatten(0, 1), box, (t, h, w))
    return x[:, : grid[0], : grid[1], : grid[2]]


def grouping_mask(grouping: Grouping, grid: Size, device: torch.device) -> Tensor | None:
    """(G, N) bool, true where a token is real and not padding; None when there is no padding."""
    box = grouping.fit(grid)
    if not any(size % extent for size, extent in zip(grid, box, strict=True)):
        return None
    return group(torch.ones(1, *grid, 1, device=device), grouping)[0, :, :, 0] > 0
