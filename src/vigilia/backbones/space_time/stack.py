"""Blocks in a row: built, run with the readers in the last one, and given fresh weights.

Letters: B streams, T' H' W' the token grid, D features, R P tokens beside the grid.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.backbones.space_time.attention import StepAttention
from vigilia.backbones.space_time.block import Activation, AttentionStep, Block
from vigilia.backbones.space_time.schemes import Scheme
from vigilia.errors import OptionError
from vigilia.layers.windows import Size

__all__ = ["check_depth", "draw_weights", "make_blocks", "on_class_token", "run_blocks"]


def make_blocks(
    scheme: Scheme,
    rates: list[float],
    *,
    dim: int,
    heads: int,
    grid: Size,
    mlp_ratio: float,
    activation: Activation,
    checkpoint_activations: bool,
    places: int = 256,
    features: int = 256,
    first_seed: int = 0,
) -> list[Block]:
    """One block for each rate of stochastic depth; the other arguments are those of `SpaceTime`."""
    blocks = []
    for index, rate in enumerate(rates):
        steps = []
        for number, step in enumerate(scheme.steps):
            attention = StepAttention(
                dim,
                heads,
                step,
                grid=grid,
                places=places,
                features=features,
                seed=first_seed + index,
            )
            between = scheme.between and number < len(scheme.steps) - 1
            steps.append(AttentionStep(dim, attention, between=between))
        blocks.append(
            Block(
                steps,
                dim=dim,
                mlp_ratio=mlp_ratio,
                activation=activation,
                drop_path=rate,
                checkpoint_activations=checkpoint_activations,
            )
        )
    return blocks


def run_blocks(
    blocks: nn.Module,
    x: Tensor,
    beside: Tensor | None,
    reader: Reader | None,
    beside_reader: Reader | None,
) -> tuple[Tensor, Tensor | None]:
    """The readers read in the last block."""
    own = list(cast(nn.ModuleList, blocks))
    last = len(own) - 1
    for index, block in enumerate(own):
        here = (reader, beside_reader) if index == last else (None, None)
        x, beside = block(x, beside, *here)
    return x, beside


def on_class_token(reader: Reader) -> Reader:
    """A reader of (B, R, 1, 1, D) for the first of the tokens beside the grid (B, R, P, D)."""

    def read(beside: Tensor) -> Tensor:
        added = reader(beside[:, :, None, :1])[:, :, 0]  # (B, R, 1, D)
        return torch.cat([added, torch.zeros_like(beside[:, :, 1:])], dim=2)

    return read


def check_depth(depth: int, stages: int) -> None:
    """Raises:
    OptionError: the blocks do not divide into stages.
    """
    if stages < 1 or depth < stages or depth % stages:
        raise OptionError(f"depth must be a multiple of the {stages} stages, got {depth}")


def draw_weights(model: nn.Module) -> None:
    """Fresh weights of every linear layer and learned token, from torch's default generator."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.trunc_normal_(module.weight, std=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, StepAttention) and module.step.mixer == "linformer":
            # A fresh place is a random mean: it keeps the size of what it gathers.
            for places in (module.key_places, module.value_places):
                nn.init.normal_(places, std=places[0].numel() ** -0.5)
    beside = getattr(model, "beside", None)
    if beside is not None:
        nn.init.trunc_normal_(beside, std=0.02)
