"""Keys of picture cells that need no training: colour, texture, surroundings and place.

A trained image model gives better ones; these tell a red jacket from grass.

Letters: B streams, H W pixels, h w grid of cells, N = h * w, D features.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.errors import InputError

__all__ = ["box_features", "pixel_keys"]

BINS = 8


def pixel_keys(pictures: Tensor, *, cell: int = 4, place: float = 2.0) -> Tensor:
    """pictures: (B, 3, H, W) from 0 to 1 -> keys (B, N, 11), row by row.

    Three colours, three deviations within the cell, three colours of the 3 x 3 cells around it, and
    where it lies. Distances of 1 are meant to be large: colours count by the tenth.

    Args:
        pictures: H and W are multiples of `cell`.
        cell: side of a cell in pixels.
        place: how much place counts: two cells that are half a picture apart are as far from each
            other as `place` tenths of full brightness.

    Raises:
        InputError: shapes that do not fit.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise InputError(f"pictures must be (B, 3, H, W), got {tuple(pictures.shape)}")
    height, width = pictures.shape[2:]
    if height % cell or width % cell:
        raise InputError(f"height and width must be multiples of {cell}, got {height} x {width}")
    colour = F.avg_pool2d(pictures, cell)
    spread = (F.avg_pool2d(pictures.square(), cell) - colour.square()).clamp(min=0).sqrt()
    around = F.avg_pool2d(F.pad(colour, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    rows = torch.linspace(-1, 1, colour.shape[2], device=pictures.device)
    columns = torch.linspace(-1, 1, colour.shape[3], device=pictures.device)
    grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij"))  # (2, h, w)
    where = (place / 10) * grid.expand(len(pictures), -1, -1, -1)
    keys = 10 * torch.cat([colour, spread, 0.5 * around, where], dim=1)
    return keys.flatten(2).transpose(1, 2)


def box_features(picture: Tensor, boxes: Tensor) -> Tensor:
    """What lies in boxes: histograms of the colours of their upper and lower halves.

    picture: (3, H, W) from 0 to 1, boxes: (N, 4) in pixels -> (N, 48), square roots of shares.
    """
    height, width = picture.shape[1:]
    bins = (picture * BINS).long().clamp(0, BINS - 1)
    found = []
    for left, top, right, bottom in boxes.round().long().tolist():
        left, right = max(0, min(left, width - 1)), max(1, min(right, width))
        top, bottom = max(0, min(top, height - 2)), max(2, min(bottom, height))
        right, bottom = max(right, left + 1), max(bottom, top + 2)
        middle = (top + bottom) // 2
        for rows in (slice(top, middle), slice(middle, bottom)):
            part = bins[:, rows, left:right].flatten(1)  # (3, n)
            shares = F.one_hot(part, BINS).float().mean(dim=1)  # (3, BINS)
            found.append(shares.sqrt().flatten())
    return torch.stack(found).view(len(boxes), -1) if found else picture.new_zeros(0, 6 * BINS)
