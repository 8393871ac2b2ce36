"""No memory: the plain backbone, which every claim about memory is held against."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vigilia.memory.base import Features, Readers
from vigilia.state import State

__all__ = ["NoMemory", "NoState"]


@dataclass(frozen=True)
class NoState(State):
    """Nothing."""


class NoMemory(nn.Module):
    """Passes the backbone's pooled summary through."""

    def __init__(self, *, embedding_dim: int) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim

    def init_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> NoState:
        """The only state there is."""
        return NoState()

    def readers(self, state: NoState, *, seconds: Tensor, clips: Tensor) -> Readers:
        """None."""
        return {}

    def update(
        self, features: Features, pooled: Tensor, state: NoState, *, seconds: Tensor, clips: Tensor
    ) -> tuple[Tensor, NoState]:
        """pooled: (B, D) -> pooled."""
        return pooled, state
