"""Changes of a picture that are the same for a whole stretch, so that time stays whole.

A row keeps its look until it jumps elsewhere: what is remembered must look like what is seen. The
same holds for what is mixed into it: one partner, one share, one box from first clip to last.

Letters: B rows, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.training.options import TrainOptions

__all__ = ["Look", "Mix", "apply_look", "apply_mix", "draw_look", "draw_mix"]

SQUARES = 8
"""What a tube mask hides is a number of squares of a grid of 8 by 8."""


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
        hidden: (B, 8, 8) bool, squares that show nothing but the mean colour; None for none.
    """

    mirrored: tuple[bool, ...]
    quarter_turns: tuple[int, ...]
    moves: Tensor | None
    gain: Tensor
    offset: Tensor
    hidden: Tensor | None = None


@dataclass(frozen=True)
class Mix:
    """How a second recording is mixed into a row.

    Attributes:
        share: of the row's own picture that stays, and of its label in the loss.
        box: top, left, bottom, right in pixels: the part that the second recording covers; None
            where it shines through everywhere.
    """

    share: float
    box: tuple[int, int, int, int] | None


def draw_mix(options: TrainOptions, play: int, height: int, width: int) -> Mix | None:
    """What is mixed into a stretch: a function of the seed and of the stretch; None for nothing.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2018; Yun et al., "CutMix:
    Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019.
    """
    if not options.mixup and not options.cutmix:
        return None
    random = np.random.default_rng([options.seed, 8, play])
    mixed, cuts = random.random() < options.mix_probability, random.random() < 0.5
    if not mixed:
        return None
    if not options.cutmix or (options.mixup and not cuts):
        return Mix(float(random.beta(options.mixup, options.mixup)), None)
    side = (1 - random.beta(options.cutmix, options.cutmix)) ** 0.5
    tall, wide = round(side * height), round(side * width)
    top, left = int(random.integers(height - tall + 1)), int(random.integers(width - wide + 1))
    # The share is that of the box in whole pixels.
    return Mix(1 - tall * wide / (height * width), (top, left, top + tall, left + wide))


def apply_mix(clip: Tensor, other: Tensor, mixes: Sequence[Mix | None]) -> Tensor:
    """clip, other: (B, C, T, H, W), both normalised -> the same shape."""
    rows = []
    for own, partner, mix in zip(clip, other, mixes, strict=True):
        if mix is None:
            rows.append(own)
        elif mix.box is None:
            rows.append(torch.lerp(partner, own, mix.share))
        else:
            top, left, bottom, right = mix.box
            cut = own.clone()
            cut[..., top:bottom, left:right] = partner[..., top:bottom, left:right]
            rows.append(cut)
    return torch.stack(rows)


def draw_look(options: TrainOptions, plays: Sequence[int]) -> Look:
    """The look of each row: a function of the seed and of the stretch that it plays."""
    mirrored, turns, moves, gain, offset, hidden = [], [], [], [], [], []
    for play in plays:
        random = np.random.default_rng([options.seed, 3, play])
        mirrored.append(bool(random.random() < 0.5) and options.mirror)
        turns.append(int(random.integers(4)) if options.quarter_turns else 0)
        size = 1 + options.zoom * random.uniform(-1, 1)
        right, down = options.zoom * random.uniform(-1, 1, 2)
        moves.append([[size, 0.0, right], [0.0, size, down]])
        gain.append(1 + options.brightness * random.uniform(-1, 1))
        offset.append(options.brightness * random.uniform(-1, 1))
        squares = random.permutation(SQUARES**2) < round(options.tube_mask * SQUARES**2)
        hidden.append(squares.reshape(SQUARES, SQUARES))
    return Look(
        mirrored=tuple(mirrored),
        quarter_turns=tuple(turns),
        moves=torch.tensor(moves, dtype=torch.float32) if options.zoom else None,
        gain=torch.tensor(gain, dtype=torch.float32),
        offset=torch.tensor(offset, dtype=torch.float32),
        hidden=torch.from_numpy(np.stack(hidden)) if options.tube_mask else None,
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
    clip = torch.addcmul(look.offset.to(clip).view(column), clip, look.gain.to(clip).view(column))
    if look.hidden is not None:
        squares = look.hidden.to(clip)[:, None]  # (B, 1, 8, 8)
        hidden = F.interpolate(squares, clip.shape[-2:]).bool()  # nearest
        clip = clip.masked_fill(hidden[:, :, None], 0.0)
    return clip
