"""One vector for a clip out of the tokens of its stages.

Letters: B streams, T H W the token grid, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["greatest"]


def greatest(features: tuple[Tensor, ...]) -> Tensor:
    """features: per stage (B, T, H, W, D_s) -> (B, sum of D_s): each feature's greatest value.

    What happens in one place for a moment is one token in a thousand; the mean hides it, the
    greatest value shows it.
    """
    return torch.cat([x.amax(dim=(1, 2, 3)) for x in features], dim=1)
