"""SlowFast: a slow pathway that sees few frames widely, a fast one that sees all frames narrowly.

"SlowFast Networks for Video Recognition", Feichtenhofer, Fan, Malik, He, 2019. Of T frames the slow
pathway takes every `alpha`-th, the first among them; in front of each of its stages the fast
pathway's tokens join it, brought to its frames by a convolution over time.

Stages 1 to 4 are the slow pathway's, without what joins them; stage 5 is the fast pathway's last,
so that memory can read and write either. Memory is read in a stage's last block, between the sum
of its two branches and the ReLU behind it.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' a stage's token grid, D features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.bottleneck import BottleneckStage, convolution, initialise, stem
from vigilia.errors import OptionError
from vigilia.layers.pooling import greatest

__all__ = ["SlowFast", "slowfast_nano", "slowfast_r50", "slowfast_r101", "slowfast_r101_50_50"]


class Lateral(nn.Sequential):
    """The fast pathway's tokens at the slow one's frames, twice as wide."""

    def __init__(self, dim: int, *, alpha: int, frames: int) -> None:
        super().__init__(
            convolution(dim, 2 * dim, (frames, 1, 1), (alpha, 1, 1)),
            nn.BatchNorm3d(2 * dim),
            nn.ReLU(inplace=True),
        )


class SlowFast(nn.Module):
    """SlowFast on ResNets; obeys `vigilia.backbones.Backbone`.

    Args:
        frames: for each block of each stage of the slow pathway, the frames that its first
            convolution sees; the fast pathway has as many blocks.
        fast_frames: the same for the fast pathway; by default 3 everywhere.
        width: D inside the first slow stage's blocks; it doubles from stage to stage, and a
            stage's tokens are four times as wide.
        narrower: how many times narrower the fast pathway is.
        alpha: the slow pathway takes one frame of so many.
        lateral_frames: frames that the lateral convolutions see.
        pools_stages: pool the greatest values of every stage instead of both pathways' means.
        drop_path: greatest probability of dropping a block's branch in training.
        checkpoint_activations: compute the blocks again in the backward pass.
    """

    def __init__(
        self,
        *,
        frames: tuple[tuple[int, ...], ...],
        fast_frames: tuple[tuple[int, ...], ...] | None = None,
        width: int = 64,
        narrower: int = 8,
        alpha: int = 4,
        lateral_frames: int = 7,
        pools_stages: bool = False,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        fast_frames = fast_frames or tuple((3,) * len(blocks) for blocks in frames)
        if [len(blocks) for blocks in fast_frames] != [len(blocks) for blocks in frames]:
            raise OptionError(f"both pathways need the same blocks, got {frames} and {fast_frames}")
        if width % narrower or alpha < 1:
            raise OptionError(
                f"narrower must divide width, and alpha be at least 1, "
                f"got {narrower}, {width} and {alpha}"
            )
        self.alpha = alpha
        fast_width = width // narrower
        slow_dims = tuple(4 * width * 2**index for index in range(len(frames)))
        fast_dims = tuple(dim // narrower for dim in slow_dims)
        self.stage_dims = (*slow_dims, fast_dims[-1])
        self.pools_stages = pools_stages
        self.embedding_dim = sum(self.stage_dims[0 if pools_stages else -2 :])
        self.slow_stem = stem(width, 1)
        self.fast_stem = stem(fast_width, 5)
        rates = torch.linspace(0.0, drop_path, sum(map(len, frames)), device="cpu").tolist()

        def pathway(
            blocks_of: tuple[tuple[int, ...], ...], dims_in: tuple[int, ...], dims: tuple[int, ...]
        ) -> nn.ModuleList:
            mine = iter(rates)
            return nn.ModuleList(
                BottleneckStage(
                    dim_in,
                    dim // 4,
                    dim,
                    frames=blocks,
                    stride=2 if index else 1,
                    drop_paths=[next(mine) for _ in blocks],
                    checkpoint_activations=checkpoint_activations,
                )
                for index, (dim_in, dim, blocks) in enumerate(
                    zip(dims_in, dims, blocks_of, strict=True)
                )
            )

        fast_in = (fast_width, *fast_dims[:-1])
        slow_in = (width, *slow_dims[:-1])
        joined = tuple(slow + 2 * fast for slow, fast in zip(slow_in, fast_in, strict=True))
        self.stages = pathway(frames, joined, slow_dims)
        self.fast_stages = pathway(fast_frames, fast_in, fast_dims)
        self.laterals = nn.ModuleList(
            Lateral(dim, alpha=alpha, frames=lateral_frames) for dim in fast_in
        )
        initialise(self)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> for each stage (B, T', H', W', D_s); sizes round up.

        T' is T over `alpha` in stages 1 to 4, and T in stage 5.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        readers = readers or {}
        check_call(clip, readers, stages=len(self.stage_dims))
        slow, fast = self.slow_stem(clip[:, :, :: self.alpha]), self.fast_stem(clip)
        features = []
        last = len(self.stages)
        parts = zip(self.stages, self.fast_stages, self.laterals, strict=True)
        for number, (slow_stage, fast_stage, lateral) in enumerate(parts, start=1):
            slow = slow_stage(torch.cat([slow, lateral(fast)], dim=1), readers.get(number))
            fast = fast_stage(fast, readers.get(last + 1) if number == last else None)
            features.append(slow.permute(0, 2, 3, 4, 1))
        return (*features, fast.permute(0, 2, 3, 4, 1))

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D): both pathways' means, side by side.

        With `pools_stages`: the greatest values of every stage.
        """
        if self.pools_stages:
            return greatest(features)
        return torch.cat([x.mean(dim=(1, 2, 3)) for x in features[-2:]], dim=1)


def slowfast_r50(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> SlowFast:
    """SlowFast 8x8 of 50 layers: 34.57 M parameters with a 400-class head.

    50.31 GMAC at 32 x 224 x 224, 65.71 at 256.
    """
    return SlowFast(
        frames=((1,) * 3, (1,) * 4, (3,) * 6, (3,) * 3),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def slowfast_r101(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> SlowFast:
    """SlowFast 8x8 of 101 layers: 62.83 M parameters with a 400-class head.

    96.40 GMAC at 32 x 224 x 224, 125.91 at 256. The model zoo of PyTorchVideo says 127.20 for it,
    the paper 106 for its own, which is trained otherwise.
    """
    return SlowFast(
        frames=((1,) * 3, (1,) * 4, (3,) * 23, (3,) * 3),
        lateral_frames=5,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def slowfast_r101_50_50(
    *, drop_path: float = 0.0, checkpoint_activations: bool = False
) -> SlowFast:
    """SlowFast 16x8 of 101 layers, six of 23 blocks over time: 53.77 M parameters.

    163.09 GMAC at 64 x 224 x 224, 213.02 at 256 (the paper says 213).
    """
    partly = (3,) * 6 + (1,) * 17
    return SlowFast(
        frames=((1,) * 3, (1,) * 4, partly, (3,) * 3),
        fast_frames=((3,) * 3, (3,) * 4, partly, (3,) * 3),
        lateral_frames=5,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def slowfast_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> SlowFast:
    """Ours, for small pictures: one block a stage, a fast pathway of half the width."""
    return SlowFast(
        frames=((1,), (1,), (3,), (3,)),
        width=8,
        narrower=2,
        pools_stages=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
