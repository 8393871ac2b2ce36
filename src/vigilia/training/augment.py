"""Changes of a picture that are the same for a whole stretch, so that time stays whole.

A row keeps its look until it jumps elsewhere: what is remembered must look like what is seen.

Letters: B rows, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.training.options import TrainOptions

__all__ = ["Look", "apply_look", "draw_look"]


@dataclass(frozen=True)
class Look:
    """How each row is changed.

    Attributes:
        mirrored: (B,) left and right change places.
        quarter_turns: (B,) 0 to 3.
        moves: (B, 2, 3) affine map from places in the new picture to places in the old, both in
            -1..1; None if nothing is zoomed or shifted.
        gain: (B,) factor on normalised pixels.
        offset: (B,) added to them.
    """

    mirrored: tuple[bool, ...]
    quarter_turns: tuple[int, ...]
    moves: Tensor | None
    gain: Tensor
    offset: Tensor


def draw_look(options: TrainOptions, plays: tuple[int, ...]) -> Look:
    """The look of each row: a function of the seed and of the stretch that it plays."""
    mirrored, turns, moves, gain, offset = [], [], [], [], []
    for play in plays:
        random = np.random.default_rng([options.seed, 3, play])
        mirrored.append(bool(random.random() < 0.5) and options.mirror)
        turns.append(int(random.integers(4)) if options.quarter_turns else 0)
        size = 1 + options.zoom * random.uniform(-1, 1)
        right, down = options.zoom * random.uniform(-1, 1, 2)
        moves.append([[size, 0.0, right], [0.0, size, down]])
        gain.append(1 + options.brightness * random.uniform(-1, 1))
        offset.append(options.brightness * random.uniform(-1, 1))
    return Look(
        mirrored=tuple(mirrored),
        quarter_turns=tuple(turns),
        moves=torch.tensor(moves, dtype=torch.float32) if options.zoom else None,
        gain=torch.tensor(gain, dtype=torch.float32),
        offset=torch.tensor(offset, dtype=torch.float32),
    )


def apply_look(clip: Tensor, look: Look) -> Tensor:
    """clip: (B, C, T, H, W), normalised -> the same shape.

    Quarter turns need H = W. What a shift brings in from outside the picture repeats its edge.
    """
    rows = []
    for row, mirrored, turns in zip(clip, look.mirrored, look.quarter_turns, strict=True):
        turned = torch.rot90(row, turns, dims=(-2, -1)) if turns else row
        rows.append(turned.flip(-1) if mirrored else turned)
    clip = torch.stack(rows)
    if look.moves is not None:
        batch, channels, frames, height, width = clip.shape
        grid = F.affine_grid(look.moves.to(clip), [batch, 1, height, width], align_corners=False)
        pictures = clip.flatten(1, 2)  # (B, C * T, H, W): one grid for all frames of a row
        moved = F.grid_sample(
            pictures, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        clip = moved.view(batch, channels, frames, height, width)
    column = (-1, 1, 1, 1, 1)
    return torch.addcmul(look.offset.to(clip).view(column), clip, look.gain.to(clip).view(column))
