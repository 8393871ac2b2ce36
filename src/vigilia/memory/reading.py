"""Reading: the current clip's tokens attend to what is remembered.

Letters: B streams, N tokens of a clip, M tokens of a slot, L slots, S keys, D features, h heads,
A knots of the age bias.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.layers.attention import attend

__all__ = [
    "AGE_KNOTS",
    "EmbeddingReader",
    "FeedbackReadout",
    "MemoryReader",
    "age_bias",
    "slot_bias",
]

AGE_KNOTS = 21
"""Knots of the age bias: 0, 1, 3, 7, ... 2^20 - 1 seconds, the last about twelve days."""


def age_bias(table: Tensor, age_seconds: Tensor) -> Tensor:
    """Looks a bias up by age, piecewise linear in log2(1 + seconds).

    table: (h, A), age_seconds: (B, L) float64 -> (B, h, L).

    Knot k lies at an age of 2^k - 1 seconds: with a table row of 0, 10, 20 the ages 0, 1 and 3
    seconds give 0, 10 and 20. Ages beyond the last knot take its value.
    """
    position = torch.log2(1 + age_seconds.clamp(min=0)).clamp(max=table.shape[1] - 1)  # (B, L)
    lower = position.floor().clamp(max=table.shape[1] - 2)
    share = (position - lower).to(table.dtype)
    index = lower.long()
    return torch.lerp(table[:, index], table[:, index + 1], share).transpose(0, 1)


def slot_bias(table: Tensor, age_seconds: Tensor, filled: Tensor, tokens: int) -> Tensor:
    """The bias on every stored key: its slot's age bias, -inf where the slot is empty.

    table: (h, A), age_seconds: (B, L), filled: (B, L) bool -> (B, h, 1, L * M), M = `tokens`.

    Empty slots are hidden row by row, never filled with zeros: a zero key still takes its share
    of the attention.
    """
    bias = age_bias(table, age_seconds)
    bias = bias.masked_fill(~filled[:, None], float("-inf"))  # (B, h, L)
    return bias.repeat_interleave(tokens, dim=2)[:, :, None]


class MemoryReader(nn.Module):
    """Cross-attention from a clip to its memory, added through a gate that starts at zero.

    The keys and values of stored tokens are projected once, by `project`, when they are written.
    A learned token that is always there keeps the softmax defined while nothing is remembered.
    """

    def __init__(self, dim: int, *, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.norm_memory = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        self.no_memory = nn.Parameter(torch.zeros(2, dim))  # one key, one value
        self.age_bias = nn.Parameter(torch.zeros(heads, AGE_KNOTS))
        self.gate = nn.Parameter(torch.zeros(dim))
        nn.init.normal_(self.no_memory, std=0.02)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens: (B, M, D) -> keys (B, M, D), values (B, M, D)."""
        keys, values = self.key_value(self.norm_memory(tokens)).chunk(2, dim=-1)
        return keys, values

    def nothing(self, batch_size: int) -> tuple[Tensor, Tensor]:
        """The token that is always there: key and value, each (B, 1, D)."""
        key, value = self.no_memory.expand(batch_size, 1, 2, -1).unbind(2)
        return key, value

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """What memory adds to a clip.

        x: (B, N, D), keys: (B, S, D), values: (B, S, D), bias: (B, h, 1, S) -> (B, N, D).
        """
        mixed = attend(self.query(self.norm(x)), keys, values, heads=self.heads, bias=bias)
        return self.gate * self.output(mixed)


class EmbeddingReader(nn.Module):
    """The same memory, read once more by the clip's pooled embedding, through a gate of its own.

    It reads after the clip was written, so that what the clip itself added to the memory counts at
    once, and the loss reaches the writer without a detour through the next clip's blocks.

    Args:
        dim: D of the embedding.
        memory_dim: width of the memory's keys and values.
        heads: h; divides `memory_dim`.
    """

    def __init__(self, dim: int, *, memory_dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, memory_dim)
        self.output = nn.Linear(memory_dim, dim)
        self.gate = nn.Parameter(torch.zeros(dim))
        nn.init.xavier_uniform_(self.output.weight)  # the gate alone is to hold it back

    def forward(self, embedding: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
        """embedding: (B, D), keys and values: (B, S, M), bias: (B, h, 1, S) -> (B, D)."""
        query = self.query(self.norm(embedding))[:, None]
        mixed = attend(query, keys, values, heads=self.heads, bias=bias)
        return self.gate * self.output(mixed)[:, 0]


class FeedbackReadout(nn.Module):
    """All feedback tokens at once, for the pooled embedding: no attention has to find them first.

    Each feature of each token has a weight of its own, so that tokens may keep different things,
    as the units of a recurrent network do. A hidden layer hears the clip beside them: whether
    this is what was shown before, or what the cell that is asked for holds, depends on both at
    once, and no sum of the two can tell.

    Args:
        dim: D of the embedding.
        memory_dim: M, width of the tokens.
        tokens: F.
        hidden: units of the hidden layer; 0 for none.
    """

    def __init__(self, dim: int, *, memory_dim: int, tokens: int, hidden: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.empty(tokens, memory_dim))
        self.norm = nn.LayerNorm(dim) if hidden else None
        self.hear = nn.Linear(dim, hidden) if hidden else None
        self.hold = nn.Linear(memory_dim, hidden) if hidden else None
        self.output = nn.Linear(memory_dim + hidden, dim)
        self.gate = nn.Parameter(torch.zeros(dim))
        nn.init.normal_(self.weights, std=tokens**-0.5)
        nn.init.xavier_uniform_(self.output.weight)  # the gate alone is to hold it back

    def forward(self, tokens: Tensor, embedding: Tensor) -> Tensor:
        """tokens: (B, F, M), embedding: (B, D) -> (B, D)."""
        held = (tokens * self.weights).sum(dim=1)
        if self.norm is not None and self.hear is not None and self.hold is not None:
            both = F.gelu(self.hear(self.norm(embedding)) + self.hold(held))
            held = torch.cat([held, both], dim=1)
        return self.gate * self.output(held)
