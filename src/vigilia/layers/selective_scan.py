"""The recurrence of a selective state space, over a whole sequence at once or step by step.

    h[t] = decay[t] * h[t - 1] + drive[t]

is associative: two steps after each other are one step with the product of the decays. So T steps
take log2(T) rounds over the whole sequence in place of T rounds over one step. Sequences are cut
into chunks, so that a long one does not need T log T memory.

"Mamba: Linear-Time Sequence Modeling with Selective State Spaces", Gu, Dao, 2023; the scan is that
of "Data Parallel Algorithms", Hillis, Steele, 1986. Letters: B streams, T times.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["scan"]


def scan(decay: Tensor, drive: Tensor, first: Tensor, *, chunk: int = 32) -> Tensor:
    """decay, drive: (B, T, ...), first: (B, ...) -> h (B, T, ...) of every step.

    Nothing is divided, so a decay of exactly zero is allowed: there the past is forgotten.

    Args:
        decay: what is left of h after a step.
        drive: what a step adds.
        first: h before the first step.
        chunk: steps that are scanned at once; between chunks h is carried.
    """
    states = []
    for decays, drives in zip(decay.split(chunk, dim=1), drive.split(chunk, dim=1), strict=True):
        states.append(_scan_chunk(decays, drives, first))
        first = states[-1][:, -1]
    return torch.cat(states, dim=1)


def _scan_chunk(decay: Tensor, drive: Tensor, first: Tensor) -> Tensor:
    steps, reach = decay.shape[1], 1
    while reach < steps:  # afterwards every element stands for the last 2 * reach steps
        later_decay, later_drive = decay[:, reach:], drive[:, reach:]
        drive = torch.cat([drive[:, :reach], later_decay * drive[:, :-reach] + later_drive], dim=1)
        decay = torch.cat([decay[:, :reach], later_decay * decay[:, :-reach]], dim=1)
        reach *= 2
    return decay * first[:, None] + drive
