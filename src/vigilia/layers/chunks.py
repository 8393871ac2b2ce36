"""Attention of a new chunk of tokens to itself and to the chunk before it, in shifted windows.

A window holds t x h x w tokens of one chunk; a query of the new chunk sees the N tokens of its own
window and the N of the same place one chunk earlier, so that offsets in time reach from -(2t - 1)
to t - 1, as in a window of 2t. Only height and width are shifted.

Letters: R rows (streams and their steps), G windows, N tokens of a window, D features, h heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vigilia.layers.attention import attend_heads
from vigilia.layers.windows import ShiftPlan, Size, relative_position_bias

__all__ = ["chunk_attention", "chunk_bias", "from_windows", "to_windows"]


def to_windows(x: Tensor, plan: ShiftPlan, tokens: int) -> Tensor:
    """x: (R, T, H, W, D) -> (R, G, N, D), in the order of the plan for one stream."""
    return _rearranged(x.flatten(1, 3), plan.order).unflatten(1, (-1, tokens))


def from_windows(windows: Tensor, plan: ShiftPlan, grid: Size) -> Tensor:
    """windows: (R, G, N, D) -> (R, T, H, W, D), the inverse of `to_windows`."""
    return _rearranged(windows.flatten(1, 2), plan.inverse).unflatten(1, grid)


def _rearranged(tokens: Tensor, order: Tensor) -> Tensor:
    """tokens: (R, M, D) -> (R, M, D). Rows of one axis are copied whole, which is much faster."""
    if len(tokens) == 1:
        return tokens[0].index_select(0, order)[None]
    return tokens.index_select(1, order)


def chunk_bias(table: Tensor, window: Size, tokens: int) -> Tensor:
    """table: ((2T-1)(2H-1)(2W-1), h) -> (h, N, 2N), for queries in the later half of the window.

    Args:
        window: the full window that the table covers, both chunks.
        tokens: N, tokens of one chunk in the window in use.
    """
    return relative_position_bias(table, window, 2 * tokens)[:, tokens:]


def chunk_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, plan: ShiftPlan, empty: Tensor | None
) -> Tensor:
    """q: (R, G, h, N, d), k and v: (R, G, h, 2N, d), bias: (h, N, 2N) -> (R, G, N, D).

    Args:
        plan: what formed the windows.
        empty: (R,) bool, rows that have no earlier chunk; None when all have one.
    """
    bias = bias.to(q.dtype)
    counts = [count for count, _ in plan.groups]
    parts = zip(*(x.split(counts, dim=1) for x in (q, k, v)), plan.groups, strict=True)
    mixed = []
    for q_part, k_part, v_part, (count, forbidden) in parts:
        mask = bias
        if forbidden is not None:
            mask = mask.masked_fill(forbidden.repeat(1, 2), float("-inf"))
        hidden = None
        if empty is not None:
            earlier = torch.arange(mask.shape[-1], device=mask.device) < mask.shape[-2]  # (2N,)
            hidden = (empty[:, None] & earlier)[:, None, None]  # (R, 1, 1, 2N)
            if len(empty) > 1:  # one row's serves all of its windows
                hidden = hidden.repeat_interleave(count, dim=0)  # (R * G, 1, 1, 2N)
        flat = [x.flatten(0, 1) for x in (q_part, k_part, v_part)]
        out = attend_heads(flat[0], flat[1], flat[2], mask[None], hidden)
        mixed.append(out.unflatten(0, (-1, count)))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)
