"""Learned positions on a grid, also on one of another size than they were learned on.

Letters: T H W the token grid, D features.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from vigilia.layers.windows import Size

__all__ = ["resize_positions"]


def resize_positions(positions: Tensor, grid: Size) -> Tensor:
    """positions: (T0, H0, W0, D) -> (T, H, W, D), linear along each axis; the same size unchanged.

    Corners do not stay corners: what is halved is averaged in pairs, as with pictures.
    """
    if tuple(positions.shape[:3]) == tuple(grid):
        return positions
    moved = positions.permute(3, 0, 1, 2)[None]  # (1, D, T0, H0, W0)
    resized = F.interpolate(moved, size=grid, mode="trilinear", align_corners=False)
    return resized[0].permute(1, 2, 3, 0)
