"""Attention of a new chunk of tokens to itself and to the chunk before it, in shifted windows.

A window holds t x h x w tokens of one chunk; a query of the new chunk sees the N tokens of its own
window and the N of the same place one chunk earlier, so that offsets in time reach from -(2t - 1)
to t - 1, as in a window of 2t. Only height and width are shifted.

A window at the far end of a shifted grid holds tokens from both of the grid's ends, which must not
see each other. They lie side by side in it, so that it falls into parts, two or four, and only
pairs within a part are computed; where one large product is better than several small ones, a mask
forbids the others.

Letters: R rows (streams and their steps), G windows, N tokens of a window, D features, h heads,
d = D / h.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigilia.layers.attention import attend_heads
from vigilia.layers.windows import Size, bias_rows, once, shifted_windows

__all__ = [
    "ChunkKind",
    "ChunkPlan",
    "chunk_attention",
    "chunk_biases",
    "chunk_plan",
    "from_windows",
    "to_windows",
]


@dataclass(frozen=True)
class ChunkKind:
    """Windows that fall into the same parts.

    The keys of a window are those of its first part, earlier ones first, then those of its second.

    Attributes:
        count: how many windows.
        parts: where each part begins and ends among the N tokens.
        rows: (N * 2N,) int64, the row of the bias table for each query and key.
        forbidden: (N, 2N) bool, queries and keys of different parts; None if there is one part.
        earlier: (2N,) bool, keys of the chunk before.
    """

    count: int
    parts: tuple[tuple[int, int], ...]
    rows: Tensor
    forbidden: Tensor | None
    earlier: Tensor


@dataclass(frozen=True)
class ChunkPlan:
    """How the tokens of a cyclically shifted grid form windows.

    Attributes:
        order: (G * N,) int64, the flat number in (T, H, W) of each token of the windows.
        inverse: (T * H * W,) int64, the place in the windows of each token of the grid.
        kinds: of windows, in the order in which they lie.
    """

    order: Tensor
    inverse: Tensor
    kinds: tuple[ChunkKind, ...]

    @property
    def windows(self) -> int:
        """G."""
        return sum([kind.count for kind in self.kinds])


def chunk_plan(
    grid: Size, window: Size, shift: Size, *, table_window: Size, device: torch.device
) -> ChunkPlan:
    """Plans the windows of a chunk's grid that is shifted towards zero by `shift`, cyclically.

    Args:
        grid: (T, H, W) in tokens, multiples of the window.
        window: of one chunk.
        shift: none in time.
        table_window: the window that the bias table covers, both chunks.
        device: where it is needed.
    """
    key = grid, window, shift, table_window, device.type, device.index
    return once(_PLANS, key, lambda: _plan(grid, window, shift, table_window, device))


def to_windows(x: Tensor, plan: ChunkPlan) -> Tensor:
    """x: (R, T, H, W, D) -> (R, G, N, D), in the order of the plan."""
    return _rearranged(x.flatten(1, 3), plan.order).unflatten(1, (plan.windows, -1))


def from_windows(windows: Tensor, plan: ChunkPlan, grid: Size) -> Tensor:
    """windows: (R, G, N, D) -> (R, T, H, W, D), the inverse of `to_windows`."""
    return _rearranged(windows.flatten(1, 2), plan.inverse).unflatten(1, grid)


def _rearranged(tokens: Tensor, order: Tensor) -> Tensor:
    """tokens: (R, M, D) -> (R, M, D). Rows of one axis are copied whole, which is much faster."""
    if len(tokens) == 1:
        return tokens[0].index_select(0, order)[None]
    return tokens.index_select(1, order)


def chunk_biases(table: Tensor, plan: ChunkPlan) -> list[Tensor]:
    """table: ((2T-1)(2H-1)(2W-1), h) -> for each kind (h, N, 2N), -inf where it is forbidden.

    Differentiable in the table.
    """
    biases = []
    for kind in plan.kinds:
        bias = table.t().index_select(1, kind.rows).unflatten(1, (-1, len(kind.earlier)))
        if kind.forbidden is not None:
            bias = bias.masked_fill(kind.forbidden, float("-inf"))
        biases.append(bias)
    return biases


def chunk_attention(
    q: Tensor,
    keys: tuple[Tensor, Tensor],
    values: tuple[Tensor, Tensor],
    biases: Sequence[Tensor],
    plan: ChunkPlan,
    empty: Tensor | None,
) -> Tensor:
    """q: (R, G, h, N, d) -> (R, G, N, D).

    Args:
        q: queries of the new chunk.
        keys: of the chunk before and of the new one, (R, G, h, N, d) each.
        values: likewise.
        biases: from `chunk_biases`.
        plan: what formed the windows.
        empty: (R,) bool, rows that have no earlier chunk; None when all have one.
    """
    mixed, first = [], 0
    for kind, bias in zip(plan.kinds, biases, strict=True):
        these = slice(first, first + kind.count)
        first += kind.count
        hidden = None
        if empty is not None:
            hidden = (empty[:, None] & kind.earlier)[:, None, None]  # (R, 1, 1, 2N)
            if len(empty) > 1:  # one row's serves all of its windows
                hidden = hidden.repeat_interleave(kind.count, dim=0)  # (R * G, 1, 1, 2N)
        k, v = (_joined(before[:, these], new[:, these], kind) for before, new in (keys, values))
        asked, bias = q[:, these].flatten(0, 1), bias.to(q.dtype)[None]
        if len(kind.parts) == 1 or not _parts_pay(q):
            out = attend_heads(asked, k, v, bias, hidden)
        else:
            out = torch.cat([_part(asked, k, v, bias, hidden, part) for part in kind.parts], dim=1)
        mixed.append(out.unflatten(0, (-1, kind.count)))
    return mixed[0] if len(mixed) == 1 else torch.cat(mixed, dim=1)


def _joined(before: Tensor, new: Tensor, kind: ChunkKind) -> Tensor:
    """Two of (R, G, h, N, d) -> (R * G, h, 2N, d), part by part."""
    pieces = [x[..., start:stop, :] for start, stop in kind.parts for x in (before, new)]
    return torch.cat(pieces, dim=-2).flatten(0, 1)


def _part(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, hidden: Tensor | None, part: tuple[int, int]
) -> Tensor:
    asking, asked = slice(*part), slice(2 * part[0], 2 * part[1])
    return attend_heads(
        q[:, :, asking],
        k[:, :, asked],
        v[:, :, asked],
        bias[:, :, asking, asked],
        None if hidden is None else hidden[..., asked],
    )


def _parts_pay(q: Tensor) -> bool:
    """Whether several small products are faster than one that computes what a mask then forbids."""
    return q.device.type == "cpu" and not torch.compiler.is_compiling()


_PLANS: dict[tuple[Any, ...], ChunkPlan] = {}


@torch.inference_mode(False)
def _plan(
    grid: Size, window: Size, shift: Size, table_window: Size, device: torch.device
) -> ChunkPlan:
    def put(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    tokens = window[0] * window[1] * window[2]
    rows = bias_rows(table_window, 2 * tokens)  # (2N, 2N), earlier ones first
    order, kinds = [], []
    for windows, sides in shifted_windows(grid, window, shift):
        inside = np.argsort(sides, kind="stable")
        stops = np.cumsum(np.unique(sides, return_counts=True)[1]).tolist()
        parts = tuple(zip([0, *stops[:-1]], stops, strict=True))
        asked = np.concatenate(
            [start + inside[slice(*part)] for part in parts for start in (0, tokens)]
        )
        forbidden = sides[inside][:, None] != sides[asked % tokens]  # (N, 2N)
        order.append(windows[:, inside].ravel())
        kinds.append(
            ChunkKind(
                count=len(windows),
                parts=parts,
                rows=put(rows[np.ix_(tokens + inside, asked)].ravel()),
                forbidden=put(forbidden) if len(parts) > 1 else None,
                earlier=put(asked < tokens),
            )
        )
    flat = np.concatenate(order)
    return ChunkPlan(put(flat), put(np.argsort(flat)), tuple(kinds))
