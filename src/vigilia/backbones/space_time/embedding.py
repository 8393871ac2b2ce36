"""From pixels to tokens: patches or tubelets, and what says where and when each of them lies.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' the token grid, D features, R rows
of class tokens, P tokens beside the grid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.layers.positions import resize_positions
from vigilia.layers.windows import Size

__all__ = ["Positions", "Tubelets"]


class Tubelets(nn.Module):
    """Cuts a clip into tubelets and projects each to a token; one frame deep, they are patches."""

    def __init__(self, size: Size, dim: int) -> None:
        super().__init__()
        self.size = size
        self.proj = nn.Conv3d(3, dim, kernel_size=size, stride=size)

    def forward(self, clip: Tensor) -> Tensor:
        """clip: (B, C=3, T, H, W) -> (B, T', H', W', D). Zeros fill up the last tubelets."""
        missing = [-extent % size for extent, size in zip(clip.shape[2:], self.size, strict=True)]
        if any(missing):
            clip = F.pad(clip, (0, missing[2], 0, missing[1], 0, missing[0]))
        return self.proj(clip).permute(0, 2, 3, 4, 1)

    def grid(self, frames: int, height: int, width: int) -> Size:
        """T' H' W' of a clip; all of them round up."""
        t, h, w = self.size
        return -(-frames // t), -(-height // h), -(-width // w)


class Positions(nn.Module):
    """Learned positions, added to the tokens; on another grid than the learned one, resized.

    Args:
        grid: (T', H', W') that is learned.
        dim: D.
        joint: one position for each token of the grid, as in ViViT; otherwise one for each place
            and one for each time, as in TimeSformer.
        time: whether times have positions; joint positions always do.
        beside: P, tokens beside the grid, each with a position of its own.
    """

    def __init__(
        self, grid: Size, dim: int, *, joint: bool = False, time: bool = True, beside: int = 0
    ) -> None:
        super().__init__()
        times, height, width = grid
        self.space = nn.Parameter(torch.empty(times if joint else 1, height, width, dim))
        self.time = nn.Parameter(torch.empty(times, 1, 1, dim)) if time and not joint else None
        self.beside = nn.Parameter(torch.empty(beside, dim)) if beside else None
        for parameter in self.parameters():
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T', H', W', D) -> the same shape."""
        times, height, width = x.shape[1:4]
        joint = self.time is None and len(self.space) > 1
        x = x + resize_positions(self.space, (times if joint else 1, height, width))
        return x if self.time is None else x + resize_positions(self.time, (times, 1, 1))
