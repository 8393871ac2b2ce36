"""Inception over space and time: the network that I3D and S3D share; see `i3d` and `s3d`.

Four stages, each from one pooling to the next: T', H' and W' are a half, a quarter and a quarter of
the clip's in the first; H and W halve before the second, T, H and W before the third and fourth.
All round up. An Inception block ends with its branches side by side, so what memory reads is added
to a stage's last block behind them.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.inflation import check_time_padding
from vigilia.layers.pooling import greatest
from vigilia.layers.recompute import recompute

__all__ = ["GOOGLENET", "NANO_WIDTHS", "Branches", "Inception3D", "Widths"]


class Branches(NamedTuple):
    """D of an Inception block: 1 x 1; 1 x 1 and 3 x 3; the same again; pooling and 1 x 1."""

    one: int
    middle_a: int
    three_a: int
    middle_b: int
    three_b: int
    pooled: int


class Widths(NamedTuple):
    """D of the stem, of the two convolutions of stage 1, and of the blocks of stages 2 to 4."""

    stem: int
    first: tuple[int, int]
    blocks: tuple[tuple[Branches, ...], ...]


GOOGLENET = Widths(
    stem=64,
    first=(64, 192),
    blocks=(
        (Branches(64, 96, 128, 16, 32, 32), Branches(128, 128, 192, 32, 96, 64)),
        (
            Branches(192, 96, 208, 16, 48, 64),
            Branches(160, 112, 224, 24, 64, 64),
            Branches(128, 128, 256, 24, 64, 64),
            Branches(112, 144, 288, 32, 64, 64),
            Branches(256, 160, 320, 32, 128, 128),
        ),
        (Branches(256, 160, 320, 32, 128, 128), Branches(384, 192, 384, 48, 128, 128)),
    ),
)

NANO_WIDTHS = Widths(
    stem=16,
    first=(16, 32),
    blocks=(
        (Branches(16, 16, 32, 8, 8, 8),),
        (Branches(32, 16, 40, 8, 12, 12), Branches(32, 24, 40, 8, 12, 12)),
        (Branches(48, 24, 56, 8, 12, 12),),
    ),
)

Size = tuple[int, int, int]


class _Padding:
    """TensorFlow's SAME: as many outputs as strides fit, the odd cell of padding behind."""

    def __init__(self, kernel: Size, stride: Size, time_padding: str) -> None:
        self.kernel, self.stride, self.time_padding = kernel, stride, time_padding

    def __call__(self, x: Tensor) -> Tensor:
        """x: (B, C, T, H, W) -> padded; max-pooled values are never below 0, so 0 will do."""
        pads = []
        for size, kernel, stride in zip(x.shape[2:], self.kernel, self.stride, strict=True):
            short = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads.append((short // 2, short - short // 2))
        time, rows, columns = pads
        x = F.pad(x, (*columns, *rows))
        if not any(time):
            return x
        if self.time_padding == "replicate":
            return F.pad(x, (0, 0, 0, 0, *time), mode="replicate")
        return F.pad(x, (0, 0, 0, 0, *time))


class SameConv3d(nn.Conv3d):
    """A convolution with SAME padding."""

    def __init__(
        self, dim_in: int, dim: int, kernel: Size, stride: Size, *, time_padding: str
    ) -> None:
        super().__init__(dim_in, dim, kernel, stride, bias=False)
        self.pad = _Padding(kernel, stride, time_padding)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T, H, W) -> (B, C', ceil(T / s), ...)."""
        return super().forward(self.pad(x))


class SameMaxPool3d(nn.Module):
    """A max pooling with SAME padding, of values that are not negative."""

    def __init__(self, kernel: Size, stride: Size, *, time_padding: str) -> None:
        super().__init__()
        self.pad = _Padding(kernel, stride, time_padding)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, T, H, W) -> (B, C, ceil(T / s), ...)."""
        return F.max_pool3d(self.pad(x), self.pad.kernel, self.pad.stride)


class _Maker:
    """Makes convolutions and poolings of one kind; sub-module names are torchvision's."""

    def __init__(self, *, separable: bool, same: bool, momentum: float, time_padding: str) -> None:
        self.separable, self.same = separable, same
        self.momentum, self.time_padding = momentum, time_padding

    def _unit(self, dim_in: int, dim: int, kernel: Size, stride: Size) -> nn.Sequential:
        conv: nn.Module
        if self.same:
            conv = SameConv3d(dim_in, dim, kernel, stride, time_padding=self.time_padding)
        else:
            time, rows, columns = kernel
            padding = (time // 2, rows // 2, columns // 2)
            conv = nn.Conv3d(dim_in, dim, kernel, stride, padding, bias=False)
        norm = nn.BatchNorm3d(dim, eps=1e-3, momentum=self.momentum)
        return nn.Sequential(conv, norm, nn.ReLU(inplace=True))

    def conv(self, dim_in: int, dim: int, kernel: int, stride: int = 1) -> nn.Sequential:
        if not self.separable or kernel == 1:
            return self._unit(dim_in, dim, (kernel,) * 3, (stride,) * 3)
        return nn.Sequential(
            self._unit(dim_in, dim, (1, kernel, kernel), (1, stride, stride)),
            self._unit(dim, dim, (kernel, 1, 1), (stride, 1, 1)),
        )

    def pool(self, kernel: Size, stride: Size) -> nn.Module:
        if self.same:
            return SameMaxPool3d(kernel, stride, time_padding=self.time_padding)
        # Even kernels fit side by side and are not padded.
        time, rows, columns = (size // 2 if size % 2 else 0 for size in kernel)
        return nn.MaxPool3d(kernel, stride, (time, rows, columns), ceil_mode=not rows)

    def block(self, dim_in: int, widths: Branches) -> InceptionBlock:
        return InceptionBlock(
            self.conv(dim_in, widths.one, 1),
            nn.Sequential(
                self.conv(dim_in, widths.middle_a, 1), self.conv(widths.middle_a, widths.three_a, 3)
            ),
            nn.Sequential(
                self.conv(dim_in, widths.middle_b, 1), self.conv(widths.middle_b, widths.three_b, 3)
            ),
            nn.Sequential(self.pool((3, 3, 3), (1, 1, 1)), self.conv(dim_in, widths.pooled, 1)),
        )


class InceptionBlock(nn.Module):
    """Four branches over the same tokens, side by side."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branch0, self.branch1, self.branch2, self.branch3 = branches

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T, H, W)."""
        branches = (self.branch0, self.branch1, self.branch2, self.branch3)
        return torch.cat([branch(x) for branch in branches], dim=1)


class Stage(nn.Module):
    """A pooling, then blocks."""

    def __init__(self, pool: nn.Module, blocks: nn.Sequential) -> None:
        super().__init__()
        self.pool = pool
        self.blocks = blocks

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T', H', W')."""
        return self.blocks(self.pool(x))


class Inception3D(nn.Module):
    """I3D or S3D; obeys `vigilia.backbones.Backbone`.

    Args:
        separable: each kernel over space and time becomes one over space and one over time (S3D).
        same: TensorFlow's SAME padding instead of a symmetric one; I3D's weights depend on it.
        widths: D of everything.
        norm_momentum: of the batch norms' running statistics.
        time_padding: "zeros", or "replicate" for copies of the first and last frame; the second
            only with `same`.
        pools_stages: pool the greatest values of every stage, not as published.
        checkpoint_activations: compute the stages again in the backward pass.

    Raises:
        OptionError: no such padding.
    """

    def __init__(
        self,
        *,
        separable: bool,
        same: bool,
        widths: Widths = GOOGLENET,
        norm_momentum: float = 0.1,
        time_padding: str = "zeros",
        pools_stages: bool = False,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        check_time_padding(time_padding)
        make = _Maker(
            separable=separable, same=same, momentum=norm_momentum, time_padding=time_padding
        )
        self.checkpoint_activations = checkpoint_activations
        self.stem = make.conv(3, widths.stem, 7, stride=2)
        dim = widths.first[1]
        first = nn.Sequential(
            make.conv(widths.stem, widths.first[0], 1), make.conv(widths.first[0], dim, 3)
        )
        stages, dims = [Stage(make.pool((1, 3, 3), (1, 2, 2)), first)], [dim]
        pools = (((1, 3, 3), (1, 2, 2)), ((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)))
        for (kernel, stride), blocks in zip(pools, widths.blocks, strict=True):
            built = nn.Sequential()
            for block in blocks:
                built.append(make.block(dim, block))
                dim = block.one + block.three_a + block.three_b + block.pooled
            stages.append(Stage(make.pool(kernel, stride), built))
            dims.append(dim)
        self.stages = nn.ModuleList(stages)
        self.stage_dims = tuple(dims)
        self.pools_stages = pools_stages
        self.embedding_dim = sum(dims) if pools_stages else dim
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s).

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stages))
        enabled = self.checkpoint_activations and self.training
        x = recompute(self.stem, clip, enabled=enabled)
        features = []
        for number, stage in enumerate(self.stages, start=1):
            x = recompute(stage, x, enabled=enabled)
            if reader := readers.get(number):
                x = x + reader(x.movedim(1, -1)).movedim(-1, 1)
            features.append(x.permute(0, 2, 3, 4, 1))
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D).

        As published: the mean over windows of 2 x 7 x 7 that overlap in all but one step, so that
        the first and the last frame count half where there are more than two. A grid smaller than
        the window is one window. With `pools_stages`: the greatest values of every stage.
        """
        if self.pools_stages:
            return greatest(features)
        x = features[-1]
        for axis, window in ((1, 2), (2, 7), (3, 7)):
            shape = [-1 if index == axis else 1 for index in range(5)]
            share = _share_of_windows(x.shape[axis], window).to(x)
            x = (x * share.view(shape)).sum(axis, keepdim=True)
        return x.flatten(1)


def _share_of_windows(size: int, window: int) -> Tensor:
    """(size,): how much each place counts in the mean over all windows of the mean within each."""
    window = min(window, size)
    windows = size - window + 1
    place = torch.arange(size)
    count = torch.minimum(place + 1, size - place).clamp(max=min(window, windows))
    return count / (window * windows)
