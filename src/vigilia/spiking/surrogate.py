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


def _sigmoid(x: Tensor, width: float) -> Tensor:
    level = torch.sigmoid(x * width)
    return level * (1 - level) * width


def _atan(x: Tensor, width: float) -> Tensor:
    # In place: most of a training's time goes through here.
    bump = (x * (math.pi / 2 * width)).square_().add_(1.0).reciprocal_()
    return bump.mul_(width / 2)


def _triangle(x: Tensor, width: float) -> Tensor:
    return (width - width * width * x.abs()).clamp_min(0)


SURROGATES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "sigmoid": _sigmoid,
    "atan": _atan,
    "triangle": _triangle,
}
"""Derivatives by name; each integrates to one, so that only the width of the bump differs."""


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
