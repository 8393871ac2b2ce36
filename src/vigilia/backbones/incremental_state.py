"""What incremental Video Swin keeps of a stream: keys and values of the chunk before.

Letters: B streams, G windows, N tokens of one window and chunk, h heads, d features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vigilia.state import State

__all__ = ["BlockState", "StageState"]


@dataclass(frozen=True)
class BlockState(State):
    """Keys and values of the chunk before, in the windows of this block and the order of its plan.

    Attributes:
        past_keys: (B, G, h, N, d).
        past_values: (B, G, h, N, d).
    """

    past_keys: Tensor
    past_values: Tensor


@dataclass(frozen=True)
class StageState(State):
    """What the blocks of one stage have kept.

    Attributes:
        filled: (B,) bool, whether there is a chunk before.
        blocks: one for each block.
    """

    filled: Tensor
    blocks: tuple[BlockState, ...]
