"""What every memory is to the stream classifier.

Letters: B streams, T H W token grid, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from vigilia.backbones import Reader
from vigilia.state import State

__all__ = ["Features", "Memory", "Readers"]

Features = tuple[Tensor, ...]
"""Tokens of each stage, (B, T, H, W, D) channels last; stage s lies at index s - 1."""

Readers = Mapping[int, Reader]
"""Stage number -> what memory adds to that stage's tokens, same shape in and out."""


class Memory(Protocol):
    """A memory: read while the backbone runs, written when it is done, all of it in the state."""

    embedding_dim: int

    def init_state(self, batch_size: int, *, device: torch.device, dtype: torch.dtype) -> State:
        """The empty memory of `batch_size` streams: all zeros."""
        ...

    def readers(self, state: State, *, seconds: Tensor, clips: Tensor) -> Readers:
        """What the backbone's stages are to call.

        Args:
            state: memory before this clip.
            seconds: (B,) float64, when each row's clip ended.
            clips: (B,) int64, how many clips each row has seen before this one.
        """
        ...

    def update(
        self, features: Features, pooled: Tensor, state: State, *, seconds: Tensor, clips: Tensor
    ) -> tuple[Tensor, State]:
        """Writes this clip and returns what the head classifies.

        Args:
            features: tokens of every stage.
            pooled: (B, D) the backbone's own summary of the clip.
            state: memory before this clip.
            seconds: as in `readers`.
            clips: as in `readers`.

        Returns:
            The embedding (B, embedding_dim) and the memory after this clip.
        """
        ...
