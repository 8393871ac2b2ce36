"""A slow-fast transformer: few frames through a wide transformer, all through a narrow one.

SlowFast's idea ("SlowFast Networks for Video Recognition", Feichtenhofer, Fan, Malik, He, 2019)
with divided attention (time, then space) in place of convolutions. Ours; there is no published one
to compare with. In front of each stage the fast pathway's tokens join the slow one's, brought to
its frames by a convolution over time.

Stages 1 to 4 are the slow pathway's, stage 5 the fast pathway's last. Memory is read in a stage's
last block, between attention and MLP.

Letters: B streams, C channels, T frames, H W pixels, H' W' the grid of patches, D features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.errors import OptionError
from vigilia.layers.pooling import greatest
from vigilia.layers.recompute import recompute
from vigilia.layers.token_block import AxisAttention, TokenBlock, add_sinusoids

__all__ = ["SlowFastTransformer", "slowfast_transformer_nano", "slowfast_transformer_s"]


class SlowFastTransformer(nn.Module):
    """Two transformers at two rates; obeys `vigilia.backbones.Backbone`.

    Args:
        dim: D of the slow pathway.
        fast_dim: D of the fast one.
        depths: blocks of every stage, in both.
        heads: of both.
        patch: rows and columns of pixels in a token.
        alpha: the slow pathway takes one frame of so many, the first among them.
        pools_stages: pool the greatest values of every stage instead of both pathways' means.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        checkpoint_activations: while training, keep block inputs only and recompute the rest.
    """

    def __init__(
        self,
        *,
        dim: int,
        fast_dim: int,
        depths: tuple[int, ...],
        heads: int,
        patch: int,
        alpha: int = 4,
        pools_stages: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        if not depths or min(depths) < 1 or alpha < 1:
            raise OptionError(
                f"depths must name a block or more for each stage, and alpha be at least 1, "
                f"got {depths} and {alpha}"
            )
        self.alpha, self.patch = alpha, patch
        self.slow_patches = nn.Conv3d(3, dim, (1, patch, patch), (1, patch, patch))
        self.fast_patches = nn.Conv3d(3, fast_dim, (1, patch, patch), (1, patch, patch))
        rates = torch.linspace(0.0, drop_path, sum(depths), device="cpu").tolist()

        def pathway(width: int) -> nn.ModuleList:
            mine = iter(rates)
            return nn.ModuleList(
                nn.ModuleList(
                    TokenBlock(
                        width,
                        AxisAttention(width, heads=heads, over="time"),
                        AxisAttention(width, heads=heads, over="space"),
                        drop_path=next(mine),
                    )
                    for _ in range(depth)
                )
                for depth in depths
            )

        self.stages = pathway(dim)
        self.fast_stages = pathway(fast_dim)
        # Frames around each of the slow pathway's, so that none of the fast one's is left out.
        frames = 2 * alpha - 1
        self.laterals = nn.ModuleList(
            nn.Conv3d(fast_dim, dim, (frames, 1, 1), (alpha, 1, 1), (frames // 2, 0, 0))
            for _ in depths
        )
        self.norm = nn.LayerNorm(dim)
        self.fast_norm = nn.LayerNorm(fast_dim)
        self.stage_dims = (*(dim for _ in depths), fast_dim)
        self.pools_stages = pools_stages
        self.embedding_dim = sum(self.stage_dims) if pools_stages else dim + fast_dim
        self.checkpoint_activations = checkpoint_activations

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s).

        T' is T over `alpha`, rounded up, in stages 1 to 4, and T in stage 5; zeros fill up the last
        patches.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stage_dims))
        clip = F.pad(clip, (0, -clip.shape[4] % self.patch, 0, -clip.shape[3] % self.patch))
        slow = add_sinusoids(self.slow_patches(clip[:, :, :: self.alpha]).permute(0, 2, 3, 4, 1))
        fast = add_sinusoids(self.fast_patches(clip).permute(0, 2, 3, 4, 1))
        features, last = [], len(self.stages)
        parts = zip(self.stages, self.fast_stages, self.laterals, strict=True)
        for number, (slow_blocks, fast_blocks, lateral) in enumerate(parts, start=1):
            joining = lateral(fast.permute(0, 4, 1, 2, 3)).permute(0, 2, 3, 4, 1)
            slow = self._run(slow_blocks, slow + joining, readers.get(number))
            fast = self._run(fast_blocks, fast, readers.get(last + 1) if number == last else None)
            features.append(slow)
        return (*features, fast)

    def _run(self, blocks: nn.Module, x: Tensor, reader: Reader | None) -> Tensor:
        *earlier, last = blocks.children()
        enabled = self.checkpoint_activations and self.training
        for block in earlier:
            x = recompute(block, x, enabled=enabled)
        return recompute(last, x, enabled=enabled) if reader is None else last(x, reader)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D): both pathways' normalised means.

        With `pools_stages`: the greatest values of every stage.
        """
        slow, fast = self.norm(features[-2]), self.fast_norm(features[-1])
        if self.pools_stages:
            return greatest((*features[:-2], slow, fast))
        return torch.cat([slow.mean(dim=(1, 2, 3)), fast.mean(dim=(1, 2, 3))], dim=1)


def slowfast_transformer_s(
    *, drop_path: float = 0.1, checkpoint_activations: bool = False
) -> SlowFastTransformer:
    """Ours: twelve blocks of 384 features on a quarter of the frames, of 96 on all."""
    return SlowFastTransformer(
        dim=384,
        fast_dim=96,
        depths=(2, 2, 6, 2),
        heads=6,
        patch=16,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def slowfast_transformer_nano(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> SlowFastTransformer:
    """Ours, for small pictures: four blocks of 64 features, and of 32 on all frames."""
    return SlowFastTransformer(
        dim=64,
        fast_dim=32,
        depths=(1, 1, 1, 1),
        heads=4,
        patch=8,
        pools_stages=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
