"""Surrogate gradients: what a spike's derivative is taken to be while a network learns.

A spike is a step, whose derivative is zero nearly everywhere. Going forward it stays a step; going
back it is replaced by a bump around the threshold (Neftci, Mostafa, Zenke, "Surrogate gradient
learning in spiking neural networks", 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vigilia.errors import OptionError

__all__ = ["ATAN", "SIGMOID", "SURROGATES", "Surrogate", "spike"]


# All in place: most of a training's time goes through here.
def _sigmoid(x: Tensor, width: float) -> Tensor:
    level = x.mul_(width).sigmoid_()
    return level.mul_(1 - level).mul_(width)


def _atan(x: Tensor, width: float) -> Tensor:
    return x.mul_(math.pi / 2 * width).square_().add_(1.0).reciprocal_().mul_(width / 2)


def _triangle(x: Tensor, width: float) -> Tensor:
    return x.abs_().mul_(-width * width).add_(width).clamp_min_(0)


SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sigmoid": _sigmoid,
    "atan": _atan,
    "triangle": _triangle,
}
"""Derivatives by name, which write over what they are given.

Each integrates to one, so that only the width of the bump differs.
"""


@dataclass(frozen=True)
class Surrogate:
    """A bump in place of the step's derivative.

    Attributes:
        shape: key of `SURROGATES`. "atan" has the longest reach: neurons far below their threshold
            still learn.
        width: steepness; larger is narrower.
    """

    shape: str = "atan"
    width: float = 2.0

    def __post_init__(self) -> None:
        if self.shape not in SURROGATES:
            raise OptionError(
                f"no surrogate named {self.shape!r}; there are {', '.join(SURROGATES)}"
            )
        if not self.width > 0:
            raise OptionError(f"a surrogate's width must be positive, got {self.width}")

    def derivative(self, x: Tensor) -> Tensor:
        """The bump at distance x from the threshold, same shape as x."""
        return self.derivative_(x.clone())

    def derivative_(self, x: Tensor) -> Tensor:
        """The same, written over x."""
        return SURROGATES[self.shape](x, self.width)


ATAN = Surrogate()
"""The default (Fang et al., "Incorporating learnable membrane time constant", ICCV 2021)."""

SIGMOID = Surrogate("sigmoid", 4.0)
"""SpikingJelly's default."""


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, distance: Tensor, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(distance)
        ctx.surrogate = surrogate
        return (distance >= 0).to(distance.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (distance,) = ctx.saved_tensors
        return gradients[0] * ctx.surrogate.derivative(distance), None


def spike(distance: Tensor, surrogate: Surrogate = ATAN) -> Tensor:
    """One where the threshold is reached, zero elsewhere; the gradient is the surrogate's.

    Args:
        distance: membrane minus threshold, any shape.
        surrogate: the derivative to use.
    """
    if not (torch.is_grad_enabled() and distance.requires_grad):
        return (distance >= 0).to(distance.dtype)
    fired: Tensor = _Spike.apply(distance, surrogate)
    return fired
