"""Stochastic depth: whole residual branches are dropped, stream by stream, while training.

"Deep Networks with Stochastic Depth", Huang, Sun, Liu, Sedra, Weinberger, 2016.
Letters: B streams, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vigilia.errors import OptionError

__all__ = ["DropPath", "drop_path"]


def drop_path(x: Tensor, probability: float, training: bool) -> Tensor:
    """x: (B, ..., D) -> (B, ..., D). Zeroes each row with a probability and rescales the others.

    The rescaling by 1 / (1 - probability) keeps the expectation, so evaluation is the identity.
    """
    if not training or probability == 0.0:
        return x
    if probability == 1.0:
        return torch.zeros_like(x)
    keep = 1.0 - probability
    row_shape = (x.shape[0],) + (1,) * (x.ndim - 1)
    return x * x.new_empty(row_shape).bernoulli_(keep).div_(keep)


class DropPath(nn.Module):
    """`drop_path` with a fixed probability; the identity in evaluation."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0.0 <= probability <= 1.0:
            raise OptionError(f"drop_path must lie in [0, 1], got {probability}")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ..., D) -> (B, ..., D)."""
        return drop_path(x, self.probability, self.training)

    def extra_repr(self) -> str:
        return f"probability={self.probability:g}"
