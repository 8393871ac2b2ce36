"""R3D, MC3 and R(2+1)D: residual networks of 18 layers over space and time.

"A Closer Look at Spatiotemporal Convolutions for Action Recognition", Tran, Wang, Torresani, Ray,
LeCun, Paluri, 2018. Kinetics-400 weights come from torchvision (BSD-3-Clause) through
`from_torchvision`.

Memory is read in a stage's last block, between the sum of its two branches and the ReLU behind it.
Grids round up: T halves before stages 2 to 4 (not in MC3), H and W before each of them and in the
stem. `causal=True` pads time before the clip only, with the same weights: a step then takes new
frames alone and equals the whole clip, see `vigilia.layers.causal_conv`.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.checks import check_divides
from vigilia.backbones.conversion import convert
from vigilia.errors import OptionError
from vigilia.layers.causal_conv import Borders, walk
from vigilia.layers.drop import DropPath
from vigilia.layers.recompute import recompute

__all__ = [
    "ResNet3D",
    "from_torchvision",
    "mc3_18",
    "r2plus1d_18",
    "r2plus1d_nano",
    "r3d_18",
    "r3d_nano",
]

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


def _stem(kind: str, dim: int) -> nn.Sequential:
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

    def forward(
        self, x: Tensor, reader: Reader | None = None, borders: Borders | None = None
    ) -> Tensor:
        """x: (B, D_in, T, H, W) -> (B, D, T', H', W')."""
        enabled = self.checkpoint_activations and self.training and borders is None
        last = len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            x = recompute(lambda y, block=block: block(y, borders), x, enabled=enabled)
            if index == last and reader is not None:
                x = x + reader(x.movedim(1, -1)).movedim(-1, 1)
            x = F.relu(x)
        return x


class ResNet3D(nn.Module):
    """R3D, MC3 or R(2+1)D; obeys `vigilia.backbones.Backbone`.

    Args:
        kind: "r3d" (3 x 3 x 3 throughout), "mc3" (time in the first stage only) or "r2plus1d"
            (space, then time).
        dims: D of every stage; the stem has the first.
        depths: blocks of every stage.
        causal: pad time before the clip only; T must then divide by `time_stride`.
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
        causal: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise OptionError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if not len(dims) == len(depths) >= 1 or min(depths) < 1:
            raise OptionError(f"dims and depths must name the same stages, got {dims} and {depths}")
        self.stage_dims = tuple(dims)
        self.embedding_dim = dims[-1]
        self.causal = causal
        self.time_stride = 1 if kind == "mc3" else 2 ** (len(dims) - 1)
        rates = iter(torch.linspace(0.0, drop_path, sum(depths), device="cpu").tolist())
        self.stem = _stem(kind, dims[0])
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
            OptionError: the clip has another layout or, if causal, a T that does not divide by
                `time_stride`; or a reader's stage does not exist.
        """
        return self.run(clip, readers, Borders() if self.causal else None)

    def run(
        self, clip: Tensor, readers: Mapping[int, Reader] | None, borders: Borders | None
    ) -> tuple[Tensor, ...]:
        """`forward`, with the borders of the frames before; None pads both ends of the clip."""
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stages))
        if borders is not None:
            check_divides(clip, self.time_stride)
        x = walk(self.stem, clip, borders)
        features = []
        for number, stage in enumerate(self.stages, start=1):
            x = stage(x, readers.get(number), borders)
            features.append(x.permute(0, 2, 3, 4, 1))
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D), the mean of the last stage, as published."""
        return features[-1].mean(dim=(1, 2, 3))


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


def r3d_nano(
    *, causal: bool = False, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> ResNet3D:
    """Ours, for small pictures: one block a stage."""
    return ResNet3D(
        kind="r3d",
        dims=(16, 32, 64, 96),
        depths=(1, 1, 1, 1),
        causal=causal,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def r2plus1d_nano(
    *, causal: bool = False, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> ResNet3D:
    """Ours, for small pictures: one block a stage."""
    return ResNet3D(
        kind="r2plus1d",
        dims=(16, 32, 64, 96),
        depths=(1, 1, 1, 1),
        causal=causal,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


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
