"""MViT v1 and v2: transformers whose grid shrinks and whose width grows from stage to stage.

"Multiscale Vision Transformers", Fan, Xiong, Mangalam, Li, Yan, Malik, Feichtenhofer, 2021, and
"MViTv2: Improved Multiscale Vision Transformers for Classification and Detection", Li, Wu, Fan,
Mangalam, Xiong, Malik, Feichtenhofer, 2022. Kinetics-400 weights come from torchvision
(BSD-3-Clause) through `from_torchvision`.

Time is halved once, in front of the first stage, and never again. With a class token there is a
fifth stage, the class token alone, (B, 1, 1, 1, D), for which memory can be read and which memory
can keep like any other; it is read behind the last block. v1 widens in the MLP of a stage's last
block, so that its tokens have their full width only behind it: there memory is read; in v2, and in
v1's last stage, between attention and MLP. Any size goes: all grids round up, and what is learned
for positions is interpolated to grids that it was not trained on.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, N tokens,
D features, h heads.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.conversion import convert
from vigilia.backbones.mvit_block import Block, BlockSettings, settings_of_stages
from vigilia.layers.multiscale_attention import Size
from vigilia.layers.pooling import greatest
from vigilia.layers.recompute import recompute

__all__ = [
    "MViT",
    "from_torchvision",
    "mvit_v1_b",
    "mvit_v1_nano",
    "mvit_v2_nano",
    "mvit_v2_s",
]


class Positions(nn.Module):
    """The class token and, in v1, learned places that are added; torchvision's names."""

    def __init__(self, dim: int, grid: Size, *, added: bool, class_tokens: int) -> None:
        super().__init__()
        self.grid = grid
        self.class_token = nn.Parameter(torch.empty(dim)) if class_tokens else None
        self.spatial_pos = self.temporal_pos = self.class_pos = None
        if added:
            self.spatial_pos = nn.Parameter(torch.empty(grid[1] * grid[2], dim))
            self.temporal_pos = nn.Parameter(torch.empty(grid[0], dim))
            if class_tokens:
                self.class_pos = nn.Parameter(torch.empty(dim))
        for parameter in self.parameters():
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, T', H', W', D) -> (B, N, D), with a class token one more, in front."""
        if self.spatial_pos is not None and self.temporal_pos is not None:
            places = self.temporal_pos[:, None] + self.spatial_pos  # (T', H' W', D)
            places = places.unflatten(1, self.grid[1:])
            if x.shape[1:4] != places.shape[:3]:
                places = places.permute(3, 0, 1, 2)[None]
                places = F.interpolate(places, x.shape[1:4], mode="trilinear")
                places = places[0].permute(1, 2, 3, 0)
            x = x + places
        x = x.flatten(1, 3)
        if self.class_token is None:
            return x
        first = self.class_token if self.class_pos is None else self.class_token + self.class_pos
        return torch.cat([first.expand(len(x), 1, -1), x], dim=1)


class MViT(nn.Module):
    """MViT v1 or v2; obeys `vigilia.backbones.Backbone`.

    Args:
        dim: D of the first stage's attention; it doubles from stage to stage.
        depths: blocks of every stage.
        clip_size: (T, H, W) that the learned positions are made for.
        version: 1 adds positions to the tokens and widens in the MLP; 2 scores relative positions,
            widens in attention and adds pooled queries.
        stride_kv: by which keys and values of the first stage are reduced in height and width; it
            halves from stage to stage.
        class_token: whether there is one; without it, pooling is by the mean.
        pools_stages: pool the greatest normalised values of every stage instead.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        checkpoint_activations: while training, keep block inputs only and recompute the rest.
    """

    def __init__(
        self,
        *,
        dim: int = 96,
        depths: tuple[int, ...] = (1, 2, 11, 2),
        clip_size: Size = (16, 224, 224),
        version: int = 2,
        stride_kv: int = 8,
        class_token: bool = True,
        pools_stages: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.class_tokens = int(class_token)
        self.checkpoint_activations = checkpoint_activations
        stages = settings_of_stages(dim, depths, version=version, stride_kv=stride_kv)
        grid = (-(-clip_size[0] // 2), -(-clip_size[1] // 4), -(-clip_size[2] // 4))
        self.conv_proj = nn.Conv3d(3, dim, (3, 7, 7), (2, 4, 4), (1, 3, 3))
        self.pos_encoding = Positions(dim, grid, added=version == 1, class_tokens=self.class_tokens)
        rates = iter(torch.linspace(0.0, drop_path, sum(depths), device="cpu").tolist())
        built = []
        for settings in stages:
            blocks = nn.ModuleList()
            for block in settings:
                blocks.append(self._block(block, grid, next(rates)))
                grid = block.next_grid(grid)
            built.append(blocks)
        self.stages = nn.ModuleList(built)
        dims = tuple(settings[-1].dim_out for settings in stages)
        self.stage_dims = dims + dims[-1:] * self.class_tokens
        self.pools_stages = pools_stages
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.norm = nn.ModuleList(map(norm, self.stage_dims)) if pools_stages else norm(dims[-1])
        self.embedding_dim = sum(self.stage_dims) if pools_stages else dims[-1]
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def _block(self, settings: BlockSettings, grid: Size, drop_path: float) -> Block:
        return Block(settings, grid, class_tokens=self.class_tokens, drop_path=drop_path)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s).

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stage_dims))
        x, grid = self.embed(clip)
        enabled = self.checkpoint_activations and self.training
        features = []
        for number, blocks in enumerate(self.stages, start=1):
            last = len(cast(nn.ModuleList, blocks)) - 1
            for index, block in enumerate(cast(Iterable[Block], blocks)):
                reader = readers.get(number) if index == last else None
                if reader is None:
                    x = recompute(partial(block, grid=grid), x, enabled=enabled)
                else:
                    x = block(x, grid, reader=reader)
                grid = block.settings.next_grid(grid)
            features.append(x[:, self.class_tokens :].unflatten(1, grid))
        if self.class_tokens:
            token = x[:, 0, None, None, None]  # (B, 1, 1, 1, D)
            reader = readers.get(len(self.stage_dims))
            features.append(token if reader is None else token + reader(token))
        return tuple(features)

    def embed(self, clip: Tensor) -> tuple[Tensor, Size]:
        """clip: (B, C, T, H, W) -> tokens (B, N, D) with their places, and their grid."""
        x = self.conv_proj(clip).permute(0, 2, 3, 4, 1)
        return self.pos_encoding(x), (x.shape[1], x.shape[2], x.shape[3])

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D).

        As published: the final norm of the class token. Without one, the mean over the last stage's
        normalised tokens.
        """
        if isinstance(self.norm, nn.ModuleList):
            return greatest(tuple(norm(x) for norm, x in zip(self.norm, features, strict=True)))
        return self.norm(features[-1]).mean(dim=(1, 2, 3))


def mvit_v1_b(*, drop_path: float = 0.2, checkpoint_activations: bool = False) -> MViT:
    """MViT-B 16x4: 36.61 M parameters with a 400-class head, 70.60 GMAC at 16 x 224 x 224."""
    return MViT(version=1, drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def mvit_v2_s(*, drop_path: float = 0.2, checkpoint_activations: bool = False) -> MViT:
    """MViTv2-S 16x4: 34.54 M parameters with a 400-class head, 64.22 GMAC at 16 x 224 x 224."""
    return MViT(version=2, drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def mvit_v1_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> MViT:
    """Ours, for small pictures (about 64 x 64): five blocks, no class token."""
    return _nano(1, drop_path, checkpoint_activations)


def mvit_v2_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> MViT:
    """Ours, for small pictures (about 64 x 64): five blocks, no class token."""
    return _nano(2, drop_path, checkpoint_activations)


def _nano(version: int, drop_path: float, checkpoint_activations: bool) -> MViT:
    return MViT(
        dim=24,
        depths=(1, 1, 2, 1),
        clip_size=(32, 64, 64),
        version=version,
        class_token=False,
        pools_stages=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def from_torchvision(
    state_dict: Mapping[str, Tensor], *, clip_size: Size = (16, 224, 224)
) -> dict[str, Tensor]:
    """The weights of torchvision's mvit_v1_b or mvit_v2_s under our names, with the head.

    Args:
        state_dict: from torchvision; the number of classes is free.
        clip_size: (T, H, W) that torchvision's model was built for.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    version = 1 if "pos_encoding.spatial_pos" in state_dict else 2
    return convert(
        state_dict,
        rename=_our_name,
        build=partial(MViT, version=version, clip_size=clip_size),
        source="a torchvision mvit_v1_b" if version == 1 else "a torchvision mvit_v2_s",
    )


# torchvision numbers blocks in one sequence.
_PLACES = [f"stages.{stage}.{index}" for stage, n in enumerate((1, 2, 11, 2)) for index in range(n)]


def _our_name(name: str) -> str:
    if name.startswith("head.1."):
        return name.replace("head.1.", "head.")
    place = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if place is None or int(place[1]) >= len(_PLACES):
        return name
    return f"{_PLACES[int(place[1])]}.{place[2]}"
