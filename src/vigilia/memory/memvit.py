"""A baseline after MeMViT: earlier clips' tokens, cached without gradient and compressed in turn.

After Wu et al., "MeMViT: memory-augmented multiscale vision transformer for efficient long-term
video recognition" (CVPR 2022). What is kept of the paper:

- A clip attends to what was cached of the M clips before it. Cached are, as there, the inputs of
  keys and values before their projection, which is done at every reading with today's weights.
- The cache is detached: no gradient flows into an earlier clip.
- Compression is learned, one depthwise convolution for the keys and one for the values, and
  pipelined (section 3.3): the newest cached clip is stored whole and compressed while it is read,
  which is where the convolutions learn; when the next clip is cached, it is compressed once more,
  without gradient, and stored as that.
- M = 2 clips are read, as in the published configurations, and cached clips need not overlap.

What differs, because memory reaches every backbone here through the same door:

- It is read in one block a chosen stage, the last, instead of in every other layer.
- The clip's tokens attend to the cache beside their self-attention, through a gate that starts at
  zero; there, one softmax spans both.
- Tokens are averaged to a fixed grid before they are cached, the same for keys and values; there,
  each is pooled by the block's own strided convolutions.
- Cached is what leaves the block, memory already read, where the paper caches what enters it. What
  a clip saw can so be handed on from clip to clip without end, though nothing trains it to be,
  since the cache is detached; there, the reach is M clips a layer.
- A clip's age in seconds is a bias on its keys; there, tables of relative positions in time, height
  and width. A cached token has no place here but in its content.
- A learned token that is always there stands in for the missing past, and an empty slot is masked
  row by row.

Letters: B streams, M cached clips, G tokens of the grid, S tokens of a compressed clip, D features,
h heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.memory.base import Features, Readers, chosen_dims
from vigilia.memory.reading import MemoryReader, slot_bias
from vigilia.memory.slots import push
from vigilia.state import State, any_row

__all__ = ["CachedStage", "MemvitMemory", "MemvitStage", "MemvitState", "Size"]

Size = tuple[int, int, int]
"""Time, height, width."""


@dataclass(frozen=True)
class CachedStage(State):
    """What one stage has cached, all of it detached.

    Attributes:
        newest: (B, T, H, W, D) the newest cached clip on its grid, not compressed.
        keys: (B, M - 1, S, D) the clips before it, compressed for keys; oldest first.
        values: (B, M - 1, S, D) the same clips, compressed for values.
    """

    newest: Tensor
    keys: Tensor
    values: Tensor


@dataclass(frozen=True)
class MemvitState(State):
    """The cache of every chosen stage.

    Attributes:
        stages: one `CachedStage` a chosen stage.
        slot_seconds: (B, M) float64, when each cached clip ended; oldest first, the newest last.
    """

    stages: tuple[CachedStage, ...]
    slot_seconds: Tensor


class MemvitStage(nn.Module):
    """Reader and compression of one stage.

    Args:
        dim: D.
        heads: h.
        grid: tokens in time, height and width that a clip is averaged to.
        compression: how many times fewer of each remain.
    """

    def __init__(self, dim: int, *, heads: int, grid: Size, compression: Size) -> None:
        super().__init__()
        self.grid = grid
        self.compressed_grid = tuple(
            math.ceil(size / stride) for size, stride in zip(grid, compression, strict=True)
        )
        self.reader = MemoryReader(dim, heads=heads)

        def depthwise() -> nn.Conv3d:
            # Neighbouring kernels overlap, and with this padding no border of the grid is left out.
            kernel = cast(Size, tuple(2 * stride - 1 for stride in compression))
            padding = cast(Size, tuple(stride - 1 for stride in compression))
            return nn.Conv3d(dim, dim, kernel, stride=compression, padding=padding, groups=dim)

        self.compress_keys = depthwise()
        self.compress_values = depthwise()

    def to_grid(self, x: Tensor) -> Tensor:
        """Brings tokens of any grid to the cache's. x: (B, T', H', W', D) -> (B, T, H, W, D)."""
        if torch.compiler.is_exporting():  # other runtimes have no pooling to a given grid
            for axis, size in enumerate(self.grid, start=1):
                shares = _shares(x.shape[axis], size).to(x)
                x = (x.movedim(axis, -1) @ shares).movedim(-1, axis)
            return x
        return F.adaptive_avg_pool3d(x.movedim(-1, 1), self.grid).movedim(1, -1)

    def compress(self, newest: Tensor) -> tuple[Tensor, Tensor]:
        """newest: (B, T, H, W, D) -> inputs of the keys and of the values, each (B, S, D)."""
        channels_first = newest.movedim(-1, 1)
        keys = self.compress_keys(channels_first).flatten(2).transpose(1, 2)  # (B, S, D)
        values = self.compress_values(channels_first).flatten(2).transpose(1, 2)  # (B, S, D)
        return keys, values

    def read(self, x: Tensor, cached: CachedStage, bias: Tensor) -> Tensor:
        """What the cache adds to a clip's tokens. x: (B, T', H', W', D) -> (B, T', H', W', D).

        Args:
            x: tokens of the clip.
            cached: before this clip.
            bias: (B, h, 1, M * S), from `slot_bias`.
        """
        newest_keys, newest_values = self.compress(cached.newest.to(x.dtype))
        older_keys, older_values = (
            older.flatten(1, 2).to(x.dtype) for older in (cached.keys, cached.values)
        )
        keys, _ = self.reader.project(torch.cat([older_keys, newest_keys], 1))  # (B, M * S, D)
        _, values = self.reader.project(torch.cat([older_values, newest_values], 1))
        key, value = self.reader.nothing(len(x))
        mixed = self.reader(
            x.flatten(1, 3),
            torch.cat([key, keys], 1),
            torch.cat([value, values], 1),
            F.pad(bias, (1, 0)),  # the token that is always there comes first, with a bias of 0
        )
        return mixed.view_as(x)


class MemvitMemory(nn.Module):
    """The memory itself; obeys `vigilia.memory.base.Memory`.

    Args:
        stage_dims: D of every stage of the backbone.
        embedding_dim: D of the backbone's pooled summary.
        stages: numbers of the stages that are cached and that read, counted from 1.
        clips: M, how many cached clips are read.
        write_every: a clip is cached every so many clips. With a stride of a quarter clip, 4 caches
            clips that do not overlap.
        grid: tokens in time, height and width that a clip's tokens are averaged to.
        compression: how many times fewer tokens remain in time, height and width, rounded up.
        head_dim: features per attention head; divides every chosen D.

    Raises:
        OptionError: a value that cannot work.
    """

    def __init__(
        self,
        *,
        stage_dims: tuple[int, ...],
        embedding_dim: int,
        stages: tuple[int, ...] = (3, 4),
        clips: int = 2,
        write_every: int = 4,
        grid: Size = (4, 7, 7),
        compression: Size = (2, 2, 2),
        head_dim: int = 32,
    ) -> None:
        super().__init__()
        self._dims = chosen_dims(stage_dims, stages, head_dim=head_dim)
        if clips < 1 or write_every < 1:
            raise OptionError(
                f"clips and write_every must be at least 1, got {clips} and {write_every}"
            )
        for option, size in (("grid", grid), ("compression", compression)):
            if len(size) != 3 or min(size) < 1:
                raise OptionError(
                    f"{option} must be three numbers of at least 1, for time, height and width, "
                    f"got {size}"
                )
        self.embedding_dim = embedding_dim
        self.stage_numbers = tuple(stages)
        self.slots = clips
        self.write_every = write_every
        self.grid = grid
        self.stages = nn.ModuleList(
            MemvitStage(dim, heads=dim // head_dim, grid=grid, compression=compression)
            for dim in self._dims
        )
        self.compressed_tokens = math.prod(cast(MemvitStage, self.stages[0]).compressed_grid)

    def init_state(
        self, batch_size: int, *, device: torch.device, dtype: torch.dtype
    ) -> MemvitState:
        """The empty cache."""

        def zeros(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        older = (batch_size, self.slots - 1, self.compressed_tokens)
        return MemvitState(
            stages=tuple(
                CachedStage(
                    newest=zeros(batch_size, *self.grid, dim),
                    keys=zeros(*older, dim),
                    values=zeros(*older, dim),
                )
                for dim in self._dims
            ),
            slot_seconds=zeros(batch_size, self.slots, dtype=torch.float64),
        )

    def readers(self, state: MemvitState, *, seconds: Tensor, clips: Tensor) -> Readers:
        """One reader for each chosen stage; see `vigilia.memory.base.Memory.readers`."""
        age = seconds[:, None] - state.slot_seconds  # (B, M)
        place = torch.arange(self.slots, 0, -1, device=clips.device)  # M, ... 2, 1: newest last
        filled = place <= (clips // self.write_every)[:, None]  # (B, M)

        def reader_of(stage: MemvitStage, cached: CachedStage) -> Callable[[Tensor], Tensor]:
            bias = slot_bias(stage.reader.age_bias, age, filled, self.compressed_tokens)
            return lambda x: stage.read(x, cached, bias)

        return {
            number: reader_of(stage, cached) for number, stage, cached in self._each_stage(state)
        }

    def _each_stage(self, state: MemvitState) -> Iterator[tuple[int, MemvitStage, CachedStage]]:
        modules = cast(Iterable[MemvitStage], self.stages)
        return zip(self.stage_numbers, modules, state.stages, strict=True)

    @torch.no_grad()
    def _cache(
        self, features: Features, state: MemvitState, *, seconds: Tensor, clips: Tensor, due: Tensor
    ) -> MemvitState:
        """The rows that are due compress their newest clip, and this clip takes its place."""
        moves = due & (clips >= self.write_every)  # the first clip finds nothing to compress
        stages = []
        for number, stage, cached in self._each_stage(state):
            x = features[number - 1]
            older_keys, older_values = cached.keys, cached.values
            if self.slots > 1:
                keys, values = stage.compress(cached.newest.to(x.dtype))
                older_keys = push(older_keys, keys, moves)
                older_values = push(older_values, values, moves)
            newest = torch.where(
                due[:, None, None, None, None],
                stage.to_grid(x).to(cached.newest.dtype),
                cached.newest,
            )
            stages.append(CachedStage(newest=newest, keys=older_keys, values=older_values))
        return MemvitState(
            stages=tuple(stages), slot_seconds=push(state.slot_seconds, seconds, due)
        )

    def update(
        self,
        features: Features,
        pooled: Tensor,
        state: MemvitState,
        *,
        seconds: Tensor,
        clips: Tensor,
    ) -> tuple[Tensor, MemvitState]:
        """Caches this clip when a row's turn has come; the embedding is the backbone's own."""
        due = (clips + 1) % self.write_every == 0
        if any_row(due):
            state = self._cache(features, state, seconds=seconds, clips=clips, due=due)
        return pooled, state


def _shares(size: int, cells: int) -> Tensor:
    """(size, cells): how much of each position goes into each cell, as in adaptive pooling."""
    shares = torch.zeros(size, cells)
    for cell in range(cells):
        first, end = cell * size // cells, -(-(cell + 1) * size // cells)
        shares[first:end, cell] = 1 / (end - first)
    return shares
