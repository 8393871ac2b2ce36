"""Three-dimensional windows over a token grid, and attention inside them.

Letters: B streams, T H W the token grid, D features, h heads, N tokens of one window, G windows.
"Video Swin Transformer", Liu, Ning, Cao, Wei, Zhang, Lin, Hu, 2022.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = [
    "Size",
    "fit_window",
    "pad_to_multiple",
    "partition_windows",
    "relative_position_bias",
    "relative_position_index",
    "reverse_windows",
    "shift_groups",
    "window_attention",
]

Size = tuple[int, int, int]


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
    """x: (B, T, H, W, D) -> (B, G, N, D), windows and their tokens in (t, h, w) order."""
    streams, frames, height, width, dim = x.shape
    t, h, w = window
    x = x.view(streams, frames // t, t, height // h, h, width // w, w, dim)
    x = x.permute(0, 1, 3, 5, 2, 4, 6, 7)
    return x.reshape(streams, -1, t * h * w, dim)  # (B, G, N, D)


def reverse_windows(windows: Tensor, window: Size, grid: Size) -> Tensor:
    """windows: (B, G, N, D) -> (B, T, H, W, D), the inverse of `partition_windows`."""
    streams, dim = windows.shape[0], windows.shape[-1]
    (t, h, w), (frames, height, width) = window, grid
    x = windows.view(streams, frames // t, height // h, width // w, t, h, w, dim)
    return x.permute(0, 1, 4, 2, 5, 3, 6, 7).reshape(streams, frames, height, width, dim)


@lru_cache(maxsize=32)
def relative_position_index(window: Size, tokens: int, device: torch.device) -> Tensor:
    """The bias-table row for each pair of the first `tokens` tokens of a window, flattened.

    A window that was shrunk keeps the numbering of the full one and takes its first N tokens. That
    is exact when only time shrinks. When height or width shrinks, pairs with the same offset no
    longer share a row; the published model does the same, and its weights depend on it.

    Returns:
        (tokens * tokens,) int64, rows of the (2T-1)(2H-1)(2W-1) table.
    """
    axes = [torch.arange(extent, device=device) for extent in window]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")).flatten(1)[:, :tokens]  # (3, N)
    offsets = places[:, :, None] - places[:, None, :]  # (3, N, N)
    t, h, w = (offset + extent - 1 for offset, extent in zip(offsets, window, strict=True))
    rows = (t * (2 * window[1] - 1) + h) * (2 * window[2] - 1) + w  # (N, N)
    return rows.flatten()


def relative_position_bias(table: Tensor, window: Size, tokens: int) -> Tensor:
    """table: ((2T-1)(2H-1)(2W-1), h) -> (h, N, N), differentiable in the table.

    Args:
        window: the full window that the table covers.
        tokens: N, the number of tokens of the window in use.
    """
    rows = relative_position_index(window, tokens, table.device)
    return table.t().index_select(1, rows).view(-1, tokens, tokens)


@lru_cache(maxsize=32)
def shift_groups(
    grid: Size, window: Size, shift: Size, device: torch.device
) -> tuple[tuple[Tensor, Tensor | None], ...]:
    """Windows of a cyclically shifted grid, grouped by which of their token pairs may attend.

    After the roll, a window at the far end of a shifted axis holds tokens from both ends of the
    grid, which must not see each other. Only that end matters, so there are at most eight kinds of
    window, and one mask serves all windows of a kind.

    Args:
        grid: (T, H, W) in tokens, multiples of the window.

    Returns:
        Pairs (window numbers (g,) int64, mask (N, N), True where a pair is forbidden, or None).
    """
    regions = torch.zeros(grid, dtype=torch.int64)
    for axis, (extent, offset) in enumerate(zip(window, shift, strict=True)):
        # Within one window only the seam tells tokens apart: those behind it wrapped around.
        line = torch.zeros(grid[axis], dtype=torch.int64)
        if offset:
            line[-extent:-offset] = 1
            line[-offset:] = 2
        shape = [1, 1, 1]
        shape[axis] = -1
        regions = regions * 3 + line.view(shape)
    labels = partition_windows(regions[None, ..., None], window)[0, :, :, 0]  # (G, N)
    kinds, kind_of_window = labels.unique(dim=0, return_inverse=True)
    groups = []
    for number, kind in enumerate(kinds):
        forbidden = kind[:, None] != kind[None, :]  # (N, N)
        members = (kind_of_window == number).nonzero().flatten()
        mask = forbidden.to(device) if forbidden.any() else None
        groups.append((members.to(device), mask))
    return tuple(groups)


def window_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor,
    groups: tuple[tuple[Tensor, Tensor | None], ...] | None,
) -> Tensor:
    """q, k, v: (B, G, h, N, D/h), bias: (h, N, N) -> (B, G, h, N, D/h).

    Args:
        groups: from `shift_groups`; None when the grid is not shifted.
    """
    streams = q.shape[0]
    bias = bias.to(q.dtype)
    if groups is None:
        out = F.scaled_dot_product_attention(
            q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), attn_mask=bias[None]
        )
        return out.unflatten(0, (streams, -1))
    pieces = []
    for members, forbidden in groups:
        mask = bias if forbidden is None else bias.masked_fill(forbidden, float("-inf"))
        piece = F.scaled_dot_product_attention(
            q[:, members].flatten(0, 1),
            k[:, members].flatten(0, 1),
            v[:, members].flatten(0, 1),
            attn_mask=mask[None],
        )
        pieces.append(piece.unflatten(0, (streams, -1)))
    order = torch.cat([members for members, _ in groups]).argsort()
    return torch.cat(pieces, dim=1)[:, order]
