"""Attention whose cost grows with the number of tokens and not with its square.

Linformer projects keys and values from S places to R; Performer replaces the softmax by a product
of M positive random features. "Linformer: Self-Attention with Linear Complexity", Wang, Li,
Khabsa, Fang, Ma, 2020; "Rethinking Attention with Performers", Choromanski, Likhosherstov, Dohan
and others, 2021.

Letters: B streams, N queries, S keys, D features, h heads, R places, M random features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vigilia.layers.attention import attend

__all__ = ["draw_projections", "linformer_attention", "performer_attention", "softmax_features"]


def linformer_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    key_places: Tensor,
    value_places: Tensor,
    *,
    heads: int,
) -> Tensor:
    """queries: (B, N, D), keys, values: (B, S, D), places: (R, S) -> (B, N, D).

    N S D multiply-adds, twice, become S R D and N R D, twice each.

    Args:
        queries: what asks.
        keys: what is compared with, after it was gathered into R places.
        values: what is returned, likewise.
        key_places: how much of each key every place takes.
        value_places: the same of the values.
        heads: h; divides D. All heads share the places.
    """
    return attend(queries, key_places @ keys, value_places @ values, heads=heads)


def performer_attention(
    queries: Tensor, keys: Tensor, values: Tensor, projections: Tensor, *, heads: int
) -> Tensor:
    """queries: (B, N, D), keys, values: (B, S, D), projections: (M, D / h) -> (B, N, D).

    An unbiased estimate of the numerator and the denominator of softmax attention (FAVOR+); the
    error falls with the square root of M. (N + S) M D multiply-adds make the features, S M D and
    N M D (and N M h for the denominator) use them.

    Args:
        queries: what asks.
        keys: what is compared with.
        values: what is returned.
        projections: from `draw_projections`.
        heads: h; divides D.
    """
    q, k, v = (
        tensor.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, h, N or S, D / h)
        for tensor in (queries, keys, values)
    )
    q_features = softmax_features(q, projections, over=(-1,))  # (B, h, N, M)
    k_features = softmax_features(k, projections, over=(-2, -1))  # (B, h, S, M)
    summed = k_features.transpose(-2, -1) @ v  # (B, h, M, D / h)
    weight = q_features @ k_features.sum(dim=-2)[..., None]  # (B, h, N, 1)
    return ((q_features @ summed) / weight).transpose(1, 2).flatten(2)  # (B, N, D)


def softmax_features(x: Tensor, projections: Tensor, *, over: tuple[int, ...]) -> Tensor:
    """x: (..., N, d), projections: (M, d) -> (..., N, M), positive.

    The product of two such vectors estimates exp(q . k / sqrt(d)), but for factors that cancel.

    Args:
        x: queries or keys.
        projections: normal, orthogonal in blocks.
        over: axes whose greatest exponent is taken out, so that nothing overflows. Every query has
            its own factor; all keys must share one.
    """
    x = x * x.shape[-1] ** -0.25
    exponents = x @ projections.t() - x.square().sum(dim=-1, keepdim=True) / 2  # (..., N, M)
    greatest = exponents.detach().amax(dim=over, keepdim=True)
    # The small addend keeps a key that no projection sees from weighing exactly nothing.
    return torch.exp(exponents - greatest) + 1e-12


def draw_projections(features: int, dim: int, generator: torch.Generator) -> Tensor:
    """(M, d): normal vectors that are orthogonal within blocks of d, which lowers the variance."""
    blocks = []
    for _ in range(math.ceil(features / dim)):
        q, r = torch.linalg.qr(torch.randn(dim, dim, generator=generator, device="cpu"))
        # The factorisation fixes signs, and so favours directions; undone, none is favoured.
        blocks.append((q * r.diagonal().sign()).t())
    lengths = torch.randn(features, dim, generator=generator, device="cpu").norm(dim=1)
    return torch.cat(blocks)[:features] * lengths[:, None]
