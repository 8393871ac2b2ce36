"""How a stream gets into the engine and out of it: started, stopped, ended.

What must not happen between a step and its result (a snapshot, the end of a stream) is handed to
the thread that steps.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from vigilia.engine import Feeder, Piece, StepEngine
from vigilia.errors import VigiliaError
from vigilia.serving.cameras import Watch
from vigilia.serving.feeding import Feeding
from vigilia.serving.hub import Hub
from vigilia.serving.ledger import Ledger
from vigilia.serving.results import ResultTaker
from vigilia.serving.status import report, set_status
from vigilia.serving.watched import Watched

__all__ = ["Running"]

log = logging.getLogger("vigilia.serving")

_LET_GO_SECONDS = 2.0


class Running:
    """The streams that run; the caller sees to it that one change comes behind the other.

    Args:
        engine: that steps them.
        taker: of their results.
        feeding: makes their pieces.
        ledger: says which were read to their end.
        hub: told of their status.

    Attributes:
        between_steps: runs a function between two steps and waits for it.
    """

    def __init__(
        self,
        engine: StepEngine,
        taker: ResultTaker,
        feeding: Feeding,
        ledger: Ledger,
        hub: Hub,
    ) -> None:
        self._engine = engine
        self._taker = taker
        self._feeding = feeding
        self._ledger = ledger
        self._hub = hub
        self._by_engine_name: dict[str, Watched] = {}
        self._generation = 0
        self.between_steps: Callable[[Callable[[], None]], None] = lambda function: function()

    def find(self, engine_name: str) -> Watched | None:
        """The stream of a name in the engine; None if it has none."""
        return self._by_engine_name.get(engine_name)

    @property
    def names(self) -> tuple[str, ...]:
        """The streams that run."""
        return tuple(one.name for one in list(self._by_engine_name.values()))

    def start(self, watched: Watched, *, again: bool = False) -> None:
        """Starts a stream.

        Args:
            watched: that was opened and does not run.
            again: look at a recording that was read to its end, too.
        """
        if not again and not watched.options.follow and self._ledger.ended(watched.name):
            set_status(self._hub, watched, "ended", "")
            return
        self._generation += 1
        watched.engine_name = f"{watched.name}/{self._generation}"
        watch = Watch(
            report=lambda status, problem: report(self._hub, watched, watch, status, problem)
        )
        watched.watch, watched.place = watch, None
        watched.saved_at = time.monotonic()
        self._by_engine_name[watched.engine_name] = watched
        self._engine.add(watched.engine_name)
        set_status(self._hub, watched, "waiting", "")

        def pieces() -> Iterator[Piece]:
            return self._feeding.pieces(watched, watch)

        watched.running = True
        watched.feeder = Feeder(self._engine, watched.engine_name, pieces)

    def stop(self, streams: Sequence[Watched]) -> bool:
        """Stops streams, saved first: a camera may hold its thread until its reading times out.

        Returns:
            Whether their threads have ended.
        """
        feeders = []
        for watched in streams:
            if watched.feeder is not None and watched.watch is not None:
                watched.watch.stopped.set()
                feeders.append(watched.feeder)
        if feeders:
            self.between_steps(lambda: self._detach_all(streams))
        ended = _let_go(feeders)
        for watched in streams:
            if watched.status not in ("ended", "failed"):
                set_status(self._hub, watched, "stopped", "")
        return ended

    def end(self, watched: Watched, error: Exception | None) -> None:
        """A stream has nothing more to say; in the thread that steps."""
        if watched.watch is None or watched.watch.stopped.is_set():
            return  # it was stopped
        if error is not None and not isinstance(error, VigiliaError | OSError):
            log.error("a stream failed", exc_info=error, extra={"stream": watched.name})
        self._detach(watched)
        if error is None:
            with contextlib.suppress(sqlite3.Error):  # then its end is found again next time
                self._ledger.ended(watched.name, True)
            set_status(self._hub, watched, "ended", "")
        else:
            set_status(self._hub, watched, "failed", str(error) or type(error).__name__)

    def _detach_all(self, streams: Sequence[Watched]) -> None:
        for watched in streams:
            if watched.running:
                self._detach(watched)

    def _detach(self, watched: Watched) -> None:
        """Takes a stream out of the engine; in the thread that steps, or when it has ended."""
        if watched.engine_name in self._engine.names:
            self._taker.save(watched)
            self._engine.remove(watched.engine_name)
        self._by_engine_name.pop(watched.engine_name, None)
        watched.running = False
        watched.feeder = watched.watch = watched.place = None
        watched.read = watched.state_kept = None
        watched.engine_name = ""


def _let_go(feeders: Sequence[Feeder]) -> bool:
    """Waits for all at once; whether they have ended in time."""
    waiting = [threading.Thread(target=one.stop, daemon=True) for one in feeders]
    for one in waiting:
        one.start()
    until = time.monotonic() + _LET_GO_SECONDS
    for one in waiting:
        one.join(max(0.0, until - time.monotonic()))
    return not any(one.is_alive() for one in waiting)
