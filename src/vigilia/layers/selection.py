"""Working on some tokens of a grid only, and putting them back in their places.

Letters: B streams, T H W the token grid, D features, F frames or 1, K kept tokens.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

__all__ = ["Choice", "choose_tokens", "gather_tokens", "scatter_tokens"]

Choice = Literal["tokens", "frames", "tubes"]
"""What is kept: any tokens, as many of each frame, or the same places in all frames."""


def choose_tokens(scores: Tensor, keep: int, choice: Choice) -> Tensor:
    """scores: (B, T, H, W) -> (B, F, K) int64, flat numbers in (T, H, W), in ascending order.

    Args:
        scores: the greatest are kept.
        keep: K, of the whole grid for "tokens" (then F is 1), of each frame otherwise (F is T).
        choice: "tubes" keeps the places whose scores are greatest on average over time.
    """
    streams, frames, height, width = scores.shape
    if choice == "tokens":
        return scores.flatten(1).topk(keep, dim=1).indices.sort(dim=1).values[:, None]
    flat = scores.flatten(2)  # (B, T, H * W)
    if choice == "tubes":
        flat = flat.mean(dim=1, keepdim=True)
    places = flat.topk(keep, dim=2).indices.sort(dim=2).values.expand(streams, frames, keep)
    return places + height * width * torch.arange(frames, device=scores.device)[:, None]


def gather_tokens(x: Tensor, chosen: Tensor) -> Tensor:
    """x: (B, T, H, W, D), chosen: (B, F, K) -> (B, F, 1, K, D)."""
    flat = x.flatten(1, 3)  # (B, T * H * W, D)
    index = chosen.flatten(1)[..., None].expand(-1, -1, x.shape[-1])
    return flat.gather(1, index).view(len(x), chosen.shape[1], 1, chosen.shape[2], x.shape[-1])


def scatter_tokens(x: Tensor, chosen: Tensor, kept: Tensor) -> Tensor:
    """x: (B, T, H, W, D), kept: (B, F, 1, K, D) -> x with the chosen tokens replaced."""
    index = chosen.flatten(1)[..., None].expand(-1, -1, x.shape[-1])
    return x.flatten(1, 3).scatter(1, index, kept.flatten(1, 3)).view(x.shape)
