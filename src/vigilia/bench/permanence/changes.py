"""Scans changed a little, so that a thousand of them are enough to learn from.

Each is turned, scaled, slanted, shifted and bent by chance, and its strokes made fainter or bolder;
never so much that it becomes another digit. Only scans that are learned from are changed.

Letters: N scans.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["change_scans"]

TURN = math.radians(12)
SCALE = 0.12
SLANT = 0.15
SHIFT = 0.6
"""Pixels, at most, in each direction."""
BEND = 0.45
"""Standard deviation, in pixels, of how far each of 4 x 4 points moves by itself."""
BOLDNESS = 0.3


def change_scans(scans: Tensor, generator: torch.Generator) -> Tensor:
    """Scans (N, 8, 8) from 0 to 1 -> the same shape, each changed in its own way.

    Args:
        scans: to be changed.
        generator: of what chance decides.
    """
    count, side = len(scans), scans.shape[-1]

    def between(size: float, *shape: int) -> Tensor:
        return size * (2 * torch.rand(count, *shape, generator=generator) - 1)

    angle, slant = between(TURN), between(SLANT)
    across, down = (between(SCALE).exp() for _ in range(2))
    # Where each pixel of the changed scan looks: rows of a matrix for x and for y.
    matrix = torch.stack(
        [
            torch.stack([angle.cos() * across, (slant - angle.sin()) * across], -1),
            torch.stack([angle.sin() * down, angle.cos() * down], -1),
        ],
        1,
    )  # (N, 2, 2)
    shift = between(SHIFT, 2) * 2 / side  # a picture is two units wide
    grid = F.affine_grid(
        torch.cat([matrix, shift[..., None]], -1), [count, 1, side, side], align_corners=False
    )
    bend = torch.randn(count, 2, 4, 4, generator=generator) * (BEND * 2 / side)
    grid = grid + F.interpolate(
        bend, size=(side, side), mode="bicubic", align_corners=True
    ).permute(0, 2, 3, 1)
    moved = F.grid_sample(scans[:, None], grid, align_corners=False)[:, 0]
    return moved.clamp(0, 1) ** between(BOLDNESS).exp()[:, None, None]
