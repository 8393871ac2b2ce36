"""C3D: eight convolutions of 3 x 3 x 3, five poolings, two fully connected layers.

"Learning Spatiotemporal Features with 3D Convolutional Networks", Tran, Bourdev, Fergus, Torresani,
Paluri, 2015.

Memory is read in a stage's last convolution, before its ReLU. Poolings round up, which changes
nothing at the published 16 x 112 x 112, where every size divides. The fully connected layers are
made for the 1 x 4 x 4 that is left there; other sizes are averaged to it. The incremental one takes
new frames alone; see `causal`.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.backbones.causal import CausalBackbone, run_convolutions
from vigilia.errors import OptionError
from vigilia.layers.causal_conv import Borders, walk
from vigilia.layers.pooling import greatest
from vigilia.layers.recompute import recompute

__all__ = ["C3D", "IncrementalC3D", "c3d", "c3d_nano", "c3d_nano_incremental"]

LAST_GRID = (1, 4, 4)
"""What 16 x 112 x 112 leaves for the fully connected layers."""


class Stage(nn.Module):
    """A pooling (in all but the first stage), then convolutions with a ReLU each."""

    def __init__(self, dims: tuple[int, ...], *, pool: tuple[int, int, int] | None) -> None:
        super().__init__()
        self.pool = nn.Identity() if pool is None else nn.MaxPool3d(pool, pool, ceil_mode=True)
        self.convs = nn.ModuleList(
            nn.Conv3d(dim_in, dim, 3, padding=1) for dim_in, dim in itertools.pairwise(dims)
        )

    def forward(self, x: Tensor, borders: Borders | None = None) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T', H', W'), before the last ReLU."""
        x = walk(self.pool, x, borders)
        *earlier, last = self.convs
        for conv in earlier:
            x = F.relu(walk(conv, x, borders))
        return walk(last, x, borders)


class C3D(nn.Module):
    """C3D; obeys `vigilia.backbones.Backbone`.

    Args:
        dims: D of every stage.
        depths: convolutions of every stage.
        hidden: width of the two fully connected layers; 0 leaves them out.
        dropout: in front of the second of them, and behind it.
        checkpoint_activations: compute the convolutions again in the backward pass.

    Attributes:
        time_stride: frames that one frame of the last stage stands for.
    """

    def __init__(
        self,
        *,
        dims: tuple[int, ...] = (64, 128, 256, 512, 512),
        depths: tuple[int, ...] = (1, 1, 2, 2, 2),
        hidden: int = 4096,
        dropout: float = 0.5,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) >= 1 or min(depths) < 1:
            raise OptionError(f"dims and depths must name the same stages, got {dims} and {depths}")
        self.stage_dims = tuple(dims)
        self.embedding_dim = hidden or sum(dims)
        self.time_stride = 2 ** max(len(dims) - 2, 0)
        self.checkpoint_activations = checkpoint_activations
        stages, dim_in = [], 3
        for index, (dim, depth) in enumerate(zip(dims, depths, strict=True)):
            pool = None if index == 0 else (1, 2, 2) if index == 1 else (2, 2, 2)
            stages.append(Stage((dim_in, *[dim] * depth), pool=pool))
            dim_in = dim
        self.stages = nn.ModuleList(stages)
        self.fully_connected = nn.Identity() if not hidden else _head(dims[-1], hidden, dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s), before its pooling.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        return run_convolutions(self, clip, readers)

    def convolve_stage(self, number: int, x: Tensor, borders: Borders | None = None) -> Tensor:
        """A stage up to where memory is read. x: (B, D_in, T, H, W) -> (B, D, T', H', W')."""
        enabled = self.checkpoint_activations and self.training and borders is None
        return recompute(partial(self.stages[number - 1], borders=borders), x, enabled=enabled)

    def finish_stage(self, number: int, x: Tensor) -> Tensor:
        """The rest of a stage. x: (B, T', H', W', D) -> the same shape."""
        del number
        return F.relu(x)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D).

        As published: the last pooling and both fully connected layers, with their ReLUs. Without
        these layers the greatest values of every stage.
        """
        if isinstance(self.fully_connected, nn.Identity):
            return greatest(features)
        return self.fully_connected(features[-1].permute(0, 4, 1, 2, 3))


class IncrementalC3D(CausalBackbone, C3D):
    """The same on new frames alone; the arguments are those of both."""

    convolve_stage = C3D.convolve_stage
    finish_stage = C3D.finish_stage
    pool = C3D.pool


def _head(dim: int, hidden: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.MaxPool3d(2, 2, padding=(0, 1, 1), ceil_mode=True),
        nn.AdaptiveAvgPool3d(LAST_GRID),
        nn.Flatten(),
        nn.Linear(dim * math.prod(LAST_GRID), hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
    )


def c3d(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> C3D:
    """79.63 M parameters with a 400-class head, 38.55 GMAC at 16 x 112 x 112.

    There is no residual branch that could be dropped: `drop_path`, which every backbone takes, has
    no effect; dropout of 0.5 is the published one.
    """
    del drop_path
    return C3D(checkpoint_activations=checkpoint_activations)


def c3d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> C3D:
    """Ours, for small pictures: one convolution a stage and no fully connected layers."""
    del drop_path  # as in `c3d`
    return C3D(**_nano(checkpoint_activations))


def c3d_nano_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalC3D:
    """`c3d_nano` on 8 new frames a step."""
    del drop_path  # as in `c3d`
    return IncrementalC3D(**_nano(checkpoint_activations))


def _nano(checkpoint_activations: bool) -> dict[str, Any]:
    return {
        "dims": (16, 32, 64, 96, 96),
        "depths": (1, 1, 1, 1, 1),
        "hidden": 0,
        "checkpoint_activations": checkpoint_activations,
    }
