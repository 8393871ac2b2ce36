"""A camera that is opened before its frames are needed, so that a stream can move without a hole.

Whoever is to take a stream over opens the camera while the other still watches it, and keeps the
last seconds of samples. When the other has let go, these reach back to where it stopped.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

from vigilia.errors import VideoError, VigiliaError
from vigilia.serving.cameras import Connection
from vigilia.video import Gap, Sample

__all__ = ["PreparedConnection"]

KEEP_SECONDS = 30.0

_LOOK_SECONDS = 0.5


class PreparedConnection:
    """A connection to a camera whose last samples wait; see `vigilia.serving.cameras.Connection`.

    A thread opens and reads it. Of samples that nobody takes, the oldest are dropped.

    Args:
        connect: opens the camera.
        fps: samples a second.
        max_gap_seconds: as in `samples`.
        clock: Unix time.

    Attributes:
        asked_at: when it was opened.
    """

    start_seconds = 0.0

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        fps: float,
        max_gap_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connect = connect
        self._fps = fps
        self._max_gap_seconds = max_gap_seconds
        self._news = threading.Condition()
        self._waiting: deque[Sample | Gap] = deque(maxlen=max(1, round(KEEP_SECONDS * fps)))
        self._error: Exception | None = None
        self._ended = self._closed = False
        self.asked_at = clock()
        threading.Thread(target=self._read, name="vigilia-prepared", daemon=True).start()

    @property
    def kept_seconds(self) -> float:
        """How far back the samples reach that wait."""
        with self._news:
            return len(self._waiting) / self._fps

    @property
    def failed(self) -> bool:
        """Whether there is nothing to wait for."""
        with self._news:
            return self._ended

    def samples(self, fps: float, max_gap_seconds: float = 2.0) -> Iterator[Sample | Gap]:
        """What was kept, and then what comes; once.

        Raises:
            VigiliaError: the camera's own error.
        """
        assert (fps, max_gap_seconds) == (self._fps, self._max_gap_seconds)
        while True:
            with self._news:
                while not self._waiting and not self._ended:
                    self._news.wait(_LOOK_SECONDS)
                if not self._waiting:
                    if self._error is not None:
                        raise self._error
                    return
                item = self._waiting.popleft()
            yield item

    def close(self) -> None:
        """Lets the camera go, at its next frame; idempotent."""
        with self._news:
            self._closed = True
            self._news.notify_all()

    def _read(self) -> None:
        error: Exception | None = None
        try:
            connection = self._connect()
            try:
                for item in connection.samples(self._fps, self._max_gap_seconds):
                    with self._news:
                        if self._closed:
                            break
                        self._waiting.append(item)
                        self._news.notify_all()
            finally:
                connection.close()
        except (VigiliaError, OSError, ValueError) as caught:
            error = caught
        except Exception as caught:  # told to whoever takes the samples
            error = VideoError(f"the camera cannot be read ({type(caught).__name__}: {caught})")
        with self._news:
            self._error, self._ended = error, True
            self._news.notify_all()
