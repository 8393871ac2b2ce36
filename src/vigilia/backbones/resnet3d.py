"""R3D, MC3 and R(2+1)D: residual networks of 18 layers over space and time.

"A Closer Look at Spatiotemporal Convolutions for Action Recognition", Tran, Wang, Torresani, Ray,
LeCun, Paluri, 2018. Kinetics-400 weights come from torchvision (BSD-3-Clause) through
`from_torchvision`.

Memory is read in a stage's last block, between the sum of its two branches and the ReLU behind it.
Grids round up: T halves before stages 2 to 4 (not in MC3), H and W before each of them and in the
stem. The incremental ones take new frames alone, with the same weights; see `causal`.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.backbones.causal import CausalBackbone, run_convolutions
from vigilia.backbones.conversion import convert
from vigilia.backbones.resnet3d_parts import KINDS, BasicBlock, Stage, make_stem
from vigilia.errors import OptionError
from vigilia.layers.causal_conv import Borders, walk
from vigilia.layers.pooling import greatest

__all__ = [
    "IncrementalResNet3D",
    "ResNet3D",
    "from_torchvision",
    "mc3_18",
    "r2plus1d_18",
    "r2plus1d_18_incremental",
    "r2plus1d_nano",
    "r2plus1d_nano_incremental",
    "r3d_18",
    "r3d_18_incremental",
    "r3d_nano",
    "r3d_nano_incremental",
]


class ResNet3D(nn.Module):
    """R3D, MC3 or R(2+1)D; obeys `vigilia.backbones.Backbone`.

    Args:
        kind: "r3d" (3 x 3 x 3 throughout), "mc3" (time in the first stage only) or "r2plus1d"
            (space, then time).
        dims: D of every stage; the stem has the first.
        depths: blocks of every stage.
        pools_stages: pool the greatest values of every stage instead of the last one's mean.
        drop_path: greatest probability of dropping a block's branch in training.
        checkpoint_activations: compute the blocks again in the backward pass.

    Attributes:
        time_stride: frames that one frame of the last stage stands for.
    """

    def __init__(
        self,
        *,
        kind: str,
        dims: tuple[int, ...] = (64, 128, 256, 512),
        depths: tuple[int, ...] = (2, 2, 2, 2),
        pools_stages: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise OptionError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if not len(dims) == len(depths) >= 1 or min(depths) < 1:
            raise OptionError(f"dims and depths must name the same stages, got {dims} and {depths}")
        self.stage_dims = tuple(dims)
        self.pools_stages = pools_stages
        self.embedding_dim = sum(dims) if pools_stages else dims[-1]
        self.time_stride = 1 if kind == "mc3" else 2 ** (len(dims) - 1)
        rates = iter(torch.linspace(0.0, drop_path, sum(depths), device="cpu").tolist())
        self.stem = make_stem(kind, dims[0])
        stages, dim_in = [], dims[0]
        for number, (dim, depth) in enumerate(zip(dims, depths, strict=True), start=1):
            manner = "r3d" if kind == "mc3" and number == 1 else kind
            blocks = []
            for index in range(depth):
                stride = 2 if index == 0 and number > 1 else 1
                blocks.append(BasicBlock(manner, dim_in, dim, stride, next(rates)))
                dim_in = dim
            stages.append(Stage(blocks, checkpoint_activations=checkpoint_activations))
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

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
        if number == 1:
            x = walk(self.stem, x, borders)
        return cast(Stage, self.stages[number - 1])(x, borders)

    def finish_stage(self, number: int, x: Tensor) -> Tensor:
        """The rest of a stage. x: (B, T', H', W', D) -> the same shape."""
        del number
        return F.relu(x)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D), the mean of the last stage, as published.

        With `pools_stages`: the greatest values of every stage.
        """
        return greatest(features) if self.pools_stages else features[-1].mean(dim=(1, 2, 3))


class IncrementalResNet3D(CausalBackbone, ResNet3D):
    """The same on new frames alone; the arguments are those of both."""

    convolve_stage = ResNet3D.convolve_stage
    finish_stage = ResNet3D.finish_stage
    pool = ResNet3D.pool


def r3d_18(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> ResNet3D:
    """33.37 M parameters with a 400-class head, 40.70 GMAC at 16 x 112 x 112."""
    return ResNet3D(kind="r3d", drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def mc3_18(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> ResNet3D:
    """11.70 M parameters with a 400-class head, 43.34 GMAC at 16 x 112 x 112."""
    return ResNet3D(kind="mc3", drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def r2plus1d_18(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> ResNet3D:
    """31.51 M parameters with a 400-class head, 40.52 GMAC at 16 x 112 x 112."""
    return ResNet3D(
        kind="r2plus1d", drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def r3d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> ResNet3D:
    """Ours, for small pictures: one block a stage."""
    return ResNet3D(kind="r3d", **_nano(drop_path, checkpoint_activations))


def r2plus1d_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> ResNet3D:
    """Ours, for small pictures: one block a stage."""
    return ResNet3D(kind="r2plus1d", **_nano(drop_path, checkpoint_activations))


def r3d_18_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalResNet3D:
    """`r3d_18` with its weights, on 8 new frames a step."""
    return IncrementalResNet3D(
        kind="r3d", drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def r2plus1d_18_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalResNet3D:
    """`r2plus1d_18` with its weights, on 8 new frames a step."""
    return IncrementalResNet3D(
        kind="r2plus1d", drop_path=drop_path, checkpoint_activations=checkpoint_activations
    )


def r3d_nano_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalResNet3D:
    """`r3d_nano` on 8 new frames a step."""
    return IncrementalResNet3D(kind="r3d", **_nano(drop_path, checkpoint_activations))


def r2plus1d_nano_incremental(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> IncrementalResNet3D:
    """`r2plus1d_nano` on 8 new frames a step."""
    return IncrementalResNet3D(kind="r2plus1d", **_nano(drop_path, checkpoint_activations))


def _nano(drop_path: float, checkpoint_activations: bool) -> dict[str, Any]:
    return {
        "dims": (16, 32, 64, 96),
        "depths": (1, 1, 1, 1),
        "pools_stages": True,
        "drop_path": drop_path,
        "checkpoint_activations": checkpoint_activations,
    }


def from_torchvision(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's r3d_18, mc3_18 or r2plus1d_18 under our names, with the head.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    second = state_dict.get("layer2.0.conv1.0.weight")
    build = r3d_18
    if "stem.3.weight" in state_dict:
        build = r2plus1d_18
    elif second is not None and second.shape[2:3] == (1,):
        build = mc3_18
    return convert(
        state_dict, rename=_our_name, build=build, source=f"a torchvision {build.__name__}"
    )


def _our_name(name: str) -> str:
    if name.startswith("fc."):
        return name.replace("fc.", "head.")
    place = re.fullmatch(r"layer(\d)\.(.+)", name)
    return name if place is None else f"stages.{int(place[1]) - 1}.blocks.{place[2]}"
