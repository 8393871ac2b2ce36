"""A block: the attention steps of a scheme, memory's increment, then an MLP on every token.

Letters: B streams, T H W the token grid, D features, R P tokens beside the grid.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vigilia.backbones.base import Reader
from vigilia.backbones.space_time.attention import StepAttention
from vigilia.layers.drop import DropPath

__all__ = ["NORM_EPSILON", "Activation", "AttentionStep", "Block", "drop_path_rates", "make_mlp"]

NORM_EPSILON = 1e-6

Activation = Literal["exact", "tanh"]
"""Which GELU: TimeSformer's is exact, ViViT's is the approximation by tanh."""


def make_mlp(dim: int, ratio: float, activation: Activation) -> nn.Sequential:
    """Two linear layers with a GELU between them. (..., D) -> (..., D)."""
    hidden = int(dim * ratio)
    gelu = nn.GELU(approximate="tanh" if activation == "tanh" else "none")
    return nn.Sequential(nn.Linear(dim, hidden), gelu, nn.Linear(hidden, dim))


def drop_path_rates(greatest: float, depth: int) -> list[float]:
    """Stochastic depth of every block: rises linearly from zero."""
    return torch.linspace(0.0, greatest, depth, device="cpu").tolist()


class AttentionStep(nn.Module):
    """Norm, attention and, between two steps, a further linear layer; without the residual."""

    def __init__(self, dim: int, attention: StepAttention, *, between: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.attention = attention
        self.between = nn.Linear(dim, dim) if between else None

    def forward(self, x: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """x: (B, T, H, W, D), beside: (B, R, P, D) -> what is to be added to each."""
        normed = None if beside is None else self.norm(beside)
        x, beside = self.attention(self.norm(x), normed)
        if self.between is None:
            return x, beside
        return self.between(x), None if beside is None else self.between(beside)


class Block(nn.Module):
    """Steps, reading, MLP, each a residual.

    Args:
        steps: one after another.
        dim: D.
        mlp_ratio: hidden width of the MLP over D.
        activation: of the MLP.
        drop_path: probability of dropping a residual in training.
        checkpoint_activations: while training, keep inputs only and recompute the rest.
    """

    def __init__(
        self,
        steps: list[AttentionStep],
        *,
        dim: int,
        mlp_ratio: float,
        activation: Activation,
        drop_path: float,
        checkpoint_activations: bool,
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.norm = nn.LayerNorm(dim, eps=NORM_EPSILON)
        self.mlp = make_mlp(dim, mlp_ratio, activation)
        self.drop_path = DropPath(drop_path)
        self.checkpoint_activations = checkpoint_activations

    def forward(
        self,
        x: Tensor,
        beside: Tensor | None = None,
        reader: Reader | None = None,
        beside_reader: Reader | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """x: (B, T, H, W, D), beside: (B, R, P, D) -> the same shapes.

        Args:
            x: the grid.
            beside: tokens beside it.
            reader: memory's increment to the grid.
            beside_reader: memory's increment to what is beside it.
        """
        # The readers stay outside what is recomputed, so that they run once even then.
        again = self.checkpoint_activations and self.training and torch.is_grad_enabled()
        if again:
            x, beside = checkpoint(self._attend, x, beside, use_reentrant=False)
        else:
            x, beside = self._attend(x, beside)
        if reader is not None:
            x = x + reader(x)
        if beside_reader is not None and beside is not None:
            beside = beside + beside_reader(beside)
        if again:
            return checkpoint(self._transform, x, beside, use_reentrant=False)
        return self._transform(x, beside)

    def _attend(self, x: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor | None]:
        for step in self.steps:
            added, added_beside = step(x, beside)
            x = x + self.drop_path(added)
            if beside is not None and added_beside is not None:
                beside = beside + self.drop_path(added_beside)
        return x, beside

    def _transform(self, x: Tensor, beside: Tensor | None) -> tuple[Tensor, Tensor | None]:
        x = x + self.drop_path(self.mlp(self.norm(x)))
        if beside is not None:
            beside = beside + self.drop_path(self.mlp(self.norm(beside)))
        return x, beside
