"""A linear layer and what follows it, in one pass over memory where nothing learns.

PyTorch writes the bias of a large product into its result first, then adds the product, then reads
all of it again for the activation, or for the sum with what went around the layer. On a CPU in
float32 that is a fifth of a linear layer's time; oneDNN, which comes with PyTorch, does all of it
while the result is in the cache, and its product is the faster one, too. In bfloat16 PyTorch takes
that way by itself.
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
    """`torch.nn.Linear`, with the same weights, by `linear`.

    Attributes:
        packed: the weight as oneDNN's products read it; None until `pack`.
    """

    packed: Tensor | None = None

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """x: (..., D) -> (..., E), plus `added` (..., E) if there is any."""
        return self.apply_to(x, added=added)

    def apply_to(self, x: Tensor, *, gelu: bool = False, added: Tensor | None = None) -> Tensor:
        """`linear` with the layer's weights, packed ones where there are any."""
        packed = None if torch.compiler.is_compiling() else self.packed
        return linear(x, self.weight, self.bias, gelu=gelu, added=added, packed=packed)

    def pack(self, rows: int) -> None:
        """Lays the weight out once, as every product would otherwise do anew.

        Only for a copy that no longer learns, and where `linear` takes the way through oneDNN: the
        results stay the same to the bit. It doubles what the weight occupies. Copies of the layer
        and files know nothing of it.

        Args:
            rows: of a product, about.
        """
        with torch.no_grad():
            if _pays(self.weight.new_empty(1).expand(rows, self.in_features), self.weight):
                weight = self.weight.detach()
                self.packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)

    def __getstate__(self) -> dict[str, Any]:
        return {name: kept for name, kept in self.__dict__.items() if name != "packed"}


class Mlp(nn.Sequential):
    """Two linear layers and a GELU between them; their weights are `0` and `2`, as in a sequence.

    Args:
        dim: D.
        hidden: width between them.
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__(Linear(dim, hidden), nn.GELU(), Linear(hidden, dim))

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """x: (..., D) -> (..., D), plus `added` (..., D) if there is any."""
        first: Any = self[0]
        last: Any = self[2]
        return last(first.apply_to(x, gelu=True), added)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    gelu: bool = False,
    added: Tensor | None = None,
    packed: Tensor | None = None,
) -> Tensor:
    """x: (..., D), weight: (E, D), bias: (E,) -> (..., E).

    Args:
        x: what is multiplied.
        weight: with this.
        bias: added to the product; None for none.
        gelu: whether that goes through a GELU.
        added: (..., E), to the result; None for nothing. Not together with `gelu`.
        packed: the weight once more, see `Linear.pack`.
    """
    assert added is None or not gelu
    if _pays(x, weight):
        fused = torch.ops.mkldnn._linear_pointwise
        weight = weight if packed is None else packed
        if added is not None:
            summed: Tensor = fused.binary(x, added, weight, bias, "add")
            return summed
        name, way = ("gelu", "none") if gelu else ("none", "")
        made: Tensor = fused(x, weight, bias, name, [], way)
        return made
    y = F.linear(x, weight, bias)
    if added is not None:
        return added + y
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
    def flops(x: Any, *_: Any, out_shape: Any, **__: Any) -> int:
        return 2 * math.prod(x) * out_shape[-1]


_register_flops()
