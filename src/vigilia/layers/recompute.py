"""Trading time for memory while training: inputs are kept, what lies between is computed again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

__all__ = ["recompute"]


def recompute(function: Callable[[Tensor], Tensor], x: Tensor, *, enabled: bool) -> Tensor:
    """`function(x)`; when enabled, and gradients are wanted, it runs once more in the backward.

    Batch norms inside see a clip twice then, so that their running statistics move twice as fast.
    """
    if enabled and torch.is_grad_enabled():
        return checkpoint(function, x, use_reentrant=False)
    return function(x)
