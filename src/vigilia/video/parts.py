"""The parts of a recording, decoded one after the other into frames with a time each.

A folder's first part keeps its own timestamps; each later one is shifted so that its first frame
comes one frame interval after the last frame of the part before, or, where that was damaged and is
passed over, when that one would have ended by its own header.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import av
import numpy as np

from vigilia.errors import BrokenVideoError, VideoError
from vigilia.video.clocks import Clock, LiveClock
from vigilia.video.decoder import Decoder, DecodingStopped
from vigilia.video.pictures import DecodedFrame
from vigilia.video.resize import PictureConverter, displayed_size
from vigilia.video.source import Source

__all__ = ["Parts"]


class Parts:
    """Reads the parts of a source from any of them on; one reading at a time.

    Args:
        source: the files, a camera or an address.
        stream: which video stream, from 0; None takes the default or the largest.
        size: width and height of the frames; None for the first frame's, as displayed.
        threads: for decoding.
        eco: skips frames that no other frame refers to.
        on_picture: called with each decoded picture at its own size, in the thread that reads;
            must be quick.
        on_damage: called with what is wrong with a part behind which others stand; reading then
            goes on with the next. None raises.

    Attributes:
        live: a camera: damage is passed over and its clock is checked.
        size: width and height; None before the first frame.
        decoder: of the part that is being read; None before the first.
        dropped_frames: left out of this reading because their timestamps lay in the past.
        guessed_time: whether this reading began with a frame without a timestamp.
    """

    def __init__(
        self,
        source: Source,
        *,
        stream: int | None,
        size: tuple[int, int] | None,
        threads: int,
        eco: bool,
        on_picture: Callable[[av.VideoFrame], None] | None = None,
        on_damage: Callable[[str], None] | None = None,
    ) -> None:
        self.live = source.live
        self.size = size
        self.decoder: Decoder | None = None
        self.dropped_frames = 0
        self.guessed_time = False
        self._source = source
        self._stream = stream
        self._threads = threads
        self._eco = eco
        self._on_picture = on_picture
        self._on_damage = on_damage
        self._convert = PictureConverter()
        self._latest = -np.inf
        self._last: DecodedFrame | None = None
        self._offset = 0.0
        self._end: float | None = None

    def close(self) -> None:
        """Closes what is open."""
        if self.decoder is not None:
            self.decoder.close()

    def read(
        self, part: int = 0, offset: float = 0.0, seek_seconds: float | None = None
    ) -> Iterator[DecodedFrame]:
        """Frames from a part on, in non-decreasing time.

        Args:
            part: number of the first part.
            offset: seconds that are added to its timestamps.
            seek_seconds: begins at a key frame at or before this time of that part; where the
                container cannot, nothing comes.

        Raises:
            BrokenVideoError: during iteration: damage, after some frames.
            VideoError: during iteration: not one frame can be read.
        """
        self._latest = -np.inf
        self._last = self._end = None
        self._offset = offset
        self.guessed_time = False
        self.dropped_frames = 0
        return self._read(part, seek_seconds)

    def _read(self, first_part: int, seek_seconds: float | None) -> Iterator[DecodedFrame]:
        places: tuple[str | Path, ...] = self._source.parts or (self._source.address or "",)
        for number in range(first_part, len(places)):
            where = places[number]
            name = str(where) if isinstance(where, Path) else self._source.name
            part = where.name if isinstance(where, Path) and len(places) > 1 else ""
            seek = seek_seconds if number == first_part else None
            try:
                if not (yield from self._read_part(where, name, part, seek)):
                    return
            except VideoError as error:
                if self._on_damage is None or number + 1 == len(places):
                    raise
                self._on_damage(str(error))

    def _read_part(
        self, where: str | Path, name: str, part: str, seek_seconds: float | None
    ) -> Generator[DecodedFrame, None, bool]:
        """The frames of one; false if it cannot be sought in."""
        try:
            decoder = self._open(where, name)
        except VideoError as error:
            if self._last is None:
                raise
            raise BrokenVideoError(str(error), self._last.seconds) from error
        if seek_seconds is not None and not decoder.seek(seek_seconds):
            return False
        clock = LiveClock() if self.live else Clock(decoder)
        found = False
        try:
            for picture in decoder.pictures():
                seconds, duration = clock.read(picture)
                self.guessed_time |= clock.guessed and not found
                if not found and self._end is not None:
                    self._offset = self._end - seconds
                found = True
                seconds += self._offset
                if seconds < self._latest:
                    self.dropped_frames += 1
                    continue
                self._latest = seconds
                if self.size is None:
                    self.size = displayed_size(picture, decoder.pixel_aspect)
                if self._on_picture is not None:
                    self._on_picture(picture)
                self._last = DecodedFrame(
                    picture, self._convert, self.size, seconds, duration, part, self._offset
                )
                self._end = seconds + duration
                yield self._last
            problem = "" if found else "its headers announce frames, none came"
        except DecodingStopped as error:
            problem = str(error)
        if problem:
            broken = self._broken(name, decoder, problem, self._last)
            self._to_announced_end(decoder, found=found)
            raise broken
        return True

    def _to_announced_end(self, decoder: Decoder, *, found: bool) -> None:
        """What comes next begins where a damaged part would have ended, if it says so."""
        announced = decoder.duration_seconds
        if announced is None or self._end is None:
            return
        start = self._offset + decoder.start_seconds if found else self._end
        self._end = max(self._end, start + announced)

    def _open(self, where: str | Path, name: str) -> Decoder:
        if self.decoder is not None:
            self.decoder.close()
        self.decoder = Decoder(
            where,
            name=name,
            format=self._source.format,
            live=self.live,
            stream=self._stream,
            threads=self._threads,
            eco=self._eco,
        )
        return self.decoder

    def _broken(
        self, name: str, decoder: Decoder, reason: str, last: DecodedFrame | None
    ) -> VideoError:
        if self.live:
            return BrokenVideoError(
                f"{name}: the connection broke ({reason}); connect again",
                None if last is None else last.seconds,
            )
        if last is not None:
            return BrokenVideoError(
                f"{name}: broken after {last.seconds:.3f} s ({reason}); what came before was "
                "read: copy the file again or repair it",
                last.seconds,
            )
        if decoder.is_encrypted():
            return VideoError(f"{name}: the video is encrypted; decrypt it first")
        return VideoError(
            f"{name}: not one frame can be decoded ({reason}); copy it again or name another file"
        )
