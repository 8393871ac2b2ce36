"""What R3D, MC3 and R(2+1)D are made of; sub-modules have torchvision's names.

Letters: B streams, T H W the grid, D features.
"""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.layers.causal_conv import Borders, walk
from vigilia.layers.drop import DropPath
from vigilia.layers.recompute import recompute

__all__ = ["KINDS", "BasicBlock", "Stage", "make_stem"]

KINDS = ("r3d", "mc3", "r2plus1d")


def _convolution(kind: str, dim_in: int, dim: int, middle: int, stride: int) -> nn.Module:
    """One 3 x 3 (x 3) convolution in the manner of `kind`; the names are torchvision's."""
    if kind == "r3d":
        return nn.Conv3d(dim_in, dim, 3, stride, 1, bias=False)
    if kind == "mc3":
        return nn.Conv3d(dim_in, dim, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
    return nn.Sequential(
        nn.Conv3d(dim_in, middle, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, dim, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


def make_stem(kind: str, dim: int) -> nn.Sequential:
    if kind != "r2plus1d":
        return nn.Sequential(
            nn.Conv3d(3, dim, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False),
            nn.BatchNorm3d(dim),
            nn.ReLU(inplace=True),
        )
    middle = 45 * dim // 64
    return nn.Sequential(
        nn.Conv3d(3, middle, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(middle),
        nn.ReLU(inplace=True),
        nn.Conv3d(middle, dim, (3, 1, 1), (1, 1, 1), (1, 0, 0), bias=False),
        nn.BatchNorm3d(dim),
        nn.ReLU(inplace=True),
    )


class BasicBlock(nn.Module):
    """Two convolutions beside a shortcut, then memory's increment, then a ReLU."""

    def __init__(self, kind: str, dim_in: int, dim: int, stride: int, drop_path: float) -> None:
        super().__init__()
        # As many parameters as one 3 x 3 x 3 convolution has (section 3.5 of the paper).
        middle = (dim_in * dim * 27) // (dim_in * 9 + 3 * dim)
        self.conv1 = nn.Sequential(
            _convolution(kind, dim_in, dim, middle, stride),
            nn.BatchNorm3d(dim),
            nn.ReLU(inplace=True),
        )
        self.conv2 = nn.Sequential(
            _convolution(kind, dim, dim, middle, 1),
            nn.BatchNorm3d(dim),
        )
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or dim_in != dim:
            strides = (1 if kind == "mc3" else stride, stride, stride)
            self.downsample = nn.Sequential(
                nn.Conv3d(dim_in, dim, 1, strides, bias=False), nn.BatchNorm3d(dim)
            )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T', H', W'), before the last ReLU."""
        branch = walk(self.conv2, walk(self.conv1, x, borders), borders)
        return walk(self.downsample, x, borders) + self.drop_path(branch)


class Stage(nn.Module):
    """Blocks of one width; the first one reduces the grid."""

    def __init__(self, blocks: list[BasicBlock], *, checkpoint_activations: bool) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.checkpoint_activations = checkpoint_activations

    def forward(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T', H', W'), before the last ReLU."""
        enabled = self.checkpoint_activations and self.training and borders is None
        for index, block in enumerate(self.blocks):
            x = F.relu(x) if index else x
            x = recompute(partial(block, borders=borders), x, enabled=enabled)
        return x
