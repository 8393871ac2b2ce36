"""ViViT's model 2: one transformer looks at each frame, a second one at what the first saw.

Letters: B streams, C channels, T frames, H W pixels, T' H' W' the token grid, D features, h heads.
"ViViT: A Video Vision Transformer", Arnab, Dehghani, Heigold, Sun, Lucic, Schmid, 2021.
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
from vigilia.layers.windows import Size

__all__ = ["FactorisedEncoder"]


class FactorisedEncoder(nn.Module):
    """Spatial blocks, then temporal blocks over one token a frame; obeys `Backbone`.

    The spatial blocks form all stages but the last, the temporal blocks are the last: its tokens
    are (B, T', 1, 1, D). A class token is a further stage, (B, 1, 1, 1, D). With class tokens, a
    reader of the last spatial stage comes too late for the frame's; see `SpaceTime`.

    Per clip 4 (T N + T) D**2 + 2 T (N + 1)**2 D multiply-adds of attention in a spatial block and
    4 (T + 1) D**2 + 2 (T + 1)**2 D in a temporal one: time costs next to nothing.

    Args:
        dim: D.
        depth: spatial blocks.
        temporal_depth: temporal blocks.
        heads: h.
        tubelet: frames, rows and columns of pixels in one token.
        frames: T that positions are learned for; other lengths resize them.
        height: H, likewise.
        width: W, likewise.
        stages: one more than divides depth.
        class_token: a frame is its class token and a clip the class token of its frames; otherwise
            both are means.
        mlp_ratio: hidden width of the MLP over D.
        activation: of the MLP.
        drop_path: stochastic depth of the last block; it rises linearly from zero at the first.
        checkpoint_activations: while training, keep block inputs only and recompute the rest.

    Raises:
        OptionError: values that do not go together.
    """

    def __init__(
        self,
        *,
        dim: int = 768,
        depth: int = 12,
        temporal_depth: int = 4,
        heads: int = 12,
        tubelet: Size = (2, 16, 16),
        frames: int = 32,
        height: int = 224,
        width: int = 224,
        stages: int = 4,
        class_token: bool = False,
        mlp_ratio: float = 4.0,
        activation: Activation = "tanh",
        drop_path: float = 0.0,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        check_depth(depth, stages - 1)
        self.stage_dims = (dim,) * (stages + class_token)
        self.embedding_dim = dim
        self.class_token = class_token
        self.tubelets = Tubelets(tubelet, dim)
        times, rows, columns = self.tubelets.grid(frames, height, width)
        beside = int(class_token)
        self.positions = Positions((times, rows, columns), dim, time=False, beside=beside)
        self.time_positions = Positions((times, 1, 1), dim, joint=True, beside=beside)
        self.beside = nn.Parameter(torch.empty(2, 1, dim)) if class_token else None
        rates = drop_path_rates(drop_path, depth + temporal_depth)
        spatial, temporal = (
            make_blocks(
                find_scheme(attention),
                part,
                dim=dim,
                heads=heads,
                grid=(times, rows, columns),
                mlp_ratio=mlp_ratio,
                activation=activation,
                checkpoint_activations=checkpoint_activations,
            )
            for attention, part in (("space", rates[:depth]), ("joint", rates[depth:]))
        )
        each = depth // (stages - 1)
        self.stages = nn.ModuleList(
            [nn.ModuleList(spatial[start : start + each]) for start in range(0, depth, each)]
            + [nn.ModuleList(temporal)]
        )
        self.frame_norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        draw_weights(self)

    def forward(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C=3, T, H, W) -> (B, T', H', W', D) each, (B, T', 1, 1, D), the class token's.

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
        """That `encode` also takes some places alone, as (B, T', 1, N, D)."""
        return True

    def embed(self, clip: Tensor) -> Tensor:
        """clip: (B, C=3, T, H, W) -> tokens with their positions (B, T', H', W', D)."""
        embedded: Tensor = self.positions(self.tubelets(clip))
        return embedded

    def encode(self, x: Tensor, readers: Mapping[int, Reader] | None = None) -> tuple[Tensor, ...]:
        """What follows `embed`; the arguments and what is returned are those of `forward`."""
        readers = readers or {}
        beside = self._class_tokens(0, self.positions.beside, (len(x), x.shape[1]))
        features = []
        last = len(self.stages)
        for number in range(1, last):
            x, beside = run_blocks(self.stages[number - 1], x, beside, readers.get(number), None)
            features.append(x)
        if beside is None:
            seen = self.frame_norm(x).mean(dim=(2, 3), keepdim=True)  # (B, T', 1, 1, D)
        else:
            seen = self.frame_norm(beside)[:, :, None]
        x = self.time_positions(seen)
        beside = self._class_tokens(1, self.time_positions.beside, (len(x), 1))
        class_reader = readers.get(last + 1)
        beside_reader = None if class_reader is None else on_class_token(class_reader)
        x, beside = run_blocks(self.stages[-1], x, beside, readers.get(last), beside_reader)
        features.append(x)
        if beside is not None:
            features.append(beside[:, :, None])  # (B, 1, 1, 1, D)
        return tuple(features)

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what `forward` returned -> (B, D): the class token, or the mean of frames."""
        return self.norm(features[-1]).mean(dim=(1, 2, 3))

    def _class_tokens(
        self, which: int, positions: Tensor | None, rows: tuple[int, int]
    ) -> Tensor | None:
        """(B, R, 1, D) for `rows` = (B, R): of the spatial (0) or the temporal (1) encoder."""
        if self.beside is None or positions is None:
            return None
        return (self.beside[which] + positions).expand(*rows, -1, -1)
