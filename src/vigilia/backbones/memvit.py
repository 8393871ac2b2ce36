"""MeMViT: MViTv2 whose attention also sees compressed keys and values of earlier clips.

"MeMViT: Memory-Augmented Multiscale Vision Transformer for Efficient Long-Term Video Recognition",
Wu, Li, Mangalam, Fan, Xiong, Malik, Feichtenhofer, 2022. A step takes one clip. As published:

- In every other layer, keys and values are extended by those of M = 2 earlier clips: one softmax
  over both, no cross-attention. What is 8 layers deep and reads 2 clips reaches 16 clips back.
- Cached are the pooled inputs of keys and values *before* their projection, without gradient; they
  are projected at every reading with today's weights.
- They are compressed by learned depthwise convolutions of 7 x 3 x 3 with strides of 4 x 2 x 2, and
  pipelined: the newest cached clip lies there whole and is compressed while it is read.
- Memory has tables of relative positions of its own.

What differs, and why:

- With gaps between remembered clips (`remember_every`) the newest one cached is still the one that
  is compressed while it is read, so that the compression learns; in the released code it then gets
  no gradient at all.
- A row without a past has its keys hidden; the released code puts zeros there, which still take
  attention.
- Keys and values are pooled behind their projection, as in torchvision's MViTv2, whose weights then
  load (`from_torchvision`); so what is cached is pooled by the mean to the same grid. Published
  code pools in front of it.
- No class token: tokens alone pass from stage to stage in a stream. Pooling is by the mean.

34.94 M parameters with a 400-class head, of which 0.40 M are the memory's; the published code,
which pools and compresses with other widths and has more tables, has 35.14 M. 65.44 GMAC a step of
16 x 224 x 224 against 64.16 without memory; the published code, which pools before it projects,
57.89 against 57.18.

Letters: B streams, S steps, R = B * S rows, C channels, T frames, H W pixels, T' H' W' a stage's
token grid, N tokens, D features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones import mvit
from vigilia.backbones.base import BackboneState, Reader, StreamingBackbone
from vigilia.backbones.memvit_cache import LayerCache, LayerMemory
from vigilia.backbones.mvit_block import Block
from vigilia.errors import OptionError
from vigilia.layers.multiscale_attention import Size
from vigilia.layers.recompute import recompute
from vigilia.state import State

__all__ = ["MeMViT", "from_torchvision", "memvit_nano", "memvit_s"]


@dataclass(frozen=True)
class StageCache(State):
    """The caches of a stage's remembering layers, in order."""

    layers: tuple[LayerCache, ...]


class MeMViT(StreamingBackbone, mvit.MViT):
    """MeMViT; a step is a clip of `step_frames`.

    Args:
        step_frames: T.
        clips: M, how many earlier clips a layer reads.
        remember_every: one clip of so many is remembered.
        layers_every: one layer of so many remembers, the first among them.
        **options: those of `MViT`, but for `version` and `class_token`.

    Raises:
        OptionError: a number below 1.
    """

    def __init__(
        self,
        *,
        step_frames: int = 16,
        clips: int = 2,
        remember_every: int = 1,
        layers_every: int = 2,
        **options: Any,
    ) -> None:
        for name, value in (
            ("step_frames", step_frames),
            ("clips", clips),
            ("remember_every", remember_every),
            ("layers_every", layers_every),
        ):
            if value < 1:
                raise OptionError(f"{name} must be at least 1, got {value}")
        super().__init__(version=2, class_token=False, **options)
        self.step_frames = step_frames
        self.step_tokens = -(-step_frames // 2)
        self.memories = nn.ModuleDict()
        number = 0
        for stage, blocks in enumerate(self.stages, start=1):
            for index, block in enumerate(cast(Iterable[Block], blocks)):
                if number % layers_every == 0:
                    table = block.attn.rel_pos_h
                    assert table is not None
                    self.memories[f"{stage}_{index}"] = LayerMemory(
                        block.settings.dim_in,
                        head_dim=block.settings.dim // block.settings.heads,
                        side=(len(table) + 1) // 2,
                        frames=self.step_tokens,
                        clips=clips,
                        remember_every=remember_every,
                    )
                number += 1
        self.receptive_frames = (1 + len(self.memories) * clips * remember_every) * step_frames

    def init_state(
        self, batch_size: int, *, height: int, width: int, device: torch.device, dtype: torch.dtype
    ) -> BackboneState:
        """See `StreamingBackbone.init_state`."""
        grid = (self.step_tokens, -(-height // 4), -(-width // 4))
        stages = []
        for stage, blocks in enumerate(self.stages, start=1):
            layers = []
            for index, block in enumerate(cast(Iterable[Block], blocks)):
                memory = self._memory(stage, index)
                if memory is not None:
                    cached = _cached_grid(block, grid)
                    layers.append(memory.init_state(batch_size, cached, device=device, dtype=dtype))
                grid = block.settings.next_grid(grid)
            stages.append(StageCache(tuple(layers)))
        return BackboneState(tuple(stages))

    def run_stage(
        self,
        number: int,
        x: Tensor,
        state: State,
        *,
        starts: Tensor | None = None,
        reader: Reader | None = None,
    ) -> tuple[Tensor, State]:
        """See `StreamingBackbone.run_stage`."""
        assert isinstance(state, StageCache)
        streams = len(x)
        if number == 1:
            clips = x.unflatten(2, (-1, self.step_frames)).movedim(2, 1).flatten(0, 1)
            x, grid = self.embed(clips)  # (R, N, D)
        else:
            grid = (self.step_tokens, x.shape[2], x.shape[3])
            x = x.unflatten(1, (-1, self.step_tokens)).flatten(0, 1).flatten(1, 3)  # (R, N, D)
        steps = len(x) // streams
        blocks = cast(nn.ModuleList, self.stages[number - 1])
        enabled = self.checkpoint_activations and self.training
        old, new = iter(state.layers), []
        for index, block in enumerate(cast(Iterable[Block], blocks)):
            memory, extension = self._memory(number, index), None
            if memory is not None:
                cached = _cached_grid(block, grid)
                with torch.no_grad():
                    inputs = _pool(block.norm1(x), grid, cached)  # (R, T, H, W, D)
                read, after = memory.remember(
                    inputs.unflatten(0, (streams, steps)), next(old), starts
                )
                new.append(after)
                extension = memory.extension(block.attn, read, cached)
            x = recompute(partial(block.attend, grid=grid, extension=extension), x, enabled=enabled)
            grid = block.settings.next_grid(grid)
            if index == len(blocks) - 1 and reader is not None:
                # The reader sees the steps of a stream one behind the other.
                whole = (steps * grid[0], *grid[1:])
                x = x.unflatten(0, (streams, steps)).flatten(1, 2)
                x = block.finish(x, whole, reader).unflatten(1, (steps, -1)).flatten(0, 1)
            else:
                x = recompute(partial(block.finish, grid=grid), x, enabled=enabled)
        tokens = x.unflatten(1, grid).unflatten(0, (streams, steps)).flatten(1, 2)
        return tokens, StageCache(tuple(new))

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what a call returned -> (B, D); see `MViT.pool`."""
        return mvit.MViT.pool(self, features)

    def _memory(self, stage: int, index: int) -> LayerMemory | None:
        key = f"{stage}_{index}"
        return cast(LayerMemory, self.memories[key]) if key in self.memories else None


def _cached_grid(block: Block, grid: Size) -> Size:
    """The grid of a block's pooled keys and values."""
    stride = block.settings.stride_kv
    return grid[0], -(-grid[1] // stride), -(-grid[2] // stride)


def _pool(x: Tensor, grid: Size, pooled: Size) -> Tensor:
    """x: (R, N, D) -> (R, T, H, W, D), each token the mean of those that lie there."""
    x = F.adaptive_avg_pool3d(x.transpose(1, 2).unflatten(2, grid), pooled)
    return x.permute(0, 2, 3, 4, 1)


def memvit_s(*, drop_path: float = 0.2, checkpoint_activations: bool = False) -> MeMViT:
    """MeMViT-16: MViTv2-S on clips of 16 frames, 8 of 16 layers remember 2 clips each."""
    return MeMViT(drop_path=drop_path, checkpoint_activations=checkpoint_activations)


def memvit_nano(*, drop_path: float = 0.0, checkpoint_activations: bool = False) -> MeMViT:
    """Ours, for small pictures (about 64 x 64): every one of five layers remembers 2 clips."""
    return MeMViT(
        dim=24,
        depths=(1, 1, 2, 1),
        clip_size=(8, 64, 64),
        step_frames=8,
        layers_every=1,
        pools_stages=True,
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )


def from_torchvision(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of torchvision's mvit_v2_s for `memvit_s`, with the head; fresh ones for memory.

    The class token is left out, and the head saw it alone: both want fine-tuning.

    Raises:
        CheckpointError: a name is unknown or missing, or a tensor has another shape.
    """
    weights = mvit.from_torchvision(state_dict)
    weights.pop("backbone.pos_encoding.class_token", None)
    fresh = memvit_s().state_dict()
    memory = {f"backbone.{name}": x for name, x in fresh.items() if name.startswith("memories.")}
    return weights | memory
