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

__all__ = ["ATAN", "SIGMOID", "SURROGATES", "WIDE", "Surrogate", "spike"]


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

    def times_(self, x: Tensor, by: Tensor, plus: Tensor, one: Tensor, *, out: Tensor) -> None:
        """Puts `plus + by * derivative(x)` into out, and writes over x.

        Args:
            x: distance from the threshold.
            by: same shape.
            plus: same shape.
            one: () 1, of the same type.
            out: same shape.
        """
        if self.shape != "atan":
            torch.addcmul(plus, by, self.derivative_(x), out=out)
            return
        # Most of a training's time goes through here: two operations in place of seven.
        torch.addcmul(one, x, x, value=(math.pi / 2 * self.width) ** 2, out=x)
        torch.addcdiv(plus, by, x, value=self.width / 2, out=out)


ATAN = Surrogate()
"""The default (Fang et al., "Incorporating learnable membrane time constant", ICCV 2021)."""

WIDE = Surrogate("atan", 1.0)
"""For neurons that find their own thresholds: there a bump twice as wide learns faster."""

SIGMOID = Surrogate("sigmoid", 4.0)
"""SpikingJelly's default."""


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Any, surrogate: Surrogate) -> Tensor:
        ctx.save_for_backward(x, threshold if isinstance(threshold, Tensor) else None)
        ctx.threshold, ctx.surrogate = threshold, surrogate
        return _fired(x, threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        x, levels = ctx.saved_tensors
        back = x - (ctx.threshold if levels is None else levels)
        back = ctx.surrogate.derivative_(back).mul_(gradients[0])
        to_levels = None if levels is None else -back.sum_to_size(levels.shape)
        return back, to_levels, None


def spike(x: Tensor, surrogate: Surrogate = ATAN, *, threshold: float | Tensor = 0.0) -> Tensor:
    """One where the threshold is reached, zero elsewhere; the gradient is the surrogate's.

    Args:
        x: membranes, any shape.
        surrogate: the derivative to use.
        threshold: where they fire; a tensor must broadcast to x.
    """
    if not (torch.is_grad_enabled() and x.requires_grad):
        return _fired(x, threshold)
    fired: Tensor = _Spike.apply(x, threshold, surrogate)
    return fired


def _fired(x: Tensor, threshold: float | Tensor) -> Tensor:
    if torch.compiler.is_compiling():
        return (x >= threshold).to(x.dtype)
    # Into floats at once: a mask of bools costs several times as much.
    fired: Tensor = torch.ge(x, threshold, out=torch.empty_like(x))
    return fired
