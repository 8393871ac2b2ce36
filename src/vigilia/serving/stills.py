"""Single pictures of a recording, for players that cannot decode it: JPEG at a moment."""

from __future__ import annotations

import io
import threading
from pathlib import Path

from vigilia.errors import VideoError
from vigilia.video import Frame, VideoReader, open_video

__all__ = ["MOST_PIXELS_WIDE", "Stills", "jpeg"]

MOST_PIXELS_WIDE = 1280
"""Wider pictures are made smaller: a page shows no more."""

READ_ON_SECONDS = 4.0
"""A moment this little ahead is reached by reading on; a farther one by a seek."""


def jpeg(frame: Frame, *, width: int = MOST_PIXELS_WIDE) -> bytes:
    """A frame as a JPEG file, not wider than `width` pixels."""
    from PIL import Image

    picture = Image.fromarray(frame.pixels)
    if picture.width > width:
        picture = picture.resize((width, max(1, round(picture.height * width / picture.width))))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=82)
    return file.getvalue()


class Stills:
    """The frame that is shown at a moment; keeps one reader open, where it was asked last.

    Safe to use from several threads; they take turns.

    Args:
        video: a file, or a folder or pattern that is one recording.
    """

    def __init__(self, video: str | Path) -> None:
        self._video = video
        self._lock = threading.Lock()
        self._reader: VideoReader | None = None
        self._shown: Frame | None = None
        self._next: Frame | None = None

    def at(self, seconds: float) -> Frame:
        """The last frame that is not later than `seconds`; the first or last one beyond the ends.

        Raises:
            VideoError: the recording cannot be read.
        """
        with self._lock:
            shown = self._shown
            if shown is None or not shown.seconds <= seconds < shown.seconds + READ_ON_SECONDS:
                self._seek(seconds)
            while self._next is not None and self._next.seconds <= seconds:
                self._advance()
            assert self._shown is not None
            return self._shown

    def close(self) -> None:
        """Closes the reader; idempotent."""
        with self._lock:
            self._release()

    def _seek(self, seconds: float) -> None:
        self._release()
        try:
            self._reader = open_video(self._video, start_seconds=seconds)
        except VideoError:
            # Beyond the end, or a file that cannot be sought: from the beginning, to the last.
            self._reader = open_video(self._video)
        self._next = next(self._reader)
        self._advance()

    def _advance(self) -> None:
        assert self._reader is not None
        self._shown = self._next
        try:
            self._next = next(self._reader, None)
        except VideoError:  # broken from here on: what came before can still be looked at
            self._next = None

    def _release(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = self._shown = self._next = None
