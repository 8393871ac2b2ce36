"""Values that leave this room: a frame, a sample of it at a tick, a hole, a place to go on from.

Letters: H W pixels.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np

__all__ = ["Frame", "FrameLike", "Gap", "Position", "Sample"]


class FrameLike(Protocol):
    """What sampling needs of a frame; the reader's own frames convert `pixels` only when asked."""

    @property
    def pixels(self) -> np.ndarray: ...

    @property
    def seconds(self) -> float: ...

    @property
    def duration_seconds(self) -> float | None: ...

    @property
    def part(self) -> str: ...

    @property
    def part_offset_seconds(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Frame:
    """One decoded picture.

    Attributes:
        pixels: (H, W, 3) uint8 RGB, upright, square pixels.
        seconds: the container's timestamp.
        duration_seconds: how long it is shown, as far as the container says.
        part: name of the file it came from, if the recording is a folder of files.
        part_offset_seconds: what was added to that file's own timestamps.
    """

    pixels: np.ndarray
    seconds: float
    duration_seconds: float | None = None
    part: str = ""
    part_offset_seconds: float = 0.0

    def __repr__(self) -> str:
        return f"Frame({tuple(self.pixels.shape)} {self.pixels.dtype}, {self.seconds:.3f} s)"


@dataclass(frozen=True)
class Position:
    """Where a reading stands after a sample: all that is needed to go on with the next one.

    Attributes:
        tick: number of the sample, from 0.
        start_seconds: time of tick 0.
        frame_seconds: timestamp of the frame that the sample showed.
        checksum: CRC-32 of that frame's pixels as delivered.
        part: name of the file that holds the frame, if the recording is a folder of files.
        part_offset_seconds: what is added to that file's own timestamps.
    """

    tick: int
    start_seconds: float
    frame_seconds: float
    checksum: int
    part: str = ""
    part_offset_seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Sample:
    """What the video shows at a tick.

    Neighbouring samples that show the same frame share one array: copy before writing into it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        seconds: the tick.
        frame_seconds: timestamp of the frame shown, never later than the tick.
        tick: number of the tick, from 0.
        start_seconds: time of tick 0.
        part: see `Frame`.
        part_offset_seconds: see `Frame`.
    """

    pixels: np.ndarray
    seconds: float
    frame_seconds: float
    tick: int = 0
    start_seconds: float = 0.0
    part: str = ""
    part_offset_seconds: float = 0.0

    @property
    def position(self) -> Position:
        """The place right after this sample, for `VideoReader.samples(resume=...)`."""
        return Position(
            tick=self.tick,
            start_seconds=self.start_seconds,
            frame_seconds=self.frame_seconds,
            checksum=checksum(self.pixels),
            part=self.part,
            part_offset_seconds=self.part_offset_seconds,
        )

    def __repr__(self) -> str:
        shape = tuple(self.pixels.shape)
        return (
            f"Sample({shape} {self.pixels.dtype}, {self.seconds:.3f} s: {self.frame_seconds:.3f} s)"
        )


@dataclass(frozen=True)
class Gap:
    """A hole in the video: nothing was observed in [start_seconds, end_seconds)."""

    start_seconds: float
    end_seconds: float


def checksum(pixels: np.ndarray) -> int:
    """CRC-32 of a picture's bytes. pixels: (H, W, 3) uint8."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)
