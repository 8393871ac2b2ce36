"""The end of the service: within seconds, whatever hangs.

Told to end, it saves the streams at once, beside the requests that are still answered.
What hangs (a camera that does not let go, a step that takes long, a request without an end) is left
behind: the journal is closed and the process goes. Nothing is lost by that but a newer snapshot.

If an error ends the stepping, the process goes at once with status 1, so that who looks after it
(systemd, Docker) starts it anew. Nothing is saved then: what is remembered may be ahead of what is
written.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from vigilia.serving.supervisor import Supervisor

__all__ = ["MOST_SECONDS", "Ending"]

log = logging.getLogger("vigilia.serving")

MOST_SECONDS = 8.0
"""From the signal to the end of the process."""

_CLOSE_SECONDS = 1.0

_LOOK_SECONDS = 0.5


class Ending:
    """Sees to it that the process ends.

    Args:
        supervisor: of the streams.
        most_seconds: from `begin` to the end.
        leave: ends the process at once.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        most_seconds: float = MOST_SECONDS,
        leave: Callable[[int], object] = os._exit,
    ) -> None:
        self._supervisor = supervisor
        self._leave = leave
        self._timer = threading.Timer(most_seconds, self._force)
        self._timer.daemon = True
        self._begun = False
        self._saving: threading.Thread | None = None
        self._saved = threading.Event()

    def begin(self) -> None:
        """The process is told to end; from here the time counts. May be called again."""
        if not self._begun:
            self._begun = True
            self._timer.start()
            self.save()

    def watch(self) -> None:
        """From here on, the process ends if the stepping does."""
        threading.Thread(target=self._watch, name="vigilia-watching", daemon=True).start()

    def save(self) -> None:
        """Begins to stop and save the streams; does not wait. May be called again."""
        if self._saving is None:
            self._saving = threading.Thread(target=self._save, name="vigilia-ending", daemon=True)
            self._saving.start()

    def finish(self) -> None:
        """Everything is closed: a process that was told to end goes at once.

        The interpreter's own end would take down a large library object by object, and wait for
        threads that still hang on a camera.
        """
        if not self._begun or self._saving is None:
            return
        self._saving.join(_CLOSE_SECONDS)
        log.info("ended")
        _flush()
        self._leave(0 if self._saved.is_set() else 1)

    def _watch(self) -> None:
        while self._saving is None:
            error = self._supervisor.broken
            if error is not None:
                log.error("ended, to be started anew", extra={"why": f"stepping: {error}"})
                self._go(1)
                return
            time.sleep(_LOOK_SECONDS)

    def _save(self) -> None:
        self._supervisor.close()
        self._saved.set()

    def _force(self) -> None:
        """The time is over."""
        saved = self._saved.is_set()
        log.warning("ended by force", extra={"why": "" if saved else "a step or a stream hangs"})
        self._go(0 if saved else 1)

    def _go(self, status: int) -> None:
        closing = threading.Thread(target=self._supervisor.journal.close, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)
        _flush()
        self._leave(status)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
