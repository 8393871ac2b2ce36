"""Blocks of a transformer on a grid of tokens: attention over time, space or both, then an MLP.

Letters: B streams, T H W the token grid, D features, h heads, N queries, S keys.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.layers.attention import attend
from vigilia.layers.drop import DropPath
from vigilia.layers.linear import Linear, Mlp

__all__ = ["AxisAttention", "CrossAttention", "TokenBlock", "add_sinusoids"]


class AxisAttention(nn.Module):
    """Self-attention along some axes of the grid.

    Args:
        dim: D.
        heads: h.
        over: "time" (each place by itself), "space" (each frame by itself) or "joint".

    Raises:
        OptionError: no such axes, or heads that do not divide D.
    """

    def __init__(self, dim: int, *, heads: int, over: str) -> None:
        super().__init__()
        if over not in ("time", "space", "joint"):
            raise OptionError(f"over must be time, space or joint, got {over!r}")
        if dim % heads:
            raise OptionError(f"a width of {dim} does not divide by its {heads} heads")
        self.heads, self.over = heads, over
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, H, W, D) -> the same shape."""
        streams, frames, height, width, _ = x.shape
        if self.over == "time":
            rows = x.permute(0, 2, 3, 1, 4).flatten(0, 2)  # (B * H * W, T, D)
        elif self.over == "space":
            rows = x.flatten(2, 3).flatten(0, 1)  # (B * T, H * W, D)
        else:
            rows = x.flatten(1, 3)  # (B, T * H * W, D)
        q, k, v = self.qkv(rows).chunk(3, dim=-1)
        rows = self.proj(attend(q, k, v, heads=self.heads))
        if self.over == "time":
            return rows.view(streams, height, width, frames, -1).permute(0, 3, 1, 2, 4)
        return rows.view(x.shape)


class CrossAttention(nn.Module):
    """What one set of tokens takes from another, through a gate that starts at `gate`.

    Args:
        dim: D of the tokens that ask.
        other_dim: of those that are asked.
        heads: h; divides D.
        gate: at first.
    """

    def __init__(self, dim: int, other_dim: int, *, heads: int, gate: float) -> None:
        super().__init__()
        if dim % heads:
            raise OptionError(f"a width of {dim} does not divide by its {heads} heads")
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.norm_other = nn.LayerNorm(other_dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(other_dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.full((dim,), gate))

    def forward(self, x: Tensor, other: Tensor, hidden: Tensor | None = None) -> Tensor:
        """x: (B, ..., D), other: (B, S, D') -> what is to be added, (B, ..., D).

        Args:
            x: tokens that ask.
            other: tokens that are asked.
            hidden: (B, S) bool, true for those that are not there. Never all of a row.
        """
        query = self.query(self.norm(x)).flatten(1, -2)  # (B, N, D)
        key, value = self.key_value(self.norm_other(other)).chunk(2, dim=-1)
        bias = None
        if hidden is not None:
            bias = torch.zeros_like(hidden, dtype=x.dtype).masked_fill(hidden, float("-inf"))
            bias = bias[:, None, None]  # (B, 1, 1, S)
        mixed = attend(query, key, value, heads=self.heads, bias=bias)
        return self.gate * self.output(mixed).view(x.shape)


class TokenBlock(nn.Module):
    """Attention, one kind after the other, then memory's increment where asked, then an MLP.

    Args:
        dim: D.
        mixers: modules (B, T, H, W, D) -> the same shape.
        drop_path: probability of dropping a branch in training.
    """

    def __init__(self, dim: int, *mixers: nn.Module, drop_path: float = 0.0) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in mixers)
        self.mixers = nn.ModuleList(mixers)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, reader: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """x: (B, T, H, W, D) -> the same shape."""
        for norm, mixer in zip(self.norms, self.mixers, strict=True):
            x = x + self.drop_path(mixer(norm(x)))
        if reader is not None:
            x = x + reader(x)
        if self.training:
            return x + self.drop_path(self.mlp(self.norm2(x)))
        return self.mlp(self.norm2(x), added=x)


def add_sinusoids(x: Tensor) -> Tensor:
    """Adds each token's place, in time, height and width, as sines of many wavelengths.

    x: (B, T, H, W, D) -> the same shape. Nothing is learned, so that any grid will do.
    """
    dim = x.shape[-1]
    pairs = dim // 6
    if pairs == 0:
        return x
    rate = 10_000.0 ** (-torch.arange(pairs, device=x.device) / pairs)
    codes = []
    for axis, size in enumerate(x.shape[1:4]):
        angle = torch.arange(size, device=x.device)[:, None] * rate  # (size, D / 6)
        code = torch.cat([angle.sin(), angle.cos()], dim=1)
        shape = [size if axis == index else 1 for index in range(3)]
        codes.append(code.view(*shape, -1).expand(*x.shape[1:4], -1))
    places = F.pad(torch.cat(codes, dim=-1), (0, dim - 6 * pairs))
    return x + places.to(x.dtype)
