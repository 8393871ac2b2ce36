"""Attention between spikes: no softmax, no multiplication, cost linear in the number of tokens.

Queries, keys and values are 0 or 1, so their products are counts. Without a softmax in between,
(Q K^T) V = Q (K^T V), exactly, since counts are integers; the second order costs N d^2 in place of
N^2 d. It is the third form of spike-driven attention of Yao et al., "Spike-driven transformer V2"
(ICLR 2024); its K^T V, a matrix of fixed size, is all that a query ever sees of the tokens.

Letters: N tokens, M queries, h heads, d features of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["hadamard_attention", "linear_attention", "merge_heads", "read", "split_heads", "store"]


def split_heads(x: Tensor, heads: int) -> Tensor:
    """x: (..., N, D) -> (..., h, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)


def merge_heads(x: Tensor) -> Tensor:
    """x: (..., h, N, d) -> (..., N, D)."""
    return x.transpose(-3, -2).flatten(-2)


def store(keys: Tensor, values: Tensor) -> Tensor:
    """K^T V: how often each feature of a key fired together with each feature of a value.

    keys, values: (..., h, N, d) in {0, 1} -> counts (..., h, d, d).
    """
    keys, values = _countable(keys), _countable(values)
    return keys.transpose(-2, -1) @ values


def read(queries: Tensor, stored: Tensor) -> Tensor:
    """What queries pick: (..., h, M, d) in {0, 1}, of counts (..., h, d, d) -> (..., h, M, d)."""
    return _countable(queries) @ stored


def linear_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Q (K^T V). queries, keys, values: (..., h, N, d) in {0, 1} -> counts (..., h, N, d)."""
    return read(queries, store(keys, values)).to(queries.dtype)


def hadamard_attention(keys: Tensor, values: Tensor) -> Tensor:
    """How often each feature's key and value fired together: the first form of Yao et al. (2023).

    The query is then a mask on what neurons make of these counts; there is no product of matrices.

    keys, values: (..., h, N, d) in {0, 1} -> counts (..., h, 1, d).
    """
    both = _countable(keys * values)
    # A product with ones and not a sum, so that the energy meter sees the additions.
    return (both.new_ones(*both.shape[:-2], 1, both.shape[-2]) @ both).to(keys.dtype)


def _countable(x: Tensor) -> Tensor:
    """Half precision counts exactly only to 256 (bfloat16) or 2048 (float16)."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
