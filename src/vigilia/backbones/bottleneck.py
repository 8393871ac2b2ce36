"""Residual bottlenecks over space and time: what SlowFast and its relatives are made of.

"SlowFast Networks for Video Recognition", Feichtenhofer, Fan, Malik, He, 2019. A block's first
convolution reaches over time, its second over space.

Letters: B streams, C channels, T frames, H W the grid, D features.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.layers.drop import DropPath
from vigilia.layers.recompute import recompute

__all__ = ["BottleneckStage", "convolution", "initialise", "stem"]

Size = tuple[int, int, int]


class _ReplicateTime(nn.Conv3d):
    """A convolution that pads time with copies of the first and last frame."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T, H, W) -> (B, C', T', H', W')."""
        assert not isinstance(self.padding, str)
        time, *space = self.padding
        if time:
            x = F.pad(x, (0, 0, 0, 0, time, time), mode="replicate")
        return F.conv3d(x, self.weight, None, self.stride, (0, *space))


def convolution(
    dim_in: int,
    dim: int,
    kernel: Size,
    stride: Size = (1, 1, 1),
    *,
    time_padding: str = "zeros",
) -> nn.Conv3d:
    """A convolution that keeps the grid but for its strides, without a bias."""
    padding = (kernel[0] // 2, kernel[1] // 2, kernel[2] // 2)
    kind = _ReplicateTime if time_padding == "replicate" else nn.Conv3d
    return kind(dim_in, dim, kernel, stride, padding, bias=False)


def stem(dim: int, frames: int, *, time_padding: str = "zeros") -> nn.Sequential:
    """A convolution over `frames` frames and 7 x 7 pixels, then a pooling: H and W over 4."""
    return nn.Sequential(
        convolution(3, dim, (frames, 7, 7), (1, 2, 2), time_padding=time_padding),
        nn.BatchNorm3d(dim),
        nn.ReLU(inplace=True),
        nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    )


class Bottleneck(nn.Module):
    """Narrow, convolve, widen, beside a shortcut; the names are torchvision's."""

    def __init__(
        self,
        dim_in: int,
        inner: int,
        dim: int,
        *,
        frames: int,
        stride: int,
        drop_path: float,
        time_padding: str,
    ) -> None:
        super().__init__()
        strides = (1, stride, stride)
        self.conv1 = convolution(dim_in, inner, (frames, 1, 1), time_padding=time_padding)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = convolution(inner, inner, (1, 3, 3), strides)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = convolution(inner, dim, (1, 1, 1))
        self.bn3 = nn.BatchNorm3d(dim)
        self.downsample: nn.Module = nn.Identity()
        if dim_in != dim or stride != 1:
            self.downsample = nn.Sequential(
                convolution(dim_in, dim, (1, 1, 1), strides), nn.BatchNorm3d(dim)
            )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T, H', W'), before the last ReLU."""
        branch = F.relu(self.bn1(self.conv1(x)))
        branch = F.relu(self.bn2(self.conv2(branch)))
        return self.downsample(x) + self.drop_path(self.bn3(self.conv3(branch)))


class BottleneckStage(nn.Module):
    """Bottlenecks of one width; the first one reduces the grid.

    Args:
        dim_in: D of what comes in.
        inner: D inside the blocks.
        dim: D of what goes out.
        frames: for each block, the frames that its first convolution sees.
        stride: of the first block, in height and width.
        drop_paths: for each block.
        time_padding: "zeros" or "replicate".
        checkpoint_activations: compute the blocks again in the backward pass.
    """

    def __init__(
        self,
        dim_in: int,
        inner: int,
        dim: int,
        *,
        frames: Sequence[int],
        stride: int,
        drop_paths: Sequence[float],
        time_padding: str = "zeros",
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.checkpoint_activations = checkpoint_activations
        self.blocks = nn.ModuleList(
            Bottleneck(
                dim if index else dim_in,
                inner,
                dim,
                frames=reach,
                stride=1 if index else stride,
                drop_path=rate,
                time_padding=time_padding,
            )
            for index, (reach, rate) in enumerate(zip(frames, drop_paths, strict=True))
        )

    def forward(self, x: Tensor, reader: Reader | None = None) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T, H', W')."""
        enabled = self.checkpoint_activations and self.training
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            x = recompute(block, x, enabled=enabled)
            if index == last and reader is not None:
                x = x + reader(x.movedim(1, -1)).movedim(-1, 1)
            x = F.relu(x)
        return x


def initialise(network: nn.Module) -> None:
    """Fresh weights for convolutions that a ReLU follows."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
