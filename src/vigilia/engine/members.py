"""What the engine keeps of one stream beside its state: queue, last result, counts, lag.

Letters: K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vigilia.engine.batching import Candidate
from vigilia.engine.lag import LagMeter
from vigilia.engine.queues import PieceQueue, Waiting
from vigilia.engine.results import Result, StreamStats

__all__ = ["Member"]


@dataclass(eq=False)
class Member:
    """One stream in the engine; its state lies in the pool.

    Attributes:
        name: of the stream.
        row: of the pool.
        queue: what waits.
        fresh: the next step starts anew.
        last: (K,) probabilities of the last step; None before it.
        served: number of the batch that served it last.
        steps, kept, dropped: counts of clips.
        stale: a clip was dropped since the last step; "nothing has moved" may then have been said
            about a clip that nobody stepped.
        closed: nothing more comes; `error` says why, `ended` that it was told.
        in_flight: a batch under way holds the row.
        removed: the row is given back behind that batch.
        lag: of the last results.
    """

    name: str
    row: int
    queue: PieceQueue
    fresh: bool = True
    last: np.ndarray | None = None
    served: int = -1
    steps: int = 0
    kept: int = 0
    dropped: int = 0
    stale: bool = False
    closed: bool = False
    error: Exception | None = None
    ended: bool = False
    in_flight: bool = False
    removed: bool = False
    lag: LagMeter = field(default_factory=LagMeter)

    @property
    def needs_no_step(self) -> bool:
        """Whether what comes next costs nothing: a hole, a still clip, the end."""
        head = self.queue.head
        if head is None:
            return self.closed and not self.ended
        if head.piece.frames is None:
            return True
        known = self.last is not None and not (self.fresh or self.stale)
        return head.piece.still and known

    @property
    def candidate(self) -> Candidate | None:
        """This stream, if it has a clip to step."""
        head = self.queue.head
        if head is None or self.needs_no_step:
            return None
        return Candidate(self.name, head.ready_at, self.served)

    def pass_over(self, now: float) -> Result:
        """The result of what `needs_no_step`."""
        if self.queue.head is None:
            self.ended = True
            return Result(self.name, "ended", error=self.error)
        waiting = self.queue.pop()
        if waiting.piece.frames is None:
            kind = "dropped" if waiting.dropped else "hole"
            return self._result(waiting, kind, None, now)
        self.kept += 1
        return self._result(waiting, "kept", self.last, now)

    def stepped(
        self, waiting: Waiting, probabilities: np.ndarray, batch: int, now: float
    ) -> Result:
        """The result of a step in the batch of that number."""
        self.in_flight = False
        self.stale = self.queue.lost
        self.last = probabilities
        self.served = batch
        self.steps += 1
        return self._result(waiting, "stepped", probabilities, now)

    def stats(self) -> StreamStats:
        """The counts and lags so far."""
        return StreamStats(
            steps=self.steps,
            kept=self.kept,
            dropped=self.dropped,
            waiting=len(self.queue),
            lag_seconds=self.lag.last_seconds,
            lag_p50_seconds=self.lag.quantile(0.5),
            lag_p95_seconds=self.lag.quantile(0.95),
        )

    def _result(
        self, waiting: Waiting, kind: str, probabilities: np.ndarray | None, now: float
    ) -> Result:
        lag = now - waiting.ready_at
        if probabilities is not None:
            self.lag.add(lag)
        return Result(
            name=self.name,
            kind=kind,
            start_seconds=waiting.piece.start_seconds,
            end_seconds=waiting.piece.end_seconds,
            probabilities=probabilities,
            lag_seconds=lag,
            dropped=waiting.dropped,
            place=waiting.piece.place,
        )
