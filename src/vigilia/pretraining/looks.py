"""How clips are changed before they are shown: each in its own way, the same in all its frames.

Letters: B clips, C channels, T frames, H W pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vigilia.pretraining.options import PretrainOptions
from vigilia.training.augment import apply_look, draw_look
from vigilia.training.options import TrainOptions

__all__ = ["look_at"]


def look_at(clip: Tensor, update: int, options: PretrainOptions) -> Tensor:
    """clip: (B, C, T, H, W), normalised -> the same shape; a function of seed and update."""
    usual = TrainOptions(
        mirror=options.mirror,
        quarter_turns=options.quarter_turns,
        zoom=options.zoom,
        brightness=options.brightness,
        seed=options.seed,
    )
    numbers = range(update * len(clip), (update + 1) * len(clip))
    clip = apply_look(clip, draw_look(usual, numbers))
    if not options.colour:
        return clip
    random = np.random.default_rng([options.seed, 33, update])
    gain = 1 + options.colour * random.uniform(-1, 1, (len(clip), clip.shape[1], 1, 1, 1))
    return clip * torch.from_numpy(gain).to(clip)
