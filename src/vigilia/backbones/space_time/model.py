"""The factorised space-time transformer on whole clips: one class, every scheme.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' the token grid, D features, h heads,
R rows of class tokens, P tokens beside the grid.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vigilia.backbones.base import Reader, check_call
from vigilia.backbones.space_time.block import NORM_EPSILON, Activation, drop_path_rates
from vigilia.backbones.space_time.embedding import Positions, Tubelets
from vigilia.backbones.space_time.schemes import find_scheme
from vigilia.backbones.space_time.stack import (
    check_depth,
    draw_weights,
    make_blocks,
    on_class_token,
    run_blocks,
)
from vigilia.backbones.token_selection import TokenSelection, on_selection
from vigilia.errors import OptionError
from vigilia.layers.selection import gather_tokens, scatter_tokens
from vigilia.layers.windows import Size

__all__ = ["SpaceTime"]


class SpaceTime(nn.Module):
    """A vision transformer over space and time; obeys `vigilia.backbones.Backbone`.

    The blocks form `stages` of equal depth on one grid, so that a memory that reads stages 3 and 4
    finds them. A class token is a further stage behind them: its tokens are (B, 1, 1, 1, D), or
    (B, T', 1, 1, D) where every frame has its own ("space"); a reader of that stage reads for it.
    A reader of the last grid stage comes too late for a class token; pool by the mean, or let
    memory read an earlier stage or the class token's.

    Args:
        attention: a key of `vigilia.backbones.space_time.make_schemes`.
        dim: D.
        depth: blocks.
        heads: h.
        tubelet: frames, rows and columns of pixels in one token.
        frames: T that positions are learned for; other lengths resize them.
        height: H, likewise.
        width: W, likewise.
        stages: divides depth.
        class_token: pool the class token; otherwise the mean over the grid.
        joint_positions: one position a token (ViViT), not one a place and one a time (TimeSformer).
        mlp_ratio: hidden width of the MLP over D.
        activation: of the MLP.
        block_frames: k of "strided" and "block_local", in tokens.
        global_tokens: of "block_local", a class token among them.
        places: of "linformer".
        features: random features of "performer".
        keep: every stage after the first works on this fraction of the tokens of the one before.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        checkpoint_activations: while training, keep block inputs only and recompute the rest.

    Raises:
        OptionError: values that do not go together.
    """

    def __init__(
        self,
        *,
        attention: str,
        dim: int = 768,
        depth: int = 12,
        heads: int = 12,
        tubelet: Size = (1, 16, 16),
        frames: int = 8,
        height: int = 224,
        width: int = 224,
        stages: int = 4,
        class_token: bool = False,
        joint_positions: bool = False,
        mlp_ratio: float = 4.0,
        activation: Activation = "exact",
        block_frames: int = 4,
        global_tokens: int = 4,
        places: int = 256,
        features: int = 256,
        keep: float = 1.0,
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        scheme = find_scheme(attention, block_frames=block_frames)
        check_depth(depth, stages)
        if class_token and not scheme.class_token:
            raise OptionError(f"attention {attention!r} has no class token; pool by the mean")
        if keep < 1.0 and scheme.choice is None:
            raise OptionError(f"attention {attention!r} needs all tokens; keep must be 1")
        if keep < 1.0 and class_token:
            raise OptionError("with a class token keep must be 1; pool by the mean")
        self.attention = attention
        self.stage_dims = (dim,) * (stages + class_token)
        self.embedding_dim = dim
        self.class_token = class_token
        self.tubelets = Tubelets(tubelet, dim)
        grid = self.tubelets.grid(frames, height, width)
        beside = max(int(class_token), global_tokens if attention == "block_local" else 0)
        self.beside = nn.Parameter(torch.empty(beside, dim)) if beside else None
        self.positions = Positions(
            grid, dim, joint=joint_positions, time=attention != "space", beside=beside
        )
        blocks = make_blocks(
            scheme,
            drop_path_rates(drop_path, depth),
            dim=dim,
            heads=heads,
            grid=grid,
            mlp_ratio=mlp_ratio,
            activation=activation,
            checkpoint_activations=checkpoint_activations,
            places=places,
            features=features,
        )
        each = depth // stages
        self.stages = nn.ModuleList(
            nn.ModuleList(blocks[start : start + each]) for start in range(0, depth, each)
        )
        self.selections = nn.ModuleList(
            TokenSelection(dim, keep**number, scheme.choice)
            for number in range(1, stages)
            if keep < 1.0 and scheme.choice is not None
        )
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        draw_weights(self)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> per stage (B, T', H', W', D), then the class token's.

        T' H' W' are T H W over the tubelet, rounded up; zeros fill up the last tubelets.

        Args:
            readers: by stage number, counted from 1; see `Backbone`.

        Raises:
            OptionError: the clip has another layout, or a reader's stage does not exist.
        """
        check_call(clip, readers or {}, stages=len(self.stage_dims))
        return self.encode(self.embed(clip), readers)

    @property
    def takes_tubes(self) -> bool:
        """Whether `encode` also takes some places alone, as (B, T', 1, N, D): see `embed`.

        Not where the scheme or a selection needs the whole picture.
        """
        return find_scheme(self.attention).choice is not None and not len(self.selections)

    def embed(self, clip: Tensor) -> Tensor:
        """clip: (B, C=3, T, H, W) -> tokens with their positions (B, T', H', W', D)."""
        embedded: Tensor = self.positions(self.tubelets(clip))
        return embedded

    def encode(self, x: Tensor, readers: Mapping[int, Reader] | None = None) -> tuple[Tensor, ...]:
        """What follows `embed`; the arguments and what is returned are those of `forward`."""
        readers = readers or {}
        beside = self._beside(x)
        features: list[Tensor] = []
        chosen: Tensor | None = None
        for number in range(1, len(self.stages) + 1):
            last = number == len(self.stages)
            class_reader = readers.get(number + 1) if last and self.class_token else None
            x, beside, chosen = self._run_stage(
                number, x, beside, chosen, readers.get(number), class_reader
            )
            features.append(x)
        if self.class_token and beside is not None:
            features.append(beside[:, :, None, :1])  # (B, R, 1, 1, D)
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D): the class token, or the mean of the grid.

        As published: frames' class tokens are averaged and then normed, tokens the other way round.
        """
        if self.class_token:
            return self.norm(features[-1].mean(dim=(1, 2, 3)))
        return self.norm(features[-1]).mean(dim=(1, 2, 3))

    def _beside(self, x: Tensor) -> Tensor | None:
        """x: (B, T', H', W', D) -> (B, R, P, D)."""
        if self.beside is None or self.positions.beside is None:
            return None
        rows = x.shape[1] if self.attention == "space" else 1
        return (self.beside + self.positions.beside).expand(len(x), rows, -1, -1)

    def _run_stage(
        self,
        number: int,
        x: Tensor,
        beside: Tensor | None,
        chosen: Tensor | None,
        reader: Reader | None,
        class_reader: Reader | None,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """A stage on all tokens, or on those that it chooses among the `chosen` (B, F, K)."""
        blocks = self.stages[number - 1]
        beside_reader = None if class_reader is None else on_class_token(class_reader)
        if number == 1 or not len(self.selections):
            return (*run_blocks(blocks, x, beside, reader, beside_reader), None)
        chosen, gates = self.selections[number - 2](x, chosen)
        kept = gather_tokens(x, chosen)  # (B, F, 1, K, D)
        if reader is not None:
            reader = on_selection(reader, x, chosen)
        changed, beside = run_blocks(blocks, kept, beside, reader, beside_reader)
        return scatter_tokens(x, chosen, kept + gates * (changed - kept)), beside, chosen
