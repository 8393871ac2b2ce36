"""Hybrids: a network for pictures looks at each frame, a transformer relates the frames.

After "Video Transformer Network", Neimark, Bar, Zohar, Asselmann, 2021, and the many before it. The
network is any of torchvision's or timm's for pictures (see `image_trunk`). The transformer's
attention is one of

- "divided": over time at each place, then over space in each frame;
- "joint": over all tokens;
- "pyramid": pyramid constrained self-attention (PCSA), see `vigilia.layers.pyramid_attention`. In
  "Pyramid Constrained Self-Attention Network for Fast Video Salient Object Detection", Gu, Wang,
  Wang, Liu, Cheng, Lu, 2020, it works on one level of MobileNetV3's features, as it does here.

Stage 1 is what the network saw, brought to the transformer's width; memory is read in front of the
transformer. Every later stage is some of the transformer's blocks; memory is read in the last of
them, between attention and MLP.

Letters: B streams, C channels, T frames, H W pixels, H' W' the grid that the network leaves,
D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.image_trunk import Trunk, image_trunk, small_trunk
from vigilia.errors import OptionError
from vigilia.layers.pooling import greatest
from vigilia.layers.pyramid_attention import PyramidAttention
from vigilia.layers.recompute import recompute
from vigilia.layers.token_block import AxisAttention, TokenBlock, add_sinusoids

__all__ = ["Hybrid", "cnn_transformer_nano", "cnn_transformer_r18", "pcsa_mobilenet", "pcsa_nano"]


class Hybrid(nn.Module):
    """A network for pictures, then a transformer; obeys `vigilia.backbones.Backbone`.

    Args:
        trunk: the network.
        dim: D of the transformer.
        depths: the transformer's blocks in each stage after the first.
        heads: of each attention but the pyramid's.
        attention: "divided", "joint" or "pyramid".
        pools_stages: pool the greatest values of every stage instead of the last one's mean.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        checkpoint_activations: while training, compute the trunk and the blocks again.

    Raises:
        OptionError: no such attention, or a stage without blocks.
    """

    def __init__(
        self,
        *,
        trunk: Trunk,
        dim: int,
        depths: tuple[int, ...],
        heads: int,
        attention: str = "divided",
        pools_stages: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not depths or min(depths) < 1:
            raise OptionError(f"depths must name a block or more for each stage, got {depths}")
        self.trunk = trunk
        self.project = nn.Sequential(nn.LayerNorm(trunk.dim), nn.Linear(trunk.dim, dim))
        rates = iter(torch.linspace(0.0, drop_path, sum(depths), device="cpu").tolist())
        self.stages = nn.ModuleList(
            nn.ModuleList(
                TokenBlock(dim, *_mixers(attention, dim, heads), drop_path=next(rates))
                for _ in range(depth)
            )
            for depth in depths
        )
        self.norm = nn.LayerNorm(dim)
        self.stage_dims = (dim,) * (1 + len(depths))
        self.pools_stages = pools_stages
        self.embedding_dim = sum(self.stage_dims) if pools_stages else dim
        self.checkpoint_activations = checkpoint_activations

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T, H', W', D).

        Raises:
            OptionError: the clip has another layout or is too small for the trunk, or a reader's
                stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stage_dims))
        enabled = self.checkpoint_activations and self.training
        x = self.project(recompute(self.trunk, clip, enabled=enabled))
        if reader := readers.get(1):
            x = x + reader(x)
        features = [x]
        x = add_sinusoids(x)
        for number, blocks in enumerate(self.stages, start=2):
            last = len(cast(nn.ModuleList, blocks)) - 1
            for index, block in enumerate(cast(nn.ModuleList, blocks)):
                reader = readers.get(number) if index == last else None
                if reader is None:
                    x = recompute(block, x, enabled=enabled)
                else:
                    x = block(x, reader)
            features.append(x)
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D): the mean of the last stage, normalised.

        With `pools_stages`: the greatest values of every stage, the last one normalised.
        """
        last = self.norm(features[-1])
        if self.pools_stages:
            return greatest((*features[:-1], last))
        return last.mean(dim=(1, 2, 3))


def _mixers(attention: str, dim: int, heads: int) -> tuple[nn.Module, ...]:
    over: tuple[str, ...]
    if attention == "divided":
        over = ("time", "space")
    elif attention == "joint":
        over = ("joint",)
    elif attention == "pyramid":
        return (PyramidAttention(dim),)
    else:
        raise OptionError(f"attention must be divided, joint or pyramid, got {attention!r}")
    return tuple(AxisAttention(dim, heads=heads, over=axes) for axes in over)


def cnn_transformer_r18(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Hybrid:
    """ResNet-18 on each frame, six blocks of 384 features with divided attention; ours."""
    return Hybrid(
        trunk=image_trunk("resnet18"),
        dim=384,
        depths=(2, 2, 2),
        heads=6,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def pcsa_mobilenet(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> Hybrid:
    """MobileNetV3-Small on each frame, three blocks of 256 features with PCSA; ours.

    The paper uses PCSA for masks of salient objects and publishes no count for a classifier.
    """
    return Hybrid(
        trunk=image_trunk("mobilenet_v3_small"),
        dim=256,
        depths=(1, 1, 1),
        heads=4,
        attention="pyramid",
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def cnn_transformer_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Hybrid:
    """Ours, for small pictures: three convolutions on each frame, three blocks."""
    return _nano("divided", drop_path, checkpoint_activations)


def pcsa_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> Hybrid:
    """Ours, for small pictures: three convolutions on each frame, three blocks with PCSA."""
    return _nano("pyramid", drop_path, checkpoint_activations)


def _nano(attention: str, drop_path: float, checkpoint_activations: bool) -> Hybrid:
    return Hybrid(
        trunk=small_trunk((16, 32, 64, 96)),
        dim=96,
        depths=(1, 1, 1),
        heads=4,
        attention=attention,
        pools_stages=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
