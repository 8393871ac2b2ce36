"""The engine's threads: one a stream that decodes and offers, one that steps.

A feeder waits where the engine refuses a piece, so recordings never lose one. PyAV decodes without
the interpreter's lock, so feeders run side by side.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator

from vigilia.engine.engine import StepEngine
from vigilia.engine.pieces import Piece
from vigilia.engine.results import Result

__all__ = ["Feeder", "results"]

_JOIN_SECONDS = 10.0


class Feeder:
    """A thread that offers the pieces of one stream, then closes it.

    Args:
        engine: has the stream, or gets it when `pieces` runs.
        name: of the stream.
        pieces: a function that opens the stream and yields its pieces; runs in the thread. An
            exception of its own becomes the error of the stream's "ended".
    """

    def __init__(
        self, engine: StepEngine, name: str, pieces: Callable[[], Iterable[Piece]]
    ) -> None:
        self._engine = engine
        self._name = name
        self._pieces = pieces
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"vigilia-{name}", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after the piece it is at; idempotent."""
        self._stopped.set()
        with self._engine.changed:
            self._engine.changed.notify_all()
        self._thread.join(timeout=_JOIN_SECONDS)

    def _run(self) -> None:
        error: Exception | None = None
        source: Iterator[Piece] = iter(())
        try:
            source = iter(self._pieces())
            for piece in source:
                if not self._offered(piece):
                    return
        except Exception as caught:  # told to whoever polls
            error = caught
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
        self._engine.close(self._name, error)

    def _offered(self, piece: Piece) -> bool:
        """Offers until there is room; False if the feeder was stopped meanwhile."""
        changed = self._engine.changed
        with changed:
            while not self._stopped.is_set():
                if self._engine.offer(self._name, piece):
                    return True
                changed.wait()
        return False


def results(engine: StepEngine, *, until: Callable[[], bool]) -> Iterator[list[Result]]:
    """Polls whenever something is due; the caller's thread is the one that steps.

    Args:
        engine: fed by other threads.
        until: true when there is nothing more to wait for; asked after every poll.
    """
    while not until():
        with engine.changed:
            due = engine.due_in_seconds()
            if due is None or due > 0:
                # A wait without an end would swallow Ctrl-C on some systems.
                engine.changed.wait(0.5 if due is None else due)
        yield engine.poll()
