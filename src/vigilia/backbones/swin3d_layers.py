"""The parts of Video Swin: patches, windows that shift from block to block, stages.

"Video Swin Transformer", Ze Liu, Jia Ning, Yue Cao, Yixuan Wei, Zheng Zhang, Stephen Lin, Han Hu,
2022.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' the token grid, D features, h heads,
N tokens of one window, G windows.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vigilia.backbones.base import Reader
from vigilia.layers.drop import DropPath
from vigilia.layers.linear import Linear, Mlp
from vigilia.layers.windows import (
    Size,
    fit_window,
    pad_to_multiple,
    partition_shifted,
    partition_windows,
    relative_position_bias,
    reverse_shifted,
    reverse_windows,
    shift_plan,
    window_attention,
)

__all__ = ["Block", "PatchEmbed", "PatchMerging", "ShiftedWindowAttention", "Stage"]


class PatchEmbed(nn.Module):
    """Cuts a clip into patches and projects each to a token."""

    def __init__(self, patch_size: Size, dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.proj = nn.Conv3d(3, dim, kernel_size=patch_size, stride=patch_size)
        self.norm = nn.LayerNorm(dim)

    def forward(self, clip: Tensor) -> Tensor:
        """clip: (B, C, T, H, W) -> (B, T', H', W', D). Zeros fill up the last patches."""
        missing = [-size % p for size, p in zip(clip.shape[2:], self.patch_size, strict=True)]
        if any(missing):
            clip = F.pad(clip, (0, missing[2], 0, missing[1], 0, missing[0]))
        if clip.device.type == "cpu" and not torch.compiler.is_compiling():
            # The tokens then come out as they are wanted; turning the pixels is cheaper.
            clip = clip.contiguous(memory_format=torch.channels_last_3d)
        return self.norm(self.proj(clip).permute(0, 2, 3, 4, 1))


class PatchMerging(nn.Module):
    """Halves height and width: four neighbours become one token of twice the width."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * dim)
        self.reduction = Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T', H', W', D) -> (B, T', ceil(H'/2), ceil(W'/2), 2D)."""
        x = pad_to_multiple(x, (1, 2, 2))
        # The published order of the four neighbours: down before right.
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # (B, T', H'/2, 2, W'/2, 2, D)
        x = x.permute(0, 1, 2, 4, 5, 3, 6).flatten(4)  # (B, T', H'/2, W'/2, 4D)
        return self.reduction(self.norm(x))


class ShiftedWindowAttention(nn.Module):
    """Multi-head self-attention inside windows, with a learned bias for each relative offset.

    Attributes:
        folded_for: the window and shift for which biases were computed once; see
            `IncrementalSwin3D.fold`.
    """

    folded_for: tuple[Size, Size] | None = None

    def __init__(self, dim: int, num_heads: int, window_size: Size, shift_size: Size) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift_size = shift_size
        t, h, w = window_size
        self.bias_table = nn.Parameter(
            torch.empty((2 * t - 1) * (2 * h - 1) * (2 * w - 1), num_heads)
        )
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T', H', W', D) -> (B, T', H', W', D)."""
        frames, height, width = x.shape[1:4]
        window, shift = fit_window((frames, height, width), self.window_size, self.shift_size)
        x = pad_to_multiple(x, window)
        grid = (x.shape[1], x.shape[2], x.shape[3])
        if any(shift):
            plan = shift_plan(x.shape[0], grid, window, shift, x.device)
            windows = partition_shifted(x, plan)
        else:
            plan = None
            windows = partition_windows(x, window)
        qkv = self.qkv(windows).unflatten(-1, (3, self.num_heads, -1))  # (B * G, N, 3, h, D/h)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B * G, h, N, D/h)
        bias = relative_position_bias(self.bias_table, self.window_size, windows.shape[1])
        windows = self.proj(window_attention(q, k, v, bias, plan))  # (B * G, N, D)
        if plan is not None:
            x = reverse_shifted(windows, plan, grid)
        else:
            x = reverse_windows(windows, window, grid)
        return x[:, :frames, :height, :width]


class Block(nn.Module):
    """x + attention, then (in a stage's last block, when asked) + reader, then + MLP."""

    def __init__(
        self,
        dim: int,
        num_heads: int,
        window_size: Size,
        shift_size: Size,
        mlp_ratio: float,
        drop_path: float,
        checkpoint_activations: bool,
    ) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        self.norm1 = nn.LayerNorm(dim)
        self.attention = ShiftedWindowAttention(dim, num_heads, window_size, shift_size)
        self.norm2 = nn.LayerNorm(dim)
        hidden = int(dim * mlp_ratio)
        self.mlp = Mlp(dim, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """x: (B, T', H', W', D) -> (B, T', H', W', D)."""
        # The reader stays outside what is recomputed, so that it runs once even then.
        if self.checkpoint_activations and self.training and torch.is_grad_enabled():
            x = checkpoint(self.attend, x, use_reentrant=False)
            if reader is not None:
                x = x + reader(x)
            return checkpoint(self.transform, x, use_reentrant=False)
        x = self.attend(x)
        if reader is not None:
            x = x + reader(x)
        return self.transform(x)

    def attend(self, x: Tensor) -> Tensor:
        """The first half."""
        return x + self.drop_path(self.attention(self.norm1(x)))

    def transform(self, x: Tensor) -> Tensor:
        """The second half, behind the reader."""
        if self.training:
            return x + self.drop_path(self.mlp(self.norm2(x)))
        return self.mlp(self.norm2(x), added=x)


class Stage(nn.Module):
    """Merging (in all but the first stage), then blocks; every second one is shifted."""

    def __init__(
        self,
        dim: int,
        merges: bool,
        num_heads: int,
        window_size: Size,
        mlp_ratio: float,
        drop_paths: list[float],
        checkpoint_activations: bool,
    ) -> None:
        super().__init__()
        self.merge = PatchMerging(dim // 2) if merges else None
        half = (window_size[0] // 2, window_size[1] // 2, window_size[2] // 2)
        self.blocks = nn.ModuleList(
            Block(
                dim=dim,
                num_heads=num_heads,
                window_size=window_size,
                shift_size=half if index % 2 else (0, 0, 0),
                mlp_ratio=mlp_ratio,
                drop_path=drop_path,
                checkpoint_activations=checkpoint_activations,
            )
            for index, drop_path in enumerate(drop_paths)
        )

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """x: the previous stage's tokens -> (B, T', H', W', D)."""
        if self.merge is not None:
            x = self.merge(x)
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            x = block(x, reader if index == last else None)
        return x
