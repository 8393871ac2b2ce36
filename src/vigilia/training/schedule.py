"""The course of a training: how many updates an epoch has, and how long their chunks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vigilia.training.options import TrainOptions

__all__ = ["Moment", "Schedule", "best_score", "chunk_clips_at", "has_stalled", "make_schedule"]


@dataclass(frozen=True)
class Moment:
    """Where in the course an update lies.

    Attributes:
        epoch: from 0.
        chunk_clips: K of this update.
        ends_epoch: whether it is the last update of its epoch.
        reach: only clips whose state began at most so many clips ago are scored; None for all.
    """

    epoch: int
    chunk_clips: int
    ends_epoch: bool
    reach: int | None


@dataclass(frozen=True)
class Schedule:
    """The whole course.

    Attributes:
        chunks: K of each epoch.
        ends: (epochs,) number of updates made when each epoch is over.
        recent: whether clips are left out before the last part of the curriculum.
    """

    chunks: tuple[int, ...]
    ends: tuple[int, ...]
    recent: bool

    @property
    def total(self) -> int:
        """Updates of all epochs."""
        return self.ends[-1]

    def at(self, update: int) -> Moment:
        """Where update number `update`, from 0, lies."""
        epoch = int(np.searchsorted(self.ends, update, side="right"))
        clips = self.chunks[epoch]
        limited = self.recent and clips != self.chunks[-1]
        return Moment(epoch, clips, update + 1 == self.ends[epoch], clips if limited else None)


def chunk_clips_at(done: int, total: int, options: TrainOptions) -> int:
    """K when `done` of `total` epochs, or updates, are over: equal parts of the curriculum.

    With the curriculum (2, 4, 8) six epochs have 2, 2, 4, 4, 8, 8.
    """
    if not options.curriculum:
        return options.chunk_clips
    return options.curriculum[done * len(options.curriculum) // total]


def make_schedule(clips: int, options: TrainOptions) -> Schedule:
    """The course over recordings that have so many clips together; no epoch is empty."""
    chunks = tuple(
        chunk_clips_at(epoch, options.epochs, options) for epoch in range(options.epochs)
    )
    updates = [max(1, clips // (options.rows * length)) for length in chunks]
    return Schedule(chunks, tuple(np.cumsum(updates).tolist()), options.curriculum_recent)


def best_score(history: Sequence[dict[str, Any]], metric: str) -> float | None:
    """The highest validation figure so far; None without one."""
    return max((entry[metric] for entry in history if metric in entry), default=None)


def has_stalled(history: Sequence[dict[str, Any]], options: TrainOptions) -> bool:
    """Whether the last `patience` epochs all failed to be better than the best before them."""
    scores = [entry[options.metric] for entry in history if options.metric in entry]
    if not options.patience or len(scores) <= options.patience:
        return False
    return max(scores[-options.patience :]) <= max(scores[: -options.patience])
