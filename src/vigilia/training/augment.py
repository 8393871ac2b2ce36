"""Changes of a picture that are the same for a whole stretch, so that time stays whole.

A row keeps its look until it jumps elsewhere: what is remembered must look like what is seen.

Letters: B rows, C channels, T frames, H W pixels.
"""

from __future__ import annotations

import math
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
        moves: (B, 2, 3) affine map from places in the new picture to places in the old, both in
            -1..1; None if nothing moves.
        gain: (B,) factor on normalised pixels.
        offset: (B,) added to them.
    """

    moves: Tensor | None
    gain: Tensor
    offset: Tensor


def draw_look(options: TrainOptions, plays: tuple[int, ...]) -> Look:
    """The look of each row: a function of the seed and of the stretch that it plays."""
    moves, gain, offset = [], [], []
    for play in plays:
        random = np.random.default_rng([options.seed, 3, play])
        mirrored = -1.0 if random.random() < 0.5 and options.mirror else 1.0
        angle = math.radians(options.turn_degrees) * random.uniform(-1, 1)
        zoom = 1 + options.zoom * random.uniform(-1, 1)
        shift = options.zoom * random.uniform(-1, 1, 2)
        cosine, sine = zoom * math.cos(angle), zoom * math.sin(angle)
        moves.append([[cosine * mirrored, -sine, shift[0]], [sine * mirrored, cosine, shift[1]]])
        gain.append(1 + options.brightness * random.uniform(-1, 1))
        offset.append(options.brightness * random.uniform(-1, 1))
    still = not (options.mirror or options.turn_degrees or options.zoom)
    return Look(
        moves=None if still else torch.tensor(moves, dtype=torch.float32),
        gain=torch.tensor(gain, dtype=torch.float32),
        offset=torch.tensor(offset, dtype=torch.float32),
    )


def apply_look(clip: Tensor, look: Look) -> Tensor:
    """clip: (B, C, T, H, W), normalised -> the same shape.

    What comes into view from outside the picture repeats its edge.
    """
    if look.moves is not None:
        batch, channels, frames, height, width = clip.shape
        moves = look.moves.to(clip)
        grid = F.affine_grid(moves, [batch, 1, height, width], align_corners=False)
        pictures = clip.flatten(1, 2)  # (B, C * T, H, W): one grid for all frames of a row
        moved = F.grid_sample(
            pictures, grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        clip = moved.view(batch, channels, frames, height, width)
    column = (-1, 1, 1, 1, 1)
    return clip * look.gain.to(clip).view(column) + look.offset.to(clip).view(column)
