"""The masked autoencoder: tubes are hidden, and what was there is predicted.

Where every token may be left out (space-time transformers whose scheme does not need the whole
picture: joint, divided, space, factorised, strided, block-local, Performer), the backbone encodes
the visible patches alone, as published: hidden places cost nothing and tell nothing (He and others,
"Masked Autoencoders Are Scalable Vision Learners", 2022; Tong and others, "VideoMAE", 2022).
Everywhere else, where windows, convolutions or states run over the whole grid, a learned colour
covers what is hidden (Xie and others, "SimMIM: a Simple Framework for Masked Image Modeling",
2022, do the same behind the patch embedding). Neither ever sees a hidden pixel.

What is predicted is each cube of pixels, normed by its own mean and deviation: to predict nothing
in particular has a loss of 1, less where walls are flat.

Letters: B clips, C channels, T frames, H W pixels; T' times, N squares, P pixels of a cube, Q cubes
that are predicted; of tokens T' H' W' the grid and D features.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vigilia.pretraining.cubes import Cubes, cut_cubes, divide, draw_tubes, hide_tubes
from vigilia.pretraining.cubes import place_of_cubes as places_of
from vigilia.pretraining.decoder import CubeDecoder
from vigilia.pretraining.options import PretrainOptions
from vigilia.pretraining.which import ask_what, features_of, takes_tubes
from vigilia.stream import StreamClassifier

__all__ = ["MaskedAutoencoder"]

EPSILON = 1e-3
"""Added to the variance of a cube: two grey levels, so that the noise of flat walls is not blown up
to something worth learning."""


class MaskedAutoencoder(nn.Module):
    """A backbone and what teaches it.

    Args:
        model: whose backbone learns; its memory and head are left alone.
        options: of the method.
        frames: T of the clips.

    Attributes:
        visible_only: whether hidden patches are left out, not covered.

    Raises:
        OptionError: sizes that do not fit.
    """

    def __init__(self, model: StreamClassifier, options: PretrainOptions, *, frames: int) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.see = partial(features_of, model)
        self.options = options
        size = model.preprocessing
        patch = self._patch(model, options)
        self.visible_only = patch > 0
        self.cubes = divide(
            frames,
            size.height,
            size.width,
            cube_frames=options.cube_frames,
            side=patch or options.side,
        )
        self.colour = None if self.visible_only else nn.Parameter(torch.zeros(3))
        asked = ask_what(model, frames)
        self.stages = asked.stages
        self.decoder = CubeDecoder(
            asked.dims,
            dim=options.decoder_dim,
            depth=options.decoder_depth,
            pixels=self.cubes.pixels,
        )

    @staticmethod
    def _patch(model: StreamClassifier, options: PretrainOptions) -> int:
        """The side of the patches, if hidden ones can be left out; else 0."""
        backbone: Any = model.backbone
        if not takes_tubes(backbone):
            return 0
        _, tall, wide = backbone.tubelets.size
        size = model.preprocessing
        if tall != wide or size.height % tall or size.width % wide:
            return 0
        return int(tall) if options.side in (0, tall) else 0

    def forward(self, clip: Tensor) -> tuple[Tensor, dict[str, float]]:
        """clip: (B, C, T, H, W) -> the loss (), and figures to show.

        Which tubes are hidden and which cubes predicted is drawn from torch's default generator.
        """
        hidden = draw_tubes(self.cubes, self.options.mask, len(clip))
        loss = self.loss(clip, hidden)
        return loss, {"loss": float(loss.detach())}

    def loss(self, clip: Tensor, hidden: Tensor) -> Tensor:
        """The same for tubes that are given: hidden (B, N) bool, equally many in each clip."""
        tokens, places = self.encode(clip, hidden)
        asked, truth = self._questions(clip, hidden)
        said = self.decoder(tokens, places, asked)
        mean = truth.mean(dim=-1, keepdim=True)
        deviation = (truth.var(dim=-1, keepdim=True, unbiased=False) + EPSILON).sqrt()
        return (said.float() - (truth - mean) / deviation).square().mean()

    def encode(self, clip: Tensor, hidden: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """What the backbone makes of the visible part.

        Returns:
            Tokens of the stages that are asked, (B, S, D) each, and where they are, (B, S, 3).
        """
        if self.colour is None:
            return self._encode_visible(clip, hidden)
        covered = hide_tubes(clip, hidden, self.colour, self.cubes)
        features = self.see(covered)
        chosen = [features[number - 1] for number in self.stages]
        places = [_grid_places(x).expand(len(x), -1, -1) for x in chosen]
        return [x.flatten(1, 3) for x in chosen], places

    def _encode_visible(self, clip: Tensor, hidden: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        backbone: Any = self.backbone
        x = backbone.embed(clip).flatten(2, 3)  # (B, T', N, D)
        seen = (~hidden).nonzero()[:, 1].view(len(clip), -1).to(x.device)  # (B, N')
        kept = x.gather(2, seen[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3]))
        features = backbone.encode(kept[:, :, None])  # each (B, T', 1, N' or 1, D)
        chosen = [features[number - 1] for number in self.stages]
        tokens, places = [], []
        flat = places_of(self.cubes)[0, :, 1:].to(x)[seen]  # (B, N', 2)
        for one in chosen:
            where = _grid_places(one).expand(len(one), -1, -1)
            if one.shape[3] == seen.shape[1]:
                where = torch.cat(
                    [where[..., :1], flat.repeat(1, one.shape[1], 1)], dim=-1
                )  # (B, T' * N', 3)
            tokens.append(one.flatten(1, 3))
            places.append(where)
        return tokens, places

    def _questions(self, clip: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Some hidden cubes of each clip: where they are (B, Q, 3), what they show (B, Q, P)."""
        cubes = self.cubes
        squares = hidden.nonzero()[:, 1].view(len(clip), -1)  # (B, M)
        every = torch.arange(cubes.times)[:, None] * cubes.squares + squares[:, None]
        every = every.flatten(1)  # (B, T' * M): number of each hidden cube
        count = min(self.options.targets, every.shape[1])
        chosen = every.gather(1, torch.rand(every.shape).argsort(dim=1)[:, :count]).to(clip.device)
        truth = cut_cubes(clip.float(), cubes).flatten(1, 2)  # (B, T' * N, P)
        truth = truth.gather(1, chosen[..., None].expand(-1, -1, truth.shape[-1]))
        return places_of(cubes).flatten(0, 1).to(clip.device)[chosen], truth


def _grid_places(x: Tensor) -> Tensor:
    """x: (B, T', H', W', D) -> (1, T' * H' * W', 3), the centres of its cells."""
    grid = Cubes(1, 1, x.shape[1], x.shape[2], x.shape[3])
    return places_of(grid).flatten(0, 1)[None].to(x.device)
