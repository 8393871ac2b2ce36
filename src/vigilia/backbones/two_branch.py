"""Two branches side by side: convolutions see details, a transformer sees the whole; both talk.

After "Conformer: Local Features Coupling Global Representations for Visual Recognition", Peng,
Huang, Gu, Xie, Wang, Jiao, Ye, 2021, with cross-attention for the coupling. At each stage the
transformer's tokens ask the convolutions' (averaged to the transformer's grid), then the
convolutions' ask the transformer's.

Stages 1 to 4 are the convolutions', stage 5 the transformer's tokens. Memory is read behind the
coupling, before the MLP that ends a stage; in stage 5 in the transformer's last block.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.conv3d import ConvStage
from vigilia.errors import OptionError
from vigilia.layers.pooling import greatest
from vigilia.layers.token_block import AxisAttention, CrossAttention, TokenBlock, add_sinusoids

__all__ = ["TwoBranch", "two_branch_nano", "two_branch_s"]

Size = tuple[int, int, int]


class TwoBranch(nn.Module):
    """Convolutions and a transformer that couple; obeys `vigilia.backbones.Backbone`.

    Args:
        dims: D of every stage of the convolutions.
        kernels: (T, H, W) of every stage's convolution, odd.
        strides: (T, H, W) by which every stage reduces its grid; what is left over rounds up.
        dim: D of the transformer.
        heads: of its attention and of the coupling; divides `dim` and all of `dims`.
        patch_size: frames, rows and columns of pixels in one of the transformer's tokens.
        drop_path: greatest probability of dropping a branch in training.
        checkpoint_activations: compute the convolutions again in the backward pass.
    """

    def __init__(
        self,
        *,
        dims: tuple[int, ...],
        kernels: tuple[Size, ...],
        strides: tuple[Size, ...],
        dim: int,
        heads: int,
        patch_size: Size,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not len(dims) == len(kernels) == len(strides) >= 1:
            raise OptionError("dims, kernels and strides must name the same stages, one or more")
        self.stage_dims = (*dims, dim)
        self.embedding_dim = sum(self.stage_dims)
        self.patch_size = patch_size
        rates = torch.linspace(0.0, drop_path, len(dims), device="cpu").tolist()
        self.patches = nn.Conv3d(3, dim, patch_size, patch_size)
        self.stages = nn.ModuleList(
            ConvStage(dim_in, width, kernel, stride, rate, checkpoint_activations)
            for dim_in, width, kernel, stride, rate in zip(
                (3, *dims), dims, kernels, strides, rates, strict=False
            )
        )
        self.blocks = nn.ModuleList(
            TokenBlock(dim, AxisAttention(dim, heads=heads, over="joint"), drop_path=rate)
            for rate in rates
        )
        self.to_tokens = nn.ModuleList(
            CrossAttention(dim, other, heads=heads, gate=1.0) for other in dims
        )
        self.to_details = nn.ModuleList(
            CrossAttention(mine, dim, heads=heads, gate=1.0) for mine in dims
        )
        self.norm = nn.LayerNorm(dim)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s).

        Zeros fill up the transformer's last patches.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stage_dims))
        missing = [-size % p for size, p in zip(clip.shape[2:], self.patch_size, strict=True)]
        padded = F.pad(clip, (0, missing[2], 0, missing[1], 0, missing[0]))
        tokens = add_sinusoids(self.patches(padded).permute(0, 2, 3, 4, 1))
        grid = (tokens.shape[1], tokens.shape[2], tokens.shape[3])
        details, features, last = clip, [], len(self.stages)
        parts = zip(self.stages, self.blocks, self.to_tokens, self.to_details, strict=True)
        for number, (stage, block, to_tokens, to_details) in enumerate(parts, start=1):
            details = stage(details)
            seen = F.adaptive_avg_pool3d(details, grid).flatten(2).transpose(1, 2)
            tokens = tokens + to_tokens(tokens, seen)
            tokens = block(tokens, readers.get(last + 1) if number == last else None)
            x = details.permute(0, 2, 3, 4, 1)
            x = x + to_details(x, tokens.flatten(1, 3))
            if reader := readers.get(number):
                x = x + reader(x)
            x = cast(ConvStage, stage).finish(x)
            features.append(x)
            details = x.permute(0, 4, 1, 2, 3)
        return (*features, tokens)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, sum of D_s): each stage's greatest values."""
        return greatest((*features[:-1], self.norm(features[-1])))


_KERNELS = ((1, 5, 5), (1, 3, 3), (3, 3, 3), (3, 3, 3))
_STRIDES = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (1, 2, 2))


def two_branch_s(*, drop_path: float = 0.1, checkpoint_activations: bool = False) -> TwoBranch:
    """Ours: convolutions of 64 to 384 features beside four blocks of 384."""
    return TwoBranch(
        dims=(64, 128, 256, 384),
        kernels=_KERNELS,
        strides=_STRIDES,
        dim=384,
        heads=8,
        patch_size=(4, 16, 16),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def two_branch_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> TwoBranch:
    """Ours, for small pictures: `conv3d_nano` beside four blocks of 64 features."""
    return TwoBranch(
        dims=(16, 32, 64, 96),
        kernels=_KERNELS,
        strides=_STRIDES,
        dim=64,
        heads=4,
        patch_size=(4, 16, 16),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
