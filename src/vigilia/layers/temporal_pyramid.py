"""Temporal pyramid attention: the last moments one by one, earlier ones in ever longer means.

Level l holds means over 2**l consecutive times. A query sees `span` of them at each level: the last
`span` times themselves, before these `span` means of two, before these `span` means of four. With
P levels it reaches span * (2**P - 1) times back at the cost of span * P keys.

Letters: N sequences, T queries, L times before the first query, h heads, d features of a head,
P levels, S keys of one query.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["pyramid_attention", "pyramid_lags", "pyramid_reach"]


def pyramid_reach(span: int, levels: int) -> int:
    """How many times a query sees, its own among them."""
    return span * (2**levels - 1)


def pyramid_lags(span: int, levels: int) -> list[tuple[int, int, int]]:
    """(level, first, last) of every key: the mean over the times `first` to `last` ago.

    >>> pyramid_lags(2, 2)
    [(0, 0, 0), (0, 1, 1), (1, 2, 3), (1, 4, 5)]
    """
    lags, first = [], 0
    for level in range(levels):
        for _ in range(span):
            lags.append((level, first, first + 2**level - 1))
            first += 2**level
    return lags


def pyramid_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    seen: Tensor,
    bias: Tensor,
    *,
    span: int,
    levels: int,
) -> Tensor:
    """queries: (N, h, T, d), keys, values: (N, h, L + T, d) -> (N, h, T, d).

    2 T S d multiply-adds per head and sequence, with S = span * levels.

    Args:
        queries: of the last T times.
        keys: of all times; L is at least `pyramid_reach` - 1.
        values: likewise.
        seen: (N, T) int64, how many times before each query there were; a mean that reaches
            further back does not count.
        bias: (h, S), added to the scores: what a key's age is worth.
        span: means of each level.
        levels: P.
    """
    lags = pyramid_lags(span, levels)
    count, before = queries.shape[2], keys.shape[2] - queries.shape[2]
    key_levels, value_levels = [keys], [values]
    for level in range(1, levels):
        key_levels.append(_pair_means(key_levels[-1], 2 ** (level - 1)))
        value_levels.append(_pair_means(value_levels[-1], 2 ** (level - 1)))
    shown = [slice(before - first, before - first + count) for _, first, _ in lags]
    k = torch.stack([key_levels[lag[0]][:, :, at] for lag, at in zip(lags, shown, strict=True)], 3)
    v = torch.stack(
        [value_levels[lag[0]][:, :, at] for lag, at in zip(lags, shown, strict=True)], 3
    )
    scores = (k @ queries[..., None])[..., 0] * queries.shape[-1] ** -0.5  # (N, h, T, S)
    furthest = torch.tensor([last for _, _, last in lags], device=seen.device)
    hidden = furthest > seen[:, None, :, None]  # (N, 1, T, S)
    weights = (scores + bias[:, None]).masked_fill(hidden, float("-inf")).softmax(dim=-1)
    return (weights[..., None, :] @ v)[..., 0, :]  # (N, h, T, d)


def _pair_means(x: Tensor, apart: int) -> Tensor:
    """x: (N, h, T, d) -> the mean of each time and the one `apart` before it; zeros before all."""
    earlier = torch.cat([torch.zeros_like(x[:, :, :apart]), x[:, :, :-apart]], dim=2)
    return (x + earlier[:, :, : x.shape[2]]) / 2
