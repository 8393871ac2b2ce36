"""A picture as the decoder left it, made RGB only if somebody looks."""

from __future__ import annotations

import av
import numpy as np

from vigilia.video.resize import PictureConverter

__all__ = ["DecodedFrame"]


class DecodedFrame:
    """A decoded picture that becomes RGB when somebody looks at it."""

    __slots__ = (
        "_convert",
        "_picture",
        "_pixels",
        "_size",
        "duration_seconds",
        "part",
        "part_offset_seconds",
        "seconds",
    )

    def __init__(
        self,
        picture: av.VideoFrame,
        convert: PictureConverter,
        size: tuple[int, int],
        seconds: float,
        duration_seconds: float,
        part: str,
        part_offset_seconds: float,
    ) -> None:
        self._picture: av.VideoFrame | None = picture
        self._pixels: np.ndarray | None = None
        self._convert = convert
        self._size = size
        self.seconds = seconds
        self.duration_seconds = duration_seconds
        self.part = part
        self.part_offset_seconds = part_offset_seconds

    @property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        if self._pixels is None:
            assert self._picture is not None
            self._pixels = self._convert(self._picture, *self._size)
            self._picture = None
        return self._pixels
