"""What a step of a causal block is: it sees the times up to its own, and carries the earlier ones.

Letters: B streams, F new times, H W the token grid, D features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from vigilia.state import State

__all__ = ["TimeStep"]


class TimeStep(nn.Module, ABC):
    """A mixer whose output at a time depends on that time and earlier ones alone.

    F times at once equal F calls with one time each, within rounding.

    Attributes:
        lags: how many times before its own can reach an output; None is all there ever were.
    """

    lags: int | None

    @abstractmethod
    def init_state(
        self, batch_size: int, grid: tuple[int, int], *, device: torch.device, dtype: torch.dtype
    ) -> State:
        """What is carried before anything was seen, all zeros, for a token grid (H, W)."""

    @abstractmethod
    def forward(self, x: Tensor, state: State, before: Tensor) -> tuple[Tensor, State]:
        """x: (B, F, H, W, D) -> the same shape, without the residual, and what is carried on.

        Args:
            x: tokens of the new times.
            state: carried from the times before.
            before: (B, F) int64, how many earlier times each one may see; 0 where a stream starts.
        """

    def reset_parameters(self) -> None:
        """Draws what must not be drawn like every other linear layer; nothing by default."""
