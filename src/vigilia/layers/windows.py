"""Three-dimensional windows over a token grid, and attention inside them.

Letters: B streams, T H W the token grid, D features, h heads, N tokens of one window, G windows.
"Video Swin Transformer", Liu, Ning, Cao, Wei, Zhang, Lin, Hu, 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.layers.attention import attend_heads

__all__ = [
    "ShiftPlan",
    "Size",
    "bias_rows",
    "fit_window",
    "once",
    "pad_to_multiple",
    "partition_shifted",
    "partition_windows",
    "relative_position_bias",
    "reverse_shifted",
    "reverse_windows",
    "shift_plan",
    "shifted_windows",
    "window_attention",
]

Size = tuple[int, int, int]
T = TypeVar("T")


def fit_window(grid: Size, window: Size, shift: Size) -> tuple[Size, Size]:
    """Shrink the window to the grid where the grid is not larger, and do not shift there.

    Returns:
        The window and the shift that apply to this grid, in tokens (T, H, W).
    """
    fitted = [
        (size, 0) if size <= extent else (extent, offset)
        for size, extent, offset in zip(grid, window, shift, strict=True)
    ]
    (t, h, w), (shift_t, shift_h, shift_w) = zip(*fitted, strict=True)
    return (t, h, w), (shift_t, shift_h, shift_w)


def pad_to_multiple(x: Tensor, multiple: Size) -> Tensor:
    """x: (B, T, H, W, D) -> (B, T', H', W', D), zeros behind, T' H' W' multiples of `multiple`."""
    missing = [-size % divisor for size, divisor in zip(x.shape[1:4], multiple, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, (0, 0, 0, missing[2], 0, missing[1], 0, missing[0]))


def partition_windows(x: Tensor, window: Size) -> Tensor:
    """x: (B, T, H, W, D) -> (B * G, N, D), windows and their tokens in (t, h, w) order."""
    streams, frames, height, width, dim = x.shape
    t, h, w = window
    x = x.reshape(streams, frames // t, t, height // h, h, width // w, w, dim)
    x = x.permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(-1, t * h * w, dim)  # (B * G, N, D)


def reverse_windows(windows: Tensor, window: Size, grid: Size) -> Tensor:
    """windows: (B * G, N, D) -> (B, T, H, W, D), the inverse of `partition_windows`."""
    dim = windows.shape[-1]
    (t, h, w), (frames, height, width) = window, grid
    x = windows.reshape(-1, frames // t, height // h, width // w, t, h, w, dim)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(-1, frames, height, width, dim)


def relative_position_bias(table: Tensor, window: Size, tokens: int) -> Tensor:
    """table: ((2T-1)(2H-1)(2W-1), h) -> (h, N, N), differentiable in the table.

    A window that was shrunk keeps the numbering of the full one and takes its first N tokens. That
    is exact when only time shrinks. When height or width shrinks, pairs with the same offset no
    longer share a row; the published model does the same, and its weights depend on it.

    Args:
        window: the full window that the table covers.
        tokens: N, the number of tokens of the window in use.
    """
    key = window, tokens, table.device.type, table.device.index
    rows = once(_BIAS_ROWS, key, lambda: _bias_rows(window, tokens, table.device))
    return table.t().index_select(1, rows).view(-1, tokens, tokens)


@dataclass(frozen=True)
class ShiftPlan:
    """How the tokens of a cyclically shifted grid form windows, for a batch of B streams.

    After the shift, a window at the far end of an axis holds tokens from both ends of the grid,
    which must not see each other. Only that end matters, so there are at most eight kinds of
    window and one mask serves all windows of a kind; windows of a kind lie side by side.

    Attributes:
        order: (G * B * N,) int64, the flat number in (B, T, H, W) of each token of the windows.
        inverse: (B * T * H * W,) int64, the place in the windows of each token of the grid.
        groups: for each kind, the number of its windows and a mask (N, N), True where a pair of
            tokens is forbidden, or None.
    """

    order: Tensor
    inverse: Tensor
    groups: tuple[tuple[int, Tensor | None], ...]


def partition_shifted(x: Tensor, plan: ShiftPlan) -> Tensor:
    """x: (B, T, H, W, D) -> (G * B, N, D), in the order of the plan."""
    count = sum([windows for windows, _ in plan.groups])
    tokens = x.reshape(-1, x.shape[-1]).index_select(0, plan.order)
    return tokens.view(count, -1, x.shape[-1])


def reverse_shifted(windows: Tensor, plan: ShiftPlan, grid: Size) -> Tensor:
    """windows: (G * B, N, D) -> (B, T, H, W, D), the inverse of `partition_shifted`."""
    tokens = windows.reshape(-1, windows.shape[-1]).index_select(0, plan.inverse)
    return tokens.view(-1, *grid, windows.shape[-1])


def shift_plan(
    streams: int, grid: Size, window: Size, shift: Size, device: torch.device
) -> ShiftPlan:
    """Plan the windows of a grid that is shifted towards zero by `shift`, cyclically.

    Args:
        grid: (T, H, W) in tokens, multiples of the window.
    """
    key = streams, grid, window, shift, device.type, device.index
    return once(_SHIFT_PLANS, key, lambda: _shift_plan(streams, grid, window, shift, device))


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor, plan: ShiftPlan | None
) -> Tensor:
    """q, k, v: (B * G, h, N, D/h), bias: (h, N, N) -> (B * G, N, D).

    Args:
        plan: what formed these windows; None when the grid is not shifted.
    """
    bias = bias.to(q.dtype)
    if plan is None:
        return _attend(q, k, v, bias)
    counts = [count for count, _ in plan.groups]
    parts = zip(q.split(counts), k.split(counts), v.split(counts), plan.groups, strict=True)
    return torch.cat(
        [
            _attend(
                q_part,
                k_part,
                v_part,
                bias if forbidden is None else bias.masked_fill(forbidden, float("-inf")),
            )
            for q_part, k_part, v_part, (_, forbidden) in parts
        ]
    )


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    return attend_heads(q, k, v, bias[None])


_BIAS_ROWS: dict[tuple[Any, ...], Tensor] = {}
_SHIFT_PLANS: dict[tuple[Any, ...], ShiftPlan] = {}
MOST_KEPT = 64


def once(kept: dict[tuple[Any, ...], T], key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """What `make` makes, from `kept` if it is there. Tensors that are made must serve training.

    Tensors that are made while an export traces a graph are not real and are not kept;
    `torch.compile` finds here what a plain step has left.

    Args:
        kept: `MOST_KEPT` at most, by everything that they depend on.
        key: of what is wanted.
        make: makes it.
    """
    if torch.compiler.is_dynamo_compiling():
        return kept[key]
    if torch.compiler.is_compiling():
        return make()
    if key not in kept:
        made = make()
        while len(kept) >= MOST_KEPT:
            del kept[next(iter(kept))]
        kept[key] = made
    return kept[key]


def bias_rows(window: Size, tokens: int) -> np.ndarray:
    """(N, N) int64, the bias-table row for each pair of the first N tokens of a window."""
    places = np.indices(window).reshape(3, -1)[:, :tokens]  # (3, N)
    offsets = places[:, :, None] - places[:, None, :]  # (3, N, N)
    rows = np.zeros((tokens, tokens), dtype=np.int64)
    for offset, extent in zip(offsets, window, strict=True):
        rows = rows * (2 * extent - 1) + offset + extent - 1
    return rows


def shifted_windows(grid: Size, window: Size, shift: Size) -> list[tuple[np.ndarray, np.ndarray]]:
    """The windows of a grid that is shifted towards zero by `shift`, cyclically, kind by kind.

    Returns:
        For each kind its windows (G, N), as flat numbers of the grid's tokens, and the side of the
        seams (N,) on which each token of such a window lies: only those on one side may meet.
    """
    numbers = np.arange(np.prod(grid)).reshape(grid)
    rolled = np.roll(numbers, [-offset for offset in shift], axis=(0, 1, 2))
    sides = np.zeros(grid, dtype=np.int64)
    for axis, (size, offset) in enumerate(zip(grid, shift, strict=True)):
        wrapped = np.arange(size) >= size - offset
        sides = sides * 2 + wrapped.reshape([-1 if a == axis else 1 for a in range(3)])
    kinds, kind_of_window = np.unique(_windows(sides, window), axis=0, return_inverse=True)
    windows = _windows(rolled, window)
    return [(windows[kind_of_window.ravel() == number], kind) for number, kind in enumerate(kinds)]


@torch.inference_mode(False)
def _bias_rows(window: Size, tokens: int, device: torch.device) -> Tensor:
    return torch.from_numpy(bias_rows(window, tokens).ravel()).to(device)


@torch.inference_mode(False)
def _shift_plan(
    streams: int, grid: Size, window: Size, shift: Size, device: torch.device
) -> ShiftPlan:
    kinds = shifted_windows(grid, window, shift)
    windows = np.concatenate([some for some, _ in kinds])  # (G, N)
    # Streams vary faster than windows, so that a kind's windows of all streams lie side by side.
    order = (windows[:, None] + np.arange(streams)[:, None] * windows.size).ravel()
    groups = []
    for some, sides in kinds:
        forbidden = sides[:, None] != sides[None, :]  # (N, N)
        mask = torch.from_numpy(forbidden).to(device) if forbidden.any() else None
        groups.append((len(some) * streams, mask))
    return ShiftPlan(
        order=torch.from_numpy(order).to(device),
        inverse=torch.from_numpy(np.argsort(order)).to(device),
        groups=tuple(groups),
    )


def _windows(grid: np.ndarray, window: Size) -> np.ndarray:
    """(T, H, W) -> (G, N)."""
    (frames, height, width), (t, h, w) = grid.shape, window
    parts = grid.reshape(frames // t, t, height // h, h, width // w, w)
    return parts.transpose(0, 2, 4, 1, 3, 5).reshape(-1, t * h * w)
