"""Answers that stand until there is a new one.

Letters: T steps, B streams.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["held"]


def held(fresh: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """The newest value at each step: that of the last step that made one, or the one before.

    Args:
        fresh: (T, B) bool, whether the step made a value.
        new: (T, B, ...) values; what is not fresh is not looked at.
        old: (B, ...) before the first step.
    """
    steps = torch.arange(1, len(fresh) + 1, device=fresh.device)[:, None]
    last = torch.where(fresh, steps, 0).cummax(0).values  # (T, B): 0 is the old one
    index = last.view(*last.shape, *[1] * (new.ndim - 2)).expand_as(new)
    return torch.cat([old[None].to(new.dtype), new]).gather(0, index)
