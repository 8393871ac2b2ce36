"""What every memory is to the stream classifier.

Letters: B streams, T H W token grid, D features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor

from vigilia.backbones import Reader
from vigilia.errors import OptionError
from vigilia.state import State

__all__ = ["Features", "Memory", "Readers", "chosen_dims"]

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


def chosen_dims(
    stage_dims: tuple[int, ...], stages: tuple[int, ...], *, head_dim: int
) -> tuple[int, ...]:
    """D of the chosen stages.

    Args:
        stage_dims: D of every stage of the backbone.
        stages: those that are remembered, counted from 1.
        head_dim: features per attention head.

    Raises:
        OptionError: no such stage, or its features do not divide into heads.
    """
    if not stages or any(not 1 <= stage <= len(stage_dims) for stage in stages):
        raise OptionError(f"stages must lie in 1..{len(stage_dims)}, got {stages}")
    for stage in stages:
        if head_dim < 1 or stage_dims[stage - 1] % head_dim:
            raise OptionError(
                f"head_dim must divide the features of stage {stage}, "
                f"got {head_dim} and {stage_dims[stage - 1]}"
            )
    return tuple(stage_dims[stage - 1] for stage in stages)
