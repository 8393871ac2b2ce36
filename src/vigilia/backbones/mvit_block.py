"""A block of MViT, and how blocks make up stages; sub-modules have torchvision's names.

Letters: B streams, T H W the token grid, N tokens, D features, h heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.errors import OptionError
from vigilia.layers.drop import DropPath
from vigilia.layers.multiscale_attention import Extension, MultiscaleAttention, Size

__all__ = ["Block", "BlockSettings", "settings_of_stages"]


@dataclass(frozen=True)
class BlockSettings:
    """What differs from block to block.

    Attributes:
        heads: h.
        dim_in: D of what comes in.
        dim: D behind attention.
        dim_out: D of what goes out.
        shrinks: height and width halve.
        stride_kv: by which keys and values are reduced in height and width.
        version: 1 or 2.
    """

    heads: int
    dim_in: int
    dim: int
    dim_out: int
    shrinks: bool
    stride_kv: int
    version: int

    def next_grid(self, grid: Size) -> Size:
        """The grid behind the block."""
        if not self.shrinks:
            return grid
        return grid[0], -(-grid[1] // 2), -(-grid[2] // 2)


def settings_of_stages(
    dim: int, depths: tuple[int, ...], *, version: int, stride_kv: int
) -> tuple[tuple[BlockSettings, ...], ...]:
    """Blocks of every stage; the arguments are those of `MViT`.

    v1 doubles the width in the MLP of a stage's last block, v2 in the attention of the next
    stage's first.

    Raises:
        OptionError: no such version, no blocks, or a stride that cannot be halved so often.
    """
    if version not in (1, 2):
        raise OptionError(f"version must be 1 or 2, got {version}")
    if not depths or min(depths) < 1:
        raise OptionError(f"depths must name a block or more for each stage, got {depths}")
    if stride_kv % 2 ** (len(depths) - 1):
        raise OptionError(
            f"stride_kv must divide by {2 ** (len(depths) - 1)}, to halve from stage to stage, "
            f"got {stride_kv}"
        )
    stages = []
    for stage, depth in enumerate(depths):
        width = dim * 2**stage
        blocks = []
        for index in range(depth):
            first, last = index == 0 and stage > 0, index == depth - 1 and stage < len(depths) - 1
            blocks.append(
                BlockSettings(
                    heads=2**stage,
                    dim_in=width // 2 if first and version == 2 else width,
                    dim=width,
                    dim_out=2 * width if last and version == 1 else width,
                    shrinks=first,
                    stride_kv=stride_kv // 2**stage,
                    version=version,
                )
            )
        stages.append(tuple(blocks))
    return tuple(stages)


class Block(nn.Module):
    """Pooling attention, then memory's increment where asked, then an MLP."""

    def __init__(
        self, settings: BlockSettings, grid: Size, *, class_tokens: int, drop_path: float
    ) -> None:
        super().__init__()
        self.settings = settings
        self.class_tokens = class_tokens
        second = settings.version == 2
        self.pool_skip = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)) if settings.shrinks else None
        self.norm1 = nn.LayerNorm(settings.dim_in, eps=1e-6)
        self.norm2 = nn.LayerNorm(settings.dim, eps=1e-6)
        side = max(grid[1:])  # torchvision's tables are square
        reduced = max(side // (2 if settings.shrinks else 1), side // settings.stride_kv)
        # v1 pools queries only where the grid shrinks.
        pools_queries = second or settings.shrinks
        self.attn = MultiscaleAttention(
            settings.dim_in,
            settings.dim,
            heads=settings.heads,
            stride_q=((1, 2, 2) if settings.shrinks else (1, 1, 1)) if pools_queries else None,
            stride_kv=(1, settings.stride_kv, settings.stride_kv),
            positions=(grid[0], max(reduced, 1), max(reduced, 1)) if second else None,
            residual=second,
            class_tokens=class_tokens,
        )
        hidden = 4 * settings.dim
        # The gaps in the numbers are torchvision's dropouts.
        self.mlp = nn.ModuleDict(
            {"0": nn.Linear(settings.dim, hidden), "3": nn.Linear(hidden, settings.dim_out)}
        )
        self.drop_path = DropPath(drop_path)
        self.project = None
        if settings.dim_in != settings.dim_out:
            self.project = nn.Linear(settings.dim_in, settings.dim_out)
        self._widens_late = settings.dim != settings.dim_out

    def forward(self, x: Tensor, grid: Size, reader: Reader | None = None) -> Tensor:
        """x: (B, N, D_in) -> (B, N', D_out); a class token comes first.

        Args:
            x: tokens.
            grid: (T, H, W) of those that are no class token.
            reader: as of a backbone; called between attention and MLP, or behind the MLP if that is
                where the block widens.
        """
        return self.finish(self.attend(x, grid), self.settings.next_grid(grid), reader)

    def attend(self, x: Tensor, grid: Size, extension: Extension | None = None) -> Tensor:
        """The first half. x: (B, N, D_in) -> (B, N', D).

        Args:
            x: tokens.
            grid: of the tokens.
            extension: further keys and values.
        """
        normed = self.norm1(x)
        attended, _ = self.attn(normed, grid, extension)
        if self.project is not None and not self._widens_late:
            x = self.project(normed)
        return self._skip(x, grid) + self.drop_path(attended)

    def finish(self, x: Tensor, grid: Size, reader: Reader | None = None) -> Tensor:
        """The second half. x: (B, N', D) -> (B, N', D_out), on the new grid."""
        if reader is not None and not self._widens_late:
            x = self._read(x, grid, reader)
        normed = self.norm2(x)
        if self.project is not None and self._widens_late:
            x = self.project(normed)
        x = x + self.drop_path(self.mlp["3"](F.gelu(self.mlp["0"](normed))))
        return self._read(x, grid, reader) if reader is not None and self._widens_late else x

    def _skip(self, x: Tensor, grid: Size) -> Tensor:
        """The shortcut on the new grid."""
        if self.pool_skip is None:
            return x
        first, x = x[:, : self.class_tokens], x[:, self.class_tokens :]
        x = self.pool_skip(x.transpose(1, 2).unflatten(2, grid))
        return torch.cat([first, x.flatten(2).transpose(1, 2)], dim=1)

    def _read(self, x: Tensor, grid: Size, reader: Reader) -> Tensor:
        """Adds memory's increment to all tokens but the class token."""
        first, x = x[:, : self.class_tokens], x[:, self.class_tokens :]
        tokens = x.unflatten(1, grid)
        return torch.cat([first, (tokens + reader(tokens)).flatten(1, 3)], dim=1)
