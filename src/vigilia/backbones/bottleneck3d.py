"""C2D, Slow and I3D on a ResNet of 50 layers.

"Non-local Neural Networks", Wang, Girshick, Gupta, He, 2018 (C2D and I3D) and "SlowFast Networks
for Video Recognition", Feichtenhofer, Fan, Malik, He, 2019 (Slow). `from_torchvision_image` begins
one from torchvision's ImageNet weights (BSD-3-Clause).

Memory is read in a stage's last block, between the sum of its two branches and the ReLU behind it.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.bottleneck import BottleneckStage, initialise, stem
from vigilia.backbones.conversion import convert
from vigilia.backbones.inflation import check_time_padding, inflate_all
from vigilia.errors import OptionError
from vigilia.layers.pooling import greatest

__all__ = [
    "Bottleneck3D",
    "c2d_r50",
    "from_torchvision_image",
    "i3d_r50",
    "slow_nano",
    "slow_r50",
]


class Bottleneck3D(nn.Module):
    """C2D, Slow or I3D on a ResNet; obeys `vigilia.backbones.Backbone`.

    Args:
        frames: for each block of each stage, the frames that its first convolution sees.
        stem_frames: the same for the stem.
        width: D inside the first stage's blocks; it doubles from stage to stage, and a stage's
            tokens are four times as wide.
        halves_time: T halves behind the first stage.
        time_padding: "zeros", or "replicate" for copies of the first and last frame.
        pools_stages: pool the greatest values of every stage instead of the last one's mean.
        drop_path: greatest probability of dropping a block's branch in training.
        checkpoint_activations: compute the blocks again in the backward pass.
    """

    def __init__(
        self,
        *,
        frames: tuple[tuple[int, ...], ...],
        stem_frames: int,
        width: int = 64,
        halves_time: bool = False,
        time_padding: str = "zeros",
        pools_stages: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        check_time_padding(time_padding)
        if not frames or any(not blocks or min(blocks) < 1 for blocks in frames):
            raise OptionError(f"frames must name a block or more for each stage, got {frames}")
        self.stage_dims = tuple(4 * width * 2**index for index in range(len(frames)))
        self.pools_stages = pools_stages
        self.embedding_dim = sum(self.stage_dims) if pools_stages else self.stage_dims[-1]
        self.halves_time = halves_time
        rates = iter(torch.linspace(0.0, drop_path, sum(map(len, frames)), device="cpu").tolist())
        self.stem = stem(width, stem_frames, time_padding=time_padding)
        self.stages = nn.ModuleList(
            BottleneckStage(
                self.stage_dims[index - 1] if index else width,
                dim // 4,
                dim,
                frames=blocks,
                stride=2 if index else 1,
                drop_paths=[next(rates) for _ in blocks],
                time_padding=time_padding,
                checkpoint_activations=checkpoint_activations,
            )
            for index, (dim, blocks) in enumerate(zip(self.stage_dims, frames, strict=True))
        )
        initialise(self)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s); sizes round up.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stages))
        x = self.stem(clip)
        features = []
        for number, stage in enumerate(self.stages, start=1):
            if self.halves_time and number == 2:
                x = F.max_pool3d(x, (2, 1, 1), (2, 1, 1), ceil_mode=True)
            x = stage(x, readers.get(number))
            features.append(x.permute(0, 2, 3, 4, 1))
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D), the mean of the last stage, as published.

        With `pools_stages`: the greatest values of every stage.
        """
        return greatest(features) if self.pools_stages else features[-1].mean(dim=(1, 2, 3))


def slow_r50(
    *, time_padding: str = "zeros", drop_path: float = 0.0, checkpoint_activations: bool = False
) -> Bottleneck3D:
    """Slow of 50 layers: 32.45 M parameters with a 400-class head, 54.52 GMAC at 8 x 256 x 256."""
    return Bottleneck3D(
        frames=((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3),
        stem_frames=1,
        time_padding=time_padding,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def c2d_r50(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Bottleneck3D:
    """C2D: single frames but for one pooling. 24.33 M parameters, 25.46 GMAC at 8 x 256 x 256."""
    return Bottleneck3D(
        frames=((1,) * 3, (1,) * 4, (1,) * 6, (1,) * 3),
        stem_frames=1,
        halves_time=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def i3d_r50(
    *, time_padding: str = "zeros", drop_path: float = 0.0, checkpoint_activations: bool = False
) -> Bottleneck3D:
    """I3D of 50 layers: 28.04 M parameters with a 400-class head, 28.41 GMAC at 8 x 224 x 224."""
    return Bottleneck3D(
        frames=((3, 3, 3), (3, 1, 3, 1), (3, 1, 3, 1, 3, 1), (1, 3, 1)),
        stem_frames=5,
        halves_time=True,
        time_padding=time_padding,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def slow_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Bottleneck3D:
    """Ours, for small pictures: one block a stage, time in the last two."""
    return Bottleneck3D(
        frames=((1,), (1,), (3,), (3,)),
        stem_frames=1,
        width=8,
        pools_stages=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def from_torchvision_image(
    state_dict: Mapping[str, Tensor], *, name: str = "i3d_r50"
) -> dict[str, Tensor]:
    """torchvision's ResNet-50 for pictures, inflated: weights to begin with, and its head.

    Args:
        state_dict: from torchvision; the number of classes is free.
        name: "i3d_r50", "slow_r50" or "c2d_r50".

    Raises:
        OptionError: another name.
        CheckpointError: a weight is unknown or missing, or a tensor has another shape.
    """
    builders = {"i3d_r50": i3d_r50, "slow_r50": slow_r50, "c2d_r50": c2d_r50}
    if name not in builders:
        raise OptionError(f"name must be one of {', '.join(builders)}, got {name!r}")
    with torch.device("meta"):
        backbone = builders[name]()
    named = {_our_name(theirs): tensor for theirs, tensor in state_dict.items()}
    return convert(
        inflate_all(named, backbone),
        rename=str,
        build=builders[name],
        source="a torchvision resnet50",
    )


def _our_name(name: str) -> str:
    if name.startswith("fc."):
        return name.replace("fc.", "head.")
    if name.startswith(("conv1.", "bn1.")):
        return name.replace("conv1.", "stem.0.").replace("bn1.", "stem.1.")
    place = re.fullmatch(r"layer(\d)\.(.+)", name)
    return name if place is None else f"stages.{int(place[1]) - 1}.blocks.{place[2]}"
