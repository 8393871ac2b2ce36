"""A linear layer and what follows it, in one pass over memory where nothing learns.

PyTorch writes the bias of a large product into its result first, then adds the product, then reads
all of it again for the activation. On a CPU in float32 that is a fifth of a linear layer's time;
oneDNN, which comes with PyTorch, does all of it while the result is in the cache, and its product
is the faster one, too. In bfloat16 PyTorch takes that way by itself.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import register_flop_formula

__all__ = ["Linear", "Mlp", "linear"]

LEAST_PRODUCTS = 2_000_000
"""Below so many products of numbers the way to oneDNN takes longer than it saves."""


class Linear(nn.Linear):
    """`torch.nn.Linear`, with the same weights, by `linear`."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D) -> (..., E)."""
        return linear(x, self.weight, self.bias)


class Mlp(nn.Sequential):
    """Two linear layers and a GELU between them; their weights are `0` and `2`, as in a sequence.

    Args:
        dim: D.
        hidden: width between them.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(Linear(dim, hidden), nn.GELU(), Linear(hidden, dim))

    def forward(self, x: Tensor) -> Tensor:
        """x: (..., D) -> (..., D)."""
        first: Any = self[0]
        last: Any = self[2]
        hidden = linear(x, first.weight, first.bias, gelu=True)
        return linear(hidden, last.weight, last.bias)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None, *, gelu: bool = False) -> Tensor:
    """x: (..., D), weight: (E, D), bias: (E,) -> (..., E), through a GELU if asked."""
    if _pays(x, weight):
        name, way = ("gelu", "none") if gelu else ("none", "")
        made: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, name, [], way)
        return made
    y = F.linear(x, weight, bias)
    return F.gelu(y) if gelu else y


def _pays(x: Tensor, weight: Tensor) -> bool:
    return (
        x.dtype == torch.float32
        and weight.dtype == torch.float32
        and x.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and x.numel() * len(weight) >= LEAST_PRODUCTS
        and torch.backends.mkldnn.is_available()
        and bool(torch.backends.mkldnn.enabled)
    )


def _register_flops() -> None:
    """Lets torch's counter see what `linear` computes: it does not know oneDNN's products."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return

    @register_flop_formula(torch.ops.mkldnn._linear_pointwise)
    def flops(x: Any, weight: Any, *_: Any, **__: Any) -> int:
        return 2 * math.prod(x) * weight[0]


_register_flops()
