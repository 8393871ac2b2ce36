"""Multi-head attention as a function of queries, keys and values.

Letters: B streams (or windows), N queries, S keys, D features, h heads, d = D / h.
"""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend", "attend_heads"]

PIECE = 12 * 196 * 392
"""Scores that are worked on at a time: few enough that two cores' caches hold them in bfloat16."""


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, *, heads: int, bias: Tensor | None = None
) -> Tensor:
    """Scaled dot-product attention with h heads over features that are already projected.

    queries: (B, N, D), keys: (B, S, D), values: (B, S, D) -> (B, N, D).

    Args:
        queries: what asks.
        keys: what is compared with.
        values: what is returned.
        heads: h; divides D.
        bias: added to the scores before the softmax, broadcast to (B, h, N, S); -inf hides a key.
    """
    batch, _, width = queries.shape
    queries, keys, values = (
        tensor.reshape(batch, -1, heads, width // heads).transpose(1, 2)  # (B, h, N or S, D / h)
        for tensor in (queries, keys, values)
    )
    return attend_heads(queries, keys, values, bias)


def attend_heads(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, hidden: Tensor | None = None
) -> Tensor:
    """The same for features that are split into heads already.

    q: (B, h, N, d), k and v: (B, h, S, d) -> (B, N, D).

    PyTorch's fused kernel does it, with two exceptions on a CPU. In bfloat16 without gradient, with
    d = 32, its many small products run at a quarter of the speed of plain ones, unless the
    processor multiplies tiles (AMX), for which the fused kernel is written. Where a bias learns
    it is not fused: it copies keys crosswise and looks for queries that see nothing, of which there
    are none. Autocast chooses its own types.

    Args:
        bias: as in `attend`.
        hidden: bool, broadcast to (B, h, N, S): pairs that are left out beside those with -inf.
    """
    if torch.compiler.is_exporting():
        return _plain(q, k, v, bias, hidden)
    if hidden is not None:
        bias = q.new_zeros(()) if bias is None else bias
        bias = bias.masked_fill(hidden, float("-inf"))
    if bias is not None and _bias_learns(q, bias):
        return _with_gradient(q, k, v, bias)
    if _in_pieces_is_faster(q):
        return _in_pieces(q, k, v, bias)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


def _plain(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, hidden: Tensor | None) -> Tensor:
    """As other runtimes know it. Every query has a key that it may see: there is no 0 / 0.

    What is hidden is added apart: other runtimes fuse that with the product, where a mask that
    changes from step to step would be computed in full before it.
    """
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)  # (B, h, N, S)
    if bias is not None:
        scores = scores + bias
    if hidden is not None:
        row = torch.zeros_like(hidden, dtype=q.dtype).masked_fill(hidden, float("-inf"))
        scores = scores + row
    return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


def _bias_learns(q: Tensor, bias: Tensor) -> bool:
    return (
        bias.requires_grad
        and q.device.type == "cpu"
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _with_gradient(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Products of (B * h) matrices whose heads were laid side by side first."""
    batch, heads, _, width = q.shape
    q, k, v = (x.reshape(batch * heads, -1, width) for x in (q, k, v))
    bias = bias.expand(batch, heads, -1, -1).flatten(0, 1)  # (B * h, 1 or N, S)
    scores = torch.baddbmm(bias, q, k.transpose(1, 2), alpha=width**-0.5)
    mixed = torch.bmm(scores.softmax(-1), v)  # (B * h, N, d)
    return mixed.unflatten(0, (batch, heads)).transpose(1, 2).flatten(2)


def _in_pieces_is_faster(q: Tensor) -> bool:
    return (
        q.dtype == torch.bfloat16
        and q.device.type == "cpu"
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not _multiplies_tiles()
    )


@cache
def _multiplies_tiles() -> bool:
    """Whether the processor has AMX for bfloat16; no where PyTorch cannot tell."""
    ask = getattr(torch.cpu, "get_capabilities", None)
    return ask is not None and bool(ask().get("amx_bf16", False))


def _in_pieces(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None) -> Tensor:
    """Two products and a softmax, over scores that stay in the cache."""
    batch, heads, queries, width = q.shape
    keys = k.shape[2]
    out = q.new_empty(batch, queries, heads, width)
    rows = min(batch, max(1, PIECE // (heads * queries * keys)))
    span = min(queries, max(1, PIECE // (rows * heads * keys)))
    scores = q.new_empty(rows * heads * span * keys)
    if bias is not None:
        bias = bias.expand(-1, -1, -1, keys)
    for first in range(0, batch, rows):
        some = slice(first, min(first + rows, batch))
        k_some, v_some = k[some].flatten(0, 1), v[some].flatten(0, 1)
        for start in range(0, queries, span):
            these = slice(start, min(start + span, queries))
            q_some = q[some, :, these].flatten(0, 1)  # (rows * h, span, d)
            piece = scores[: q_some.shape[0] * q_some.shape[1] * keys]
            piece = piece.view(*q_some.shape[:2], keys)
            if bias is not None:
                added = bias if bias.shape[0] == 1 else bias[some]
                added = added if added.shape[2] == 1 else added[:, :, these]
                piece.unflatten(0, (-1, heads)).copy_(added)
            torch.baddbmm(
                piece,
                q_some,
                k_some.transpose(1, 2),
                beta=0 if bias is None else 1,
                alpha=width**-0.5,
                out=piece,
            )
            torch.softmax(piece, -1, out=piece)
            mixed = torch.bmm(piece, v_some).unflatten(0, (-1, heads))
            out[some, these] = mixed.transpose(1, 2)
    return out.flatten(2)
