"""Forward and backward over one chunk of clips: what an update learns from.

Letters: B rows, K clips of a chunk.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vigilia.state import detach, map_tensors
from vigilia.stream import StreamState
from vigilia.training.rows import Batch, Cursor, Places, jump, next_batch
from vigilia.training.schedule import Moment
from vigilia.training.stretch import View, stretch_loss, weight_of
from vigilia.training.temporal import temporal_loss
from vigilia.training.worker import Worker

__all__ = ["Chunk", "plan_chunk", "train_chunk"]


class Chunk(NamedTuple):
    """What all rows are to play in an update, and where they stand behind it."""

    batches: list[Batch]
    cursor: Cursor


def plan_chunk(places: Places, cursor: Cursor, update: int, moment: Moment) -> Chunk:
    """Decides which rows play on, and lists the K clips of every row.

    Every process plans all rows, from the same numbers; so all know what the loss is divided by.
    """
    options = places.options
    random = np.random.default_rng([options.seed, 4, update])
    leaves = random.random(options.rows) >= options.carry_probability
    cursor = jump(places, cursor, leaves & ~np.array(cursor.starts))
    batches = []
    for _ in range(moment.chunk_clips):
        batch, cursor = next_batch(places, cursor, reach=moment.reach)
        batches.append(batch)
    return Chunk(batches, cursor)


def train_chunk(
    view: View,
    places: Places,
    state: StreamState,
    batches: list[Batch],
    update: int,
    weights: Tensor,
    worker: Worker,
) -> tuple[float, StreamState]:
    """Forward and backward over this process's rows; leaves gradients behind.

    The rows run in `accumulate` parts; the loss is the weighted mean over all scored clips of all
    rows, in whichever part or process they are.

    Args:
        view: how the model, in training mode, sees a clip.
        places: what the batches point into.
        state: of this process's rows; gradient does not reach beyond it.
        batches: K, of all rows.
        update: number of this update, from 0.
        weights: (classes,) of the loss.
        worker: which process this is.

    Returns:
        This process's part of the loss, and the state behind the chunk, without gradient.
    """
    options = places.options
    scale = 1 / weight_of(batches, weights)
    own = worker.rows(options.rows)
    size = (own.stop - own.start) // options.accumulate
    # Divided by all that is scored further down, and shared by the parts.
    amount = size / options.rows / scale
    temporal = temporal_loss(options, amount=amount)
    loss, behind = 0.0, []
    for part in range(options.accumulate):
        first = own.start + part * size
        rows = slice(first, first + size)
        torch.manual_seed(_seed_of(options.seed, update, first))  # DropPath
        before = _part(state, slice(part * size, (part + 1) * size))
        total, after = stretch_loss(
            view,
            [batch.rows(rows) for batch in batches],
            before,
            weights,
            label_smoothing=options.label_smoothing,
            label_weight=options.label_weight,
            temporal=temporal,
            amount=amount,
        )
        mean = total * scale
        if mean.requires_grad:
            mean.backward()
        loss += float(mean.detach())
        behind.append(detach(after))
    if len(behind) == 1:
        return loss, behind[0]
    return loss, map_tensors(lambda *parts: torch.cat(parts), *behind)


def _part(state: StreamState, rows: slice) -> StreamState:
    return map_tensors(lambda tensor: tensor[rows], state)


def _seed_of(seed: int, update: int, first: int) -> int:
    parts = [seed, 5, update, first] if first else [seed, 5, update]
    return int(np.random.default_rng(parts).integers(2**62))
