"""Which streams are stepped together, and when: plain functions on what waits.

A batch has a fixed number of rows. It is due when it is full, or when the oldest clip that waits
has waited for the deadline. Rows go to the streams that were served longest ago, so that under
overload every stream gets the same number of steps, whatever it demands; among streams served
equally long ago the oldest clip comes first. A stream takes one row at most: its next clip needs
the state that this one leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Candidate", "choose", "due_in_seconds"]


@dataclass(frozen=True)
class Candidate:
    """A stream with a clip to step.

    Attributes:
        name: of the stream.
        ready_at: when the clip's last frame was there.
        served: number of the batch that served it last; -1 for none.
    """

    name: str
    ready_at: float
    served: int


def due_in_seconds(
    waiting: Sequence[Candidate], *, batch: int, deadline_seconds: float, now: float
) -> float | None:
    """Seconds until a batch is due, 0 if one is; None if nothing waits."""
    if not waiting:
        return None
    if len(waiting) >= batch:
        return 0.0
    return max(0.0, min(one.ready_at for one in waiting) + deadline_seconds - now)


def choose(waiting: Sequence[Candidate], *, batch: int, batches: int = 1) -> list[list[Candidate]]:
    """The streams of the next batches: one of up to `batch` rows, and more if they are full."""
    ordered = sorted(waiting, key=lambda one: (one.served, one.ready_at, one.name))
    full = max(1, min(batches, len(ordered) // batch))
    return [ordered[begin : begin + batch] for begin in range(0, full * batch, batch)]
