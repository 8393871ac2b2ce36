"""The sound of a recording, for models that hear: log-mel frames of every clip's own seconds.

Letters: F frames of sound, M mel bands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from vigilia.engine import Piece
from vigilia.errors import VideoError
from vigilia.video import Position
from vigilia.video.audio import FRAMES_PER_SECOND, MEL_BANDS, AudioReader

__all__ = ["Sound"]


class Sound:
    """Attaches to every clip what was heard during it; a context manager that closes its file.

    What cannot be heard is NaN: a recording without a sound track, a camera, an address, what lies
    before a part's own beginning in a folder of parts.

    Args:
        parts: the recording's files, in order; none of a camera.
        clip_seconds: how long a clip is.
    """

    def __init__(self, parts: Sequence[Path], *, clip_seconds: float) -> None:
        self._parts = {path.name: path for path in parts}
        self._clip_seconds = clip_seconds
        self._open = ""
        self._reader: AudioReader | None = None

    def heard(self, pieces: Iterable[Piece]) -> Iterator[Piece]:
        """The same pieces, each clip with its sound."""
        for piece in pieces:
            position = piece.place.position if piece.place is not None else None
            if piece.frames is None or position is None:
                yield piece
            else:
                yield replace(piece, audio=self._before(piece.end_seconds, position))

    def _before(self, end_seconds: float, position: Position) -> np.ndarray:
        """(F, M) float32 of the clip that ended then."""
        reader = self._reader_of(position.part or next(iter(self._parts), ""))
        if reader is None:
            frames = max(1, round(self._clip_seconds * FRAMES_PER_SECOND))
            return np.full((frames, MEL_BANDS), np.nan, np.float32)
        end = end_seconds - position.part_offset_seconds
        return reader.between(end - self._clip_seconds, end)

    def _reader_of(self, part: str) -> AudioReader | None:
        if part != self._open:
            self._close()
            self._open = part
            try:
                self._reader = AudioReader(self._parts[part], keep_seconds=self._clip_seconds)
            except VideoError:
                self._reader = None  # seen but not heard
        return self._reader

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Sound:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
