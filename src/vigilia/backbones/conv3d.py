"""Small convolutional backbones, ours, for small pictures and little data.

Convolutions know from the start that neighbouring pixels belong together and that a shape is the
same shape wherever it appears; a transformer has to learn it. Trained from nothing on some
thousand clips they see better.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.backbones.causal import CausalBackbone, run_convolutions
from vigilia.errors import OptionError
from vigilia.layers.causal_conv import Borders, walk
from vigilia.layers.drop import DropPath
from vigilia.layers.recompute import recompute

__all__ = ["Conv3D", "IncrementalConv3D", "conv3d_nano", "conv3d_nano_incremental"]

Size = tuple[int, int, int]


class ConvStage(nn.Module):
    """A convolution that reduces the grid, then memory's increment, then an MLP on every token."""

    def __init__(
        self, dim_in: int, dim: int, kernel: Size, stride: Size, drop_path: float, checkpoint: bool
    ) -> None:
        super().__init__()
        time, height, width = kernel
        padding = (time // 2, height // 2, width // 2)
        self.conv = nn.Conv3d(dim_in, dim, kernel, stride, padding)
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.drop = DropPath(drop_path)
        self.checkpoint = checkpoint

    def forward(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        """Up to where memory is read. x: (B, D_in, T, H, W) -> (B, D, T', H', W')."""
        return recompute(
            partial(self._convolve, borders=borders),
            x,
            enabled=self.checkpoint and borders is None,
        )

    def finish(self, x: Tensor) -> Tensor:
        """What comes after the reading. x: (B, T', H', W', D) -> the same shape."""
        return x + self.drop(self.mlp(x))

    def _convolve(self, x: Tensor, borders: Borders | None) -> Tensor:
        moved = F.gelu(walk(self.conv, x, borders))
        return self.norm(moved.movedim(1, -1)).movedim(-1, 1)


class Conv3D(nn.Module):
    """Stages of one convolution each; obeys `vigilia.backbones.Backbone`.

    Args:
        dims: D of every stage.
        kernels: (T, H, W) of every stage's convolution, odd.
        strides: (T, H, W) by which every stage reduces its grid; what is left over rounds up.
        drop_path: greatest probability of dropping an MLP in training.
        checkpoint_activations: compute the convolutions again in the backward pass.

    Attributes:
        time_stride: frames that one frame of the last stage stands for.
    """

    def __init__(
        self,
        *,
        dims: tuple[int, ...],
        kernels: tuple[Size, ...],
        strides: tuple[Size, ...],
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not len(dims) == len(kernels) == len(strides) >= 1:
            raise OptionError("dims, kernels and strides must name the same stages, one or more")
        self.stage_dims = dims
        self.embedding_dim = sum(dims)
        self.time_stride = math.prod(stride[0] for stride in strides)
        rates = torch.linspace(0.0, drop_path, len(dims), device="cpu").tolist()
        self.stages = nn.ModuleList(
            ConvStage(dim_in, dim, kernel, stride, rate, checkpoint_activations)
            for dim_in, dim, kernel, stride, rate in zip(
                (3, *dims), dims, kernels, strides, rates, strict=False
            )
        )

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s).

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        return run_convolutions(self, clip, readers)

    def convolve_stage(self, number: int, x: Tensor, borders: Borders | None = None) -> Tensor:
        """A stage up to where memory is read. x: (B, D_in, T, H, W) -> (B, D, T', H', W')."""
        return cast(ConvStage, self.stages[number - 1])(x, borders)

    def finish_stage(self, number: int, x: Tensor) -> Tensor:
        """The rest of a stage. x: (B, T', H', W', D) -> the same shape."""
        return cast(ConvStage, self.stages[number - 1]).finish(x)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, sum of D_s): each stage's greatest values."""
        return torch.cat([x.amax(dim=(1, 2, 3)) for x in features], dim=1)


class IncrementalConv3D(CausalBackbone, Conv3D):
    """The same on new frames alone; the arguments are those of both."""

    convolve_stage = Conv3D.convolve_stage
    finish_stage = Conv3D.finish_stage
    pool = Conv3D.pool


def conv3d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Conv3D:
    """0.3 M parameters: the first two stages see single frames, the last two three of them."""
    return Conv3D(**_nano(drop_path, checkpoint_activations))


def conv3d_nano_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalConv3D:
    """`conv3d_nano` on 8 new frames a step; its weights have the same names and shapes."""
    return IncrementalConv3D(**_nano(drop_path, checkpoint_activations))


def _nano(drop_path: float, checkpoint_activations: bool) -> dict[str, Any]:
    return {
        "dims": (16, 32, 64, 96),
        "kernels": ((1, 5, 5), (1, 3, 3), (3, 3, 3), (3, 3, 3)),
        "strides": ((1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 2, 2)),
        "drop_path": drop_path,
        "checkpoint_activations": checkpoint_activations,
    }
