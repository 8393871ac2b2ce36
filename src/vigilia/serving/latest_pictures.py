"""The pictures that were decoded last, as JPEG; each is made once, however many look."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import av

from vigilia.serving.stills import jpeg
from vigilia.serving.watched import Watched
from vigilia.video import Frame
from vigilia.video.resize import PictureConverter, displayed_size

__all__ = ["LatestPictures"]

_MOST_WIDTHS = 4


class LatestPictures:
    """Makes them, one at a time: pages get one processor at most, the streams the others."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: WeakKeyDictionary[Watched, tuple[av.VideoFrame, dict[int, bytes]]]
        self._made = WeakKeyDictionary()

    def jpeg(self, watched: Watched, width: int) -> bytes | None:
        """The last picture of a stream, `width` pixels wide at most; None before the first."""
        picture = watched.picture
        if picture is None:
            return None
        with self._lock:
            of, files = self._made.get(watched, (None, {}))
            if of is not picture or (width not in files and len(files) == _MOST_WIDTHS):
                files = {}
                self._made[watched] = (picture, files)
            if width not in files:
                files[width] = _jpeg(picture, width)
            return files[width]


def _jpeg(picture: av.VideoFrame, width: int) -> bytes:
    aspect = picture.sample_aspect_ratio if hasattr(picture, "sample_aspect_ratio") else None
    shown_width, shown_height = displayed_size(picture, float(aspect) if aspect else None)
    if shown_width > width:
        shown_width, shown_height = width, max(1, round(shown_height * width / shown_width))
    pixels = PictureConverter()(picture, shown_width, shown_height)
    return jpeg(Frame(pixels, 0.0), width=width)
