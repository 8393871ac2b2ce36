"""Pyramid constrained self-attention: each head looks at a neighbourhood of its own size.

"Pyramid Constrained Self-Attention Network for Fast Video Salient Object Detection", Gu, Wang,
Wang, Liu, Cheng, Lu, 2020. A token attends to its surroundings in every frame of the clip: objects
move little from frame to frame. The pyramid is not one of resolutions: groups of heads differ in
how far they look, (2 r + 1)^2 places around the token's own, every `dilation`-th.

Letters: B streams, T H W the token grid, D features, G groups of heads, c = D / G, K places of a
neighbourhood.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.errors import OptionError

__all__ = ["PyramidAttention"]


class PyramidAttention(nn.Module):
    """Self-attention within neighbourhoods over all frames; one head for each group.

    Costs 4 T H W D^2 multiply-adds for its projections and 2 T^2 H W K c for each group, where
    joint attention has 2 (T H W)^2 c.

    Args:
        dim: D.
        radii: for each group, how many places it looks in each direction.
        dilations: for each group, the distance from place to place.

    Raises:
        OptionError: other numbers of radii than of dilations, or groups that do not divide D.
    """

    def __init__(
        self,
        dim: int,
        *,
        radii: tuple[int, ...] = (3, 3, 4, 4),
        dilations: tuple[int, ...] = (1, 2, 1, 2),
    ) -> None:
        super().__init__()
        if not radii or len(radii) != len(dilations):
            raise OptionError(f"each group has one radius and dilation, got {radii}, {dilations}")
        if dim % len(radii):
            raise OptionError(f"a width of {dim} does not divide into {len(radii)} groups")
        self.radii, self.dilations = radii, dilations
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T, H, W, D) -> the same shape."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        groups = zip(
            *(tensor.chunk(len(self.radii), dim=-1) for tensor in (q, k, v)),
            self.radii,
            self.dilations,
            strict=True,
        )
        return self.proj(torch.cat([_within(*group) for group in groups], dim=-1))


def _within(q: Tensor, k: Tensor, v: Tensor, radius: int, dilation: int) -> Tensor:
    """q, k, v: (B, T, H, W, c) -> (B, T, H, W, c), attention to neighbourhoods of all frames."""
    streams, frames, height, width, dim = q.shape

    def surroundings(tensor: Tensor) -> Tensor:
        """(R, H, W, c) -> (R, H * W, K, c)."""
        found = F.unfold(
            tensor.permute(0, 3, 1, 2),
            kernel_size=2 * radius + 1,
            dilation=dilation,
            padding=radius * dilation,
        )
        return found.unflatten(1, (tensor.shape[-1], -1)).permute(0, 3, 2, 1)

    def over_frames(tensor: Tensor) -> Tensor:
        """(B, T, H, W, c) -> (B, H * W, T * K, c)."""
        near = surroundings(tensor.flatten(0, 1)).unflatten(0, (streams, frames))
        return near.transpose(1, 2).flatten(2, 3)

    inside = surroundings(q.new_ones(1, height, width, 1))[0, :, :, 0] > 0  # (H * W, K)
    bias = torch.zeros_like(inside, dtype=q.dtype).masked_fill(~inside, float("-inf"))
    bias = bias.repeat(1, frames)[None, :, None]  # (1, H * W, 1, T * K)
    queries = q.flatten(2, 3).transpose(1, 2)  # (B, H * W, T, c)
    mixed = F.scaled_dot_product_attention(queries, over_frames(k), over_frames(v), attn_mask=bias)
    return mixed.transpose(1, 2).reshape(streams, frames, height, width, dim)
