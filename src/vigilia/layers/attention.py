"""Multi-head attention as a function of queries, keys and values.

Letters: B streams, N queries, S keys, D features, h heads.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

__all__ = ["attend"]


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
    mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
    return mixed.transpose(1, 2).reshape(batch, -1, width)  # (B, N, D)
