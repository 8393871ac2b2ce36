"""Frames of a recording or a camera, in order of time.

Time is the container's own: `pts * time_base`, as stored, so a file whose first frame says 1.075 s
starts at 1.075 s; what is not so is said in `clocks`. A folder's parts are laid end to end.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import av

from vigilia.errors import OptionError, VideoError
from vigilia.video.frames import Frame, Gap, Position, Sample, checksum
from vigilia.video.parts import Parts
from vigilia.video.pictures import DecodedFrame
from vigilia.video.sampling import TOLERANCE_SECONDS, sample
from vigilia.video.source import Source, resolve

__all__ = ["VideoReader", "open_video"]

# Far enough before a frame that a decoder which starts at a key frame has recovered.
_SEEK_MARGIN_SECONDS = 2.0


def open_video(
    source: str | Path,
    *,
    stream: int | None = None,
    width: int | None = None,
    height: int | None = None,
    threads: int = 0,
    start_seconds: float | None = None,
    eco: bool = False,
) -> VideoReader:
    """Opens a recording or a camera and decodes its first frame.

    Args:
        source: a file; a folder or pattern, read as one recording in natural order; a camera
            (`/dev/video0`, `webcam:0`); an address (`rtsp://`, `http://`, ...).
        stream: which video stream of a file, from 0; None takes the default or the largest.
        width: of the frames delivered; the displayed width if None.
        height: likewise; width and height are given together, and the picture fills them.
        threads: for decoding; 0 lets FFmpeg choose, and the frames do not depend on it.
        start_seconds: begins with the frame shown at this time; None begins with the first.
        eco: decodes only frames that others refer to. Saves time in files with B-frames, but
            shows other frames than an exact reading: train and run with the same.

    Raises:
        VideoError: nothing can be read; the message says what to do.
        OptionError: an argument cannot work.
    """
    if (width is None) != (height is None):
        raise OptionError(f"width and height go together, got width={width}, height={height}")
    if width is not None and height is not None and min(width, height) < 1:
        raise OptionError(f"width and height must be positive, got {width}x{height}")
    if threads < 0:
        raise OptionError(f"threads must be 0 (automatic) or positive, got {threads}")
    size = None if width is None or height is None else (width, height)
    return VideoReader(
        resolve(source),
        stream=stream,
        size=size,
        threads=threads,
        start_seconds=start_seconds,
        eco=eco,
    )


class VideoReader:
    """Iterates over the frames of a recording, or samples them by time; made by `open_video`.

    Frames come in non-decreasing time. One whose timestamp lies before a frame already delivered
    is left out and counted in `dropped_frames`. All frames have one size, the first frame's: a
    part or a camera that changes its resolution is resized to it.

    A folder is one recording; `parts` says how its files are laid end to end.

    Whoever wants to look at each decoded picture at its own size gives `on_picture`, which is
    called in the thread that reads and must be quick. With `on_damage` a damaged part behind which
    others stand ends nothing: its message goes there, and the next part follows where this one
    would have ended by its header.

    Use it as a context manager. `close` may be called while another thread reads: it waits for
    the frame under way.

    Attributes:
        name: for messages; holds no password.
        parts: the files, in order; empty for a camera or an address.
        width, height: of the frames delivered.
        start_seconds: time of the first tick: the first frame's timestamp, or as asked for.
        frame_rate: average in the header, for information only; None if unknown.
        position: where the last sample taken from `samples` stands; None before the first.
    """

    width: int
    height: int
    start_seconds: float
    frame_rate: float | None

    def __init__(
        self,
        source: Source,
        *,
        stream: int | None = None,
        size: tuple[int, int] | None = None,
        threads: int = 0,
        start_seconds: float | None = None,
        eco: bool = False,
        on_picture: Callable[[av.VideoFrame], None] | None = None,
        on_damage: Callable[[str], None] | None = None,
    ) -> None:
        self.name = source.name
        self.parts = source.parts
        self._parts = Parts(
            source,
            stream=stream,
            size=size,
            threads=threads,
            eco=eco,
            on_picture=on_picture,
            on_damage=on_damage,
        )
        self._last_sample: Sample | None = None
        self._closed = False
        self._first_duration: float | None = None
        # Closing a container that another thread decodes from would crash the process.
        self._lock = threading.Lock()
        try:
            self._frames = self._parts.read()
            self._pending: DecodedFrame | None = self._first(start_seconds)
        except BaseException:
            self.close()
            raise
        decoder = self._parts.decoder
        assert decoder is not None
        assert self._parts.size is not None
        self.width, self.height = self._parts.size
        self.start_seconds = self._pending.seconds if start_seconds is None else start_seconds
        self.frame_rate = decoder.frame_rate
        self._first_duration = decoder.duration_seconds
        if source.address is not None and not self.live:
            self._parts.live = decoder.duration_seconds is None

    @property
    def live(self) -> bool:
        """A camera: what is not read in time is lost."""
        return self._parts.live

    @property
    def dropped_frames(self) -> int:
        """How many were left out because their timestamps lay in the past."""
        return self._parts.dropped_frames

    @property
    def duration_seconds(self) -> float | None:
        """An estimate from the headers, for progress bars; None if they do not say.

        A folder's is scaled up by the size of its files, so that a thousand need not be opened.
        """
        if self.live or self._first_duration is None:
            return None
        if len(self.parts) <= 1:
            return self._first_duration
        try:
            sizes = [part.stat().st_size for part in self.parts]
        except OSError:
            return None
        return self._first_duration * sum(sizes) / sizes[0]

    @property
    def position(self) -> Position | None:
        """Where the last sample taken from `samples` stands; `Sample.position` says the same."""
        return None if self._last_sample is None else self._last_sample.position

    @property
    def corrupt_packets(self) -> int:
        """How many damaged packets a camera has sent; a file stops at the first."""
        decoder = self._parts.decoder
        return 0 if decoder is None else decoder.corrupt_packets

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        frame = self._next()
        if frame is None:
            raise StopIteration
        return Frame(
            pixels=frame.pixels,
            seconds=frame.seconds,
            duration_seconds=frame.duration_seconds,
            part=frame.part,
            part_offset_seconds=frame.part_offset_seconds,
        )

    def samples(
        self,
        fps: float,
        max_gap_seconds: float = 2.0,
        *,
        resume: Position | None = None,
    ) -> Iterator[Sample | Gap]:
        """Samples the frames that are left; only those that are shown are converted.

        See `sampling.sample` for the rule.

        Args:
            fps: samples per second.
            max_gap_seconds: a hole longer than this is a `Gap`.
            resume: the position of an earlier sample, read with the same options. The samples
                after it come out as they would have without the break, bit for bit.

        Raises:
            OptionError: `fps` or `max_gap_seconds` is not positive.
            VideoError: the frame at `resume` is not there: the video has changed.
            BrokenVideoError: during iteration: the video breaks half-way.
        """
        if resume is None:
            ticks = sample(
                self._remaining(),
                fps=fps,
                max_gap_seconds=max_gap_seconds,
                start_seconds=self.start_seconds,
            )
        else:
            ticks = sample(
                self._remaining(),
                fps=fps,
                max_gap_seconds=max_gap_seconds,
                start_seconds=resume.start_seconds,
                first_tick=resume.tick + 1,
                held=self._find(resume),
            )
        return self._remember(ticks)

    def close(self) -> None:
        """Ends the reading; idempotent."""
        with self._lock:
            self._closed = True
            self._parts.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"VideoReader({self.name!r}, {self.width}x{self.height}, live={self.live})"

    def _remember(self, ticks: Iterator[Sample | Gap]) -> Iterator[Sample | Gap]:
        for tick in ticks:
            if isinstance(tick, Sample):
                self._last_sample = tick
            yield tick

    def _remaining(self) -> Iterator[DecodedFrame]:
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> DecodedFrame | None:
        with self._lock:
            if self._closed:
                return None
            if self._pending is not None:
                frame, self._pending = self._pending, None
                return frame
            return next(self._frames, None)

    def _first(self, start_seconds: float | None) -> DecodedFrame:
        """The frame to begin with."""
        if start_seconds is None:
            first = next(self._frames, None)
            assert first is not None, "a part without frames raises"
            return first
        shown = None
        if len(self.parts) == 1:
            frames = self._parts.read(seek_seconds=start_seconds - _SEEK_MARGIN_SECONDS)
            with contextlib.suppress(VideoError):  # a seek may land behind the last frame
                shown = next(frames, None)
            if shown is not None and (self._parts.guessed_time or shown.seconds > start_seconds):
                shown = None
        if shown is None:
            frames = self._parts.read()
            shown = next(frames)
        for frame in frames:
            if frame.seconds > start_seconds + TOLERANCE_SECONDS:
                self._frames = _chain(frame, frames)
                return shown
            shown = frame
        if start_seconds > shown.seconds + max(shown.duration_seconds, TOLERANCE_SECONDS):
            raise VideoError(
                f"{self.name}: start_seconds={start_seconds:g} lies beyond the end, "
                f"{shown.seconds + shown.duration_seconds:.3f} s; begin earlier"
            )
        self._frames = frames
        return shown

    def _find(self, position: Position) -> DecodedFrame:
        """Brings the reading to right after the frame of `position`, and returns that frame."""
        if self.live:
            raise VideoError(f"{self.name}: a camera cannot be read again; start without resuming")
        names = [part.name for part in self.parts]
        part = 0
        if len(self.parts) > 1 or position.part:
            if position.part not in names:
                raise VideoError(
                    f"{self.name}: the video has changed since the run began: the part "
                    f"{position.part!r} is gone; put it back or start without resuming"
                )
            part = names.index(position.part)
        offset = position.part_offset_seconds
        near = position.frame_seconds - offset - _SEEK_MARGIN_SECONDS
        with self._lock:
            # A seek may land in damage, or beside the frame, in a file that reads well in order.
            frame = None
            with contextlib.suppress(VideoError):
                frame = self._match(position, self._parts.read(part, offset, near), sought=True)
            if frame is None:
                frame = self._match(position, self._parts.read(part, offset), sought=False)
        if frame is not None:
            return frame
        raise VideoError(
            f"{self.name}: the video has changed since the run began: its frame at "
            f"{position.frame_seconds:.3f} s is not the one seen then, or it was read with other "
            "options (width, height, stream); start without resuming"
        )

    def _match(
        self, position: Position, frames: Iterator[DecodedFrame], *, sought: bool
    ) -> DecodedFrame | None:
        for frame in frames:
            # Times that are counted up from the landing place of a seek mean nothing.
            if frame.seconds > position.frame_seconds or (sought and self._parts.guessed_time):
                return None
            same_time = frame.seconds == position.frame_seconds
            if same_time and checksum(frame.pixels) == position.checksum:
                self._frames, self._pending = frames, None
                return frame
        return None


def _chain(frame: DecodedFrame, frames: Iterator[DecodedFrame]) -> Iterator[DecodedFrame]:
    yield frame
    yield from frames
