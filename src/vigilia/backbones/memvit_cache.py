"""What one attention layer of MeMViT remembers of earlier clips, and how it is compressed and read.

"MeMViT: Memory-Augmented Multiscale Vision Transformer for Efficient Long-Term Video Recognition",
Wu, Li, Mangalam, Fan, Xiong, Malik, Feichtenhofer, 2022.

Letters: B streams, S steps, R = B * S rows, M cached clips, C features of the layer's input, T H W
the grid on which they are cached, P tokens of a compressed clip, h heads, d features a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.layers.multiscale_attention import (
    Extension,
    MultiscaleAttention,
    Size,
    relative_scores,
    relative_table,
)
from vigilia.state import State, reset

__all__ = ["LayerCache", "LayerMemory", "Remembered"]

KERNEL, STRIDE = (7, 3, 3), (4, 2, 2)


@dataclass(frozen=True)
class LayerCache(State):
    """What one layer has cached; without gradient.

    Attributes:
        newest: (B, T, H, W, C) the input of keys and values in the newest cached clip, whole.
        keys: (B, M - 1, P, C) the clips before it, compressed for keys; oldest first.
        values: (B, M - 1, P, C) the same clips, compressed for values.
        clips: (B,) int64, how many clips each row has seen.
    """

    newest: Tensor
    keys: Tensor
    values: Tensor
    clips: Tensor


@dataclass(frozen=True)
class Remembered:
    """What S steps find in the cache.

    Attributes:
        keys: (R, M, P, C) inputs of the keys.
        values: (R, M, P, C) inputs of the values.
        filled: (R, M) bool, false where there is no such clip.
    """

    keys: Tensor
    values: Tensor
    filled: Tensor


class LayerMemory(nn.Module):
    """Compression and relative positions of one layer.

    Args:
        dim: C.
        head_dim: d.
        side: tokens on the longer side of the queries' grid, for the tables of positions.
        frames: T.
        clips: M.
        remember_every: one clip of so many is cached.
    """

    def __init__(
        self, dim: int, *, head_dim: int, side: int, frames: int, clips: int, remember_every: int
    ) -> None:
        super().__init__()
        self.clips = clips
        self.remember_every = remember_every

        def compression() -> nn.Sequential:
            padding = (KERNEL[0] // 2, KERNEL[1] // 2, KERNEL[2] // 2)
            conv = nn.Conv3d(dim, dim, KERNEL, STRIDE, padding, groups=dim, bias=False)
            nn.init.constant_(conv.weight, 1 / math.prod(KERNEL))  # at first a mean
            return nn.Sequential(conv, nn.LayerNorm(dim, eps=1e-6))

        self.compress_keys = compression()
        self.compress_values = compression()
        self.rel_pos_t = nn.Parameter(torch.empty(clips * -(-frames // STRIDE[0]), head_dim))
        self.rel_pos_h = nn.Parameter(torch.empty(2 * side - 1, head_dim))
        self.rel_pos_w = nn.Parameter(torch.empty(2 * side - 1, head_dim))
        for table in (self.rel_pos_t, self.rel_pos_h, self.rel_pos_w):
            nn.init.trunc_normal_(table, std=0.02)

    def init_state(
        self, batch_size: int, grid: Size, *, device: torch.device, dtype: torch.dtype
    ) -> LayerCache:
        """The empty cache of clips on this grid."""
        dim = cast(nn.Conv3d, self.compress_keys[0]).out_channels
        older = (batch_size, self.clips - 1, math.prod(compressed(grid)), dim)

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        clips = torch.zeros(batch_size, device=device, dtype=torch.int64)
        return LayerCache(zeros(batch_size, *grid, dim), zeros(*older), zeros(*older), clips)

    def compress(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, T, H, W, C) -> inputs of the keys and of the values, each (B, P, C)."""
        tokens = []
        for conv, norm in (self.compress_keys, self.compress_values):
            reduced = conv(x.permute(0, 4, 1, 2, 3)).flatten(2).transpose(1, 2)
            tokens.append(norm(reduced))
        return tokens[0], tokens[1]

    def remember(
        self, inputs: Tensor, cache: LayerCache, starts: Tensor | None
    ) -> tuple[Remembered, LayerCache]:
        """What S steps read, each before it is written itself.

        The newest cached clip is compressed while it is read, which is where the compression
        learns; what it was compressed to then is kept, without gradient, when the next one comes.

        inputs: (B, S, T, H, W, C), of the steps' own clips.

        Args:
            inputs: without gradient.
            cache: before the first step.
            starts: (B, S) bool, where a row's cache is to be empty before the step.
        """
        keys: list[Tensor] = []
        values: list[Tensor] = []
        filled: list[Tensor] = []
        place = torch.arange(self.clips, 0, -1, device=inputs.device)  # M, ... 2, 1: newest last
        for index, newest in enumerate(inputs.unbind(1)):
            if starts is not None:
                cache = reset(cache, starts[:, index])
            mine = self.compress(cache.newest.to(inputs.dtype))
            for found, older, last in zip(
                (keys, values), (cache.keys, cache.values), mine, strict=True
            ):
                found.append(torch.cat([older.to(last.dtype), last[:, None]], dim=1))
            filled.append(place <= (cache.clips // self.remember_every)[:, None])
            cache = self._write(newest, mine, cache)
        read = Remembered(*(torch.stack(x, dim=1).flatten(0, 1) for x in (keys, values, filled)))
        return read, cache

    def _write(self, newest: Tensor, mine: tuple[Tensor, Tensor], cache: LayerCache) -> LayerCache:
        """Rows whose turn it is keep this clip, and of the one before what it was compressed to."""
        due = (cache.clips + 1) % self.remember_every == 0
        moves = (due & (cache.clips >= self.remember_every)).view(-1, 1, 1, 1)
        keys, values = (
            torch.where(
                moves, torch.cat([older[:, 1:], last.detach()[:, None].to(older.dtype)], 1), older
            )
            if self.clips > 1
            else older
            for older, last in zip((cache.keys, cache.values), mine, strict=True)
        )
        kept = torch.where(due.view(-1, 1, 1, 1, 1), newest.to(cache.newest.dtype), cache.newest)
        return LayerCache(kept, keys, values, cache.clips + 1)

    def extension(self, attention: MultiscaleAttention, read: Remembered, grid: Size) -> Extension:
        """What is remembered, as further keys and values of the layer's attention.

        They are projected here, by today's weights: projection and compression both learn.

        Args:
            attention: of the layer.
            read: from `remember`.
            grid: (T, H, W) on which clips are cached.
        """
        frames, rows, columns = compressed(grid)

        def extend(q: Tensor, query_grid: Size) -> tuple[Tensor, Tensor, Tensor]:
            _, key_weight, value_weight = attention.qkv.weight.chunk(3)
            _, key_bias, value_bias = attention.qkv.bias.chunk(3)

            def heads(inputs: Tensor, weight: Tensor, bias: Tensor, norm: nn.Module) -> Tensor:
                projected = F.linear(inputs.flatten(1, 2), weight, bias)  # (R, M * P, D)
                return norm(projected.unflatten(2, (attention.heads, -1)).transpose(1, 2))

            keys = heads(read.keys, key_weight, key_bias, attention.pool_k.norm_act)
            values = heads(read.values, value_weight, value_bias, attention.pool_v.norm_act)
            tables = (
                self.rel_pos_t.view(1, self.clips * frames, -1).expand(query_grid[0], -1, -1),
                relative_table(self.rel_pos_h, query_grid[1], rows),
                relative_table(self.rel_pos_w, query_grid[2], columns),
            )
            scores = relative_scores(q, query_grid, tables)  # (R, h, N, M * P)
            hidden = ~read.filled.repeat_interleave(frames * rows * columns, dim=1)
            return keys, values, scores.masked_fill(hidden[:, None, None], float("-inf"))

        return extend


def compressed(grid: Size) -> Size:
    """(T, H, W) of what remains of a cached clip."""
    time, rows, columns = (-(-size // stride) for size, stride in zip(grid, STRIDE, strict=True))
    return time, rows, columns
