"""From what a backbone made of the visible to the pixels of hidden cubes.

A hidden cube is a question: a learned token with the cube's place in it asks the backbone's tokens
by cross-attention, and answers with pixels. Questions do not see each other, so that any number of
them can be asked (Fu, Yala, Wei and others, "Rethinking Patch Dependence for Masked Autoencoders",
2024, find nothing lost by it); and a backbone may have any grid, or lack one, as long as its tokens
have places.

Letters: B clips, Q cubes, P pixels of a cube, S tokens of all stages, D features, E width here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vigilia.layers.attention import attend

__all__ = ["CubeDecoder", "encode_places"]

HEADS = 4
FINEST = 16.0
"""Waves across the picture of the fastest feature of a place; the slowest makes half of one."""


def encode_places(places: Tensor, dim: int) -> Tensor:
    """places: (..., 3) from 0 to 1 -> (..., E): sines and cosines of each axis, E / 6 of each."""
    count = dim // 6
    waves = torch.logspace(math.log10(0.5), math.log10(FINEST), count, device=places.device)
    angles = 2 * math.pi * places[..., None] * waves  # (..., 3, E / 6)
    return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(-2)


class CubeDecoder(nn.Module):
    """Cross-attention from hidden cubes to tokens.

    Args:
        dims: D of every stage that is asked.
        dim: E; a multiple of 24.
        depth: blocks.
        pixels: P.
    """

    def __init__(self, dims: Sequence[int], *, dim: int, depth: int, pixels: int) -> None:
        super().__init__()
        self.dim = dim
        self.entrances = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, dim)) for width in dims
        )
        self.question = nn.Parameter(torch.zeros(dim))
        self.blocks = nn.ModuleList(_Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.pixels = nn.Linear(dim, pixels)
        nn.init.normal_(self.question, std=0.02)

    def forward(self, tokens: Sequence[Tensor], places: Sequence[Tensor], asked: Tensor) -> Tensor:
        """The pixels of the cubes that are asked for, (B, Q, P).

        Args:
            tokens: of every stage, (B, S_s, D_s).
            places: of them, (B, S_s, 3).
            asked: (B, Q, 3) the places of the cubes.
        """
        known = torch.cat(
            [
                entrance(of_stage) + encode_places(where, self.dim)
                for entrance, of_stage, where in zip(self.entrances, tokens, places, strict=True)
            ],
            dim=1,
        )  # (B, S, E)
        x = self.question + encode_places(asked, self.dim)
        for block in self.blocks:
            x = block(x, known)
        return self.pixels(self.norm(x))


class _Block(nn.Module):
    """Cross-attention and an MLP, each a residual."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.norm_known = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        self.mlp = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """x: (B, Q, E), known: (B, S, E) -> (B, Q, E)."""
        keys, values = self.key_value(self.norm_known(known)).chunk(2, dim=-1)
        mixed = attend(self.query(self.norm(x)), keys, values, heads=HEADS)
        x = x + self.output(mixed)
        return x + self.mlp(x)
