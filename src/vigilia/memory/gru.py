"""The baseline every table shows: one recurrent layer over pooled clip features.

After An et al., "MiniROAD: Minimal RNN framework for online action detection" (ICCV 2023), whose
one-layer GRU is above most transformers on THUMOS14.

Letters: B streams, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vigilia.memory.base import Features, Readers
from vigilia.state import State

__all__ = ["GruMemory", "GruState"]


@dataclass(frozen=True)
class GruState(State):
    """hidden: (B, hidden)."""

    hidden: Tensor


class GruMemory(nn.Module):
    """A GRU cell over the pooled clip; the head sees the clip and the hidden state side by side.

    Args:
        embedding_dim: D of the backbone's pooled summary.
        hidden: width of the recurrent state.
    """

    def __init__(self, *, embedding_dim: int, hidden: int = 1024) -> None:
        super().__init__()
        self.hidden = hidden
        self.embedding_dim = embedding_dim + hidden
        self.norm = nn.LayerNorm(embedding_dim)
        self.cell = nn.GRUCell(embedding_dim, hidden)

    def init_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> GruState:
        """A hidden state of zeros."""
        return GruState(torch.zeros(batch_size, self.hidden, device=device, dtype=dtype))

    def readers(self, state: GruState, *, seconds: Tensor, clips: Tensor) -> Readers:
        """None: the backbone runs as it would without memory."""
        return {}

    def update(
        self, features: Features, pooled: Tensor, state: GruState, *, seconds: Tensor, clips: Tensor
    ) -> tuple[Tensor, GruState]:
        """pooled: (B, D) -> embedding (B, D + hidden)."""
        hidden = self.cell(self.norm(pooled), state.hidden.to(pooled.dtype))
        return torch.cat([pooled, hidden], dim=1), GruState(hidden.to(state.hidden.dtype))
