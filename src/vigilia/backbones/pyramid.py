"""Temporal pyramid attention as a step of a causal block.

The last moments are seen one by one, earlier ones in means that double in length: with `span` keys
at each of P levels a token reaches span * (2**P - 1) times back.

Letters: B streams, F new times, L times cached, H W the token grid, D features, h heads, P levels.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vigilia.backbones.space_time.causal_attention import Cache, append_cache
from vigilia.backbones.space_time.time_step import TimeStep
from vigilia.errors import OptionError
from vigilia.layers.temporal_pyramid import pyramid_attention, pyramid_reach
from vigilia.state import State

__all__ = ["PyramidAttention"]


class PyramidAttention(TimeStep):
    """Every place attends to its own past, fine where it is near and coarse where it is far.

    4 F N D**2 + 2 F N span P D multiply-adds for N places; full attention over the same reach has
    span (2**P - 1) in place of span P.

    Args:
        dim: D.
        heads: h; divides D.
        span: keys of each level.
        levels: P.
    """

    def __init__(self, dim: int, heads: int, *, span: int = 2, levels: int = 3) -> None:
        super().__init__()
        if dim % heads:
            raise OptionError(f"heads must divide dim {dim}, got {heads}")
        if span < 1 or levels < 1:
            raise OptionError(f"span and levels must be at least 1, got {span} and {levels}")
        self.heads, self.span, self.levels = heads, span, levels
        self.lags = pyramid_reach(span, levels) - 1
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.age_bias = nn.Parameter(torch.empty(heads, span * levels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the bias of each key's age."""
        nn.init.trunc_normal_(self.age_bias, std=0.02)

    def init_state(
        self, batch_size: int, grid: tuple[int, int], *, device: torch.device, dtype: torch.dtype
    ) -> Cache:
        """An empty cache of the whole reach: the means are made from single times."""
        width = self.proj.in_features
        zeros = torch.zeros(
            batch_size, cast(int, self.lags), *grid, width, device=device, dtype=dtype
        )
        return Cache(zeros, zeros.clone())

    def forward(self, x: Tensor, state: State, before: Tensor) -> tuple[Tensor, State]:
        """See `TimeStep`."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        k, v, cache = append_cache(k, v, cast(Cache, state))
        queries, keys, values = (self._sequences(one) for one in (q, k, v))
        places = x.shape[2] * x.shape[3]
        mixed = pyramid_attention(
            queries,
            keys,
            values,
            before.repeat_interleave(places, dim=0),
            self.age_bias,
            span=self.span,
            levels=self.levels,
        )  # (B * H * W, h, F, d)
        mixed = mixed.transpose(1, 2).flatten(2).unflatten(0, (len(x), *x.shape[2:4]))
        return self.proj(mixed.permute(0, 3, 1, 2, 4)), cache

    def _sequences(self, x: Tensor) -> Tensor:
        """x: (B, J, H, W, D) -> (B * H * W, h, J, d)."""
        x = x.permute(0, 2, 3, 1, 4).flatten(0, 2)
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
