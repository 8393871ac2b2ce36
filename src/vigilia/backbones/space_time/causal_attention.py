"""Causal attention with cached keys and values: a step computes the new times alone.

A token sees the tokens of its group at its own time and at up to `reach` - 1 times before. Time has
no absolute position on a stream that never ends; each head has a learned bias for every lag.

A step costs, in multiply-adds of a block's attention, of F new times with N = H W places and W
times in sight, J = W - 1 + F keys a place of which the later ones are masked:

    joint            4 F N D^2  + 2 F N (J N) D
    space            4 F N D^2  + 2 F N (N) D
    divided          9 F N D^2  + 2 F N (J + N) D
    local_global     9 F N D^2  + 2 F N (J N / 4 + J' N / 4) D    J' as below, of k = 2
    axial           14 F N D^2  + 2 F N (J + rows + columns) D
    factorised_self  8 F N D^2  + 2 F N (J + N) D
    factorised_dot   4 F N D^2  + F N (J + N) D
    strided          8 F N D^2  + 2 F N ((k - 1 + F) N + J') D    J' = k floor((W - 1) / k) + F

with extents that are even. However long the stream is, nothing of it depends on that.

Letters: B streams, F new times, L times cached, J = L + F, H W the token grid, D features, h heads,
G groups, N places of a group at one time (above: of the grid).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.space_time.time_step import TimeStep
from vigilia.errors import OptionError
from vigilia.layers.grouping import Extent, Grouping, group, grouping_mask, ungroup
from vigilia.state import State

__all__ = ["CAUSAL", "Cache", "CausalAttention", "View", "append_cache", "causal_views", "lag_mask"]


@dataclass(frozen=True)
class View:
    """What some heads of a step see.

    Attributes:
        box: (H, W) of the boxes over the places of one time.
        reach: how many times, the own among them.
        every: only each so manieth of them.
        across: see `Grouping`.
    """

    box: tuple[Extent, Extent]
    reach: int = 1
    every: int = 1
    across: bool = False

    @property
    def lags(self) -> int:
        """How many times ago the oldest is that is seen."""
        return (self.reach - 1) // self.every * self.every

    @property
    def grouping(self) -> Grouping:
        """Groups over all times at once, a group's tokens in order of time."""
        if self.across or not self.lags:
            return Grouping((1, *self.box), self.across)
        return Grouping(("whole", *self.box))


@dataclass(frozen=True)
class Cache(State):
    """Projected keys and values of the last L times.

    Attributes:
        keys: (B, L, H, W, D), the oldest first.
        values: likewise.
    """

    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class AttentionState(State):
    """Of every view a `Cache`, or an empty state where it sees its own time alone."""

    views: tuple[State, ...]


CAUSAL = (
    "divided",
    "joint",
    "space",
    "local_global",
    "axial",
    "factorised_self",
    "factorised_dot",
    "strided",
)
"""Schemes with a causal form. Global tokens and Linformer's places sum over the whole clip, the
later times among them; Performer's sums never forget, so on a stream without end they lose the new
in the old: the state space is the form that forgets."""


def causal_views(
    attention: str, *, reach: int, block_frames: int = 2
) -> tuple[tuple[View, ...], ...]:
    """The steps of a scheme's causal form: for each the views among which its heads are divided.

    Args:
        attention: one of `CAUSAL`.
        reach: times that a temporal attention sees, its own among them.
        block_frames: k of "strided": the last k times together, then every k-th of `reach`.

    Raises:
        OptionError: the scheme has no causal form, or nothing would be seen.
    """
    if reach < 1 or block_frames < 1:
        raise OptionError(
            f"reach and block_frames must be at least 1, got {reach} and {block_frames}"
        )
    space, time = View(("whole", "whole")), View((1, 1), reach)
    last_times, every_kth = (
        View(("whole", "whole"), block_frames),
        replace(time, every=block_frames),
    )
    steps: dict[str, tuple[tuple[View, ...], ...]] = {
        "joint": ((View(("whole", "whole"), reach),),),
        "space": ((space,),),
        "divided": ((time,), (space,)),
        "local_global": (
            (View(("half", "half"), reach),),
            (View((2, 2), reach, every=2, across=True),),
        ),
        "axial": ((time,), (View((1, "whole")),), (View(("whole", 1)),)),
        "factorised_self": ((space,), (time,)),
        "factorised_dot": ((space, time),),
        "strided": ((last_times,), (every_kth,)),
    }
    if attention not in steps:
        raise OptionError(
            f"attention {attention!r} has no causal form; there are {', '.join(CAUSAL)}"
        )
    return steps[attention]


class CausalAttention(TimeStep):
    """Multi-head attention to the own and earlier times.

    Args:
        dim: D.
        heads: h; divides D, and the views divide h.
        views: what the heads see.
    """

    def __init__(self, dim: int, heads: int, views: tuple[View, ...]) -> None:
        super().__init__()
        if dim % heads or heads % len(views):
            raise OptionError(
                f"heads must divide dim {dim} and divide into {len(views)}, got {heads}"
            )
        self.heads = heads // len(views)
        self.views = views
        self.width = dim // len(views)
        self.lags = max(view.lags for view in views)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.lag_bias = nn.ParameterList(
            nn.Parameter(torch.empty(self.heads, view.lags // view.every + 1))
            for view in views
            if view.lags
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the biases."""
        for bias in self.lag_bias:
            nn.init.trunc_normal_(bias, std=0.02)

    def init_state(
        self, batch_size: int, grid: tuple[int, int], *, device: torch.device, dtype: torch.dtype
    ) -> AttentionState:
        """An empty cache for every view that looks back."""

        def empty(view: View) -> State:
            if not view.lags:
                return State()
            shape = (batch_size, view.lags, *grid, self.width)
            zeros = torch.zeros(shape, device=device, dtype=dtype)
            return Cache(zeros, zeros.clone())

        return AttentionState(tuple(empty(view) for view in self.views))

    def forward(self, x: Tensor, state: State, before: Tensor) -> tuple[Tensor, State]:
        """See `TimeStep`."""
        parts = [one.chunk(len(self.views), dim=-1) for one in self.qkv(x).chunk(3, dim=-1)]
        biases = iter(self.lag_bias)
        mixed, carried = [], []
        for number, view in enumerate(self.views):
            q, k, v = (one[number] for one in parts)
            cache = cast(AttentionState, state).views[number]
            if not view.lags:
                mixed.append(self._attend(q, k, v, view, None))
            else:
                k, v, cache = append_cache(k, v, cast(Cache, cache))
                mask = lag_mask(view, next(biases), before)  # (B, h, F, J)
                mixed.append(self._attend(q, k, v, view, mask))
            carried.append(cache)
        return self.proj(torch.cat(mixed, dim=-1)), AttentionState(tuple(carried))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, view: View, mask: Tensor | None) -> Tensor:
        """q: (B, F, H, W, D), k, v: (B, J, H, W, D), mask: (B, h, F, J) -> (B, F, H, W, D)."""
        grouping, grid = view.grouping, (q.shape[1], q.shape[2], q.shape[3])
        queries, keys, values = (
            group(one, grouping).unflatten(-1, (self.heads, -1)).transpose(2, 3)
            for one in (q, k, v)
        )  # each (B, G, h, F * N or J * N, d)
        if mask is not None:
            places = queries.shape[3] // grid[0]
            mask = mask.repeat_interleave(places, dim=2).repeat_interleave(places, dim=3)
            mask = mask[:, None].to(queries.dtype)  # (B, 1, h, F * N, J * N)
        real = grouping_mask(grouping, (k.shape[1], grid[1], grid[2]), q.device)
        if real is not None:
            hidden = torch.zeros_like(real, dtype=queries.dtype).masked_fill(~real, float("-inf"))
            hidden = hidden[None, :, None, None]  # (1, G, 1, 1, J * N)
            mask = hidden if mask is None else mask + hidden
        out = F.scaled_dot_product_attention(queries, keys, values, attn_mask=mask)
        return ungroup(out.transpose(2, 3).flatten(3), grouping, grid)


def append_cache(keys: Tensor, values: Tensor, cache: Cache) -> tuple[Tensor, Tensor, Cache]:
    """keys, values: (B, F, H, W, D) -> the same of all J times, and a cache of the last L."""
    kept = cache.keys.shape[1]
    keys = torch.cat([cache.keys.to(keys.dtype), keys], dim=1)
    values = torch.cat([cache.values.to(values.dtype), values], dim=1)
    last = slice(keys.shape[1] - kept, None)
    dtype = cache.keys.dtype
    return keys, values, Cache(keys[:, last].to(dtype), values[:, last].to(dtype))


def lag_mask(view: View, bias: Tensor, before: Tensor) -> Tensor:
    """bias: (h, lags that are seen), before: (B, F) -> (B, h, F, J), to be added to the scores.

    The bias of the lag where a time may be seen, -inf elsewhere: later times, times out of reach,
    and times before the stream started.
    """
    count, kept = before.shape[1], view.lags
    own = torch.arange(count, device=before.device)[:, None] + kept
    lag = own - torch.arange(kept + count, device=before.device)  # (F, J)
    near = (lag >= 0) & (lag <= kept) & (lag % view.every == 0)
    seen = near & (lag <= before[..., None])  # (B, F, J)
    biases = bias[:, lag.clamp(0, kept) // view.every]  # (h, F, J)
    return biases.masked_fill(~seen[:, None], float("-inf"))
