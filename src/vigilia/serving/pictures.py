"""Pictures of a recording's past."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from vigilia.errors import VideoError
from vigilia.serving.recordings import parts_of
from vigilia.serving.schema import Part
from vigilia.serving.stills import MOST_PIXELS_WIDE, Stills, jpeg
from vigilia.serving.watched import Watched

__all__ = ["Pictures", "parts_view"]

_MOST_OPEN = 4


class Pictures:
    """Makes JPEG files; keeps a few recordings open, where they were asked last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: OrderedDict[Path, Stills] = OrderedDict()

    def at(
        self,
        watched: Watched,
        seconds: float,
        offsets: dict[str, float],
        width: int = MOST_PIXELS_WIDE,
    ) -> bytes:
        """What a recording shows at a moment.

        Args:
            watched: a recording.
            seconds: on the stream's clock.
            offsets: where its files lie on that clock.
            width: at most.

        Raises:
            VideoError: the recording cannot be read.
        """
        parts = parts_of(watched.options.source, follow=watched.options.follow)
        if not parts:
            raise VideoError(f"{watched.name}: there is no file yet")
        chosen, offset = parts[0], 0.0
        for part in parts:
            begins = offsets.get(part.name)
            if len(parts) > 1 and begins is not None and begins <= seconds:
                chosen, offset = part, begins
        with self._lock:
            stills = self._open.pop(chosen, None) or Stills(chosen)
            self._open[chosen] = stills
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1].close()
            frame = stills.at(seconds - offset)
        return jpeg(frame, width=width)

    def close(self) -> None:
        """Closes what is open."""
        with self._lock:
            for stills in self._open.values():
                stills.close()
            self._open.clear()


def parts_view(watched: Watched, offsets: dict[str, float]) -> list[Part]:
    """The files of a recording. A single one has no name in positions, and no offset."""
    parts = parts_of(watched.options.source, follow=watched.options.follow)
    alone = len(parts) == 1 and not watched.options.follow
    return [
        {
            "part": number,
            "name": part.name,
            "offset_seconds": 0.0 if alone else offsets.get(part.name),
        }
        for number, part in enumerate(parts)
    ]
