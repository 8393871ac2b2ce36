"""Changes of a picture that are the same for a whole recording, so that time stays whole.

Letters: B rows, C channels, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vigilia.training.options import TrainOptions

__all__ = ["Look", "apply_look", "draw_look"]


@dataclass(frozen=True)
class Look:
    """How each row is changed: mirrored (B,) bool, gain (B,) and offset (B,) of the pixels."""

    mirrored: Tensor
    gain: Tensor
    offset: Tensor


def draw_look(options: TrainOptions, plays: tuple[int, ...]) -> Look:
    """The look of each row, a function of the seed and of which play of a recording it is.

    It stays the same until the recording ends, so that what is remembered looks like what is seen.
    """
    draws = np.array([np.random.default_rng([options.seed, 3, play]).random(3) for play in plays])
    span = options.brightness
    return Look(
        mirrored=torch.from_numpy(draws[:, 0] < (0.5 if options.mirror else 0.0)),
        gain=torch.from_numpy(1 + span * (2 * draws[:, 1] - 1)).float(),
        offset=torch.from_numpy(span * (2 * draws[:, 2] - 1)).float(),
    )


def apply_look(clip: Tensor, look: Look) -> Tensor:
    """clip: (B, C, T, H, W), normalised -> the same shape."""
    column = (-1, 1, 1, 1, 1)
    mirrored = look.mirrored.to(clip.device).view(column)
    clip = torch.where(mirrored, clip.flip(-1), clip)
    return clip * look.gain.to(clip).view(column) + look.offset.to(clip).view(column)
