"""One file or address, opened with PyAV: its decoded pictures in order, and honest errors.

Policy for damage: of a file, everything up to the first decoding error is delivered, then reading
stops with `DecodingStopped`; what a decoder makes of the rest is guesswork. A camera loses packets
as a matter of course: its damaged packets are counted and passed over, unless nothing else comes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import av
from av.stream import Disposition

from vigilia.errors import OptionError, VideoError
from vigilia.video.opening import (
    READ_TIMEOUT_SECONDS,
    check_file,
    open_container,
    what_failed,
)

__all__ = ["Decoder", "DecodingStopped", "describe_stream"]

# FFmpeg's own preference for the default stream, in pixels.
_DEFAULT_STREAM_BONUS = 5_000_000

# Beyond this, packets without a picture at the end of a file are a loss, not a decoder's delay.
_UNDECODED_SECONDS = 1.0

NO_PICTURE_SECONDS = 30.0
"""A camera whose packets give no picture for so long has broken; key frames may be 20 s apart."""

# MP4 keeps its description at the beginning or the end.
_HEADER_BYTES = 1 << 20


class DecodingStopped(Exception):
    """No further picture can be decoded; the text says why."""


class Decoder:
    """An open container and the one video stream that is read from it.

    Args:
        where: a file, or an address as text.
        name: for messages, without passwords.
        format: FFmpeg's input format, if it must be named.
        live: damaged packets are passed over; the lowest delay is preferred.
        stream: which video stream, from 0; None takes the default or largest as FFmpeg does.
        threads: for decoding; 0 lets FFmpeg choose. The pictures do not depend on it.
        eco: skips frames that no other frame refers to.

    Raises:
        VideoError: it cannot be opened or holds no video.
    """

    def __init__(
        self,
        where: str | Path,
        *,
        name: str,
        format: str | None = None,
        live: bool = False,
        stream: int | None = None,
        threads: int = 0,
        eco: bool = False,
    ) -> None:
        self.name = name
        self.where = where
        self.live = live
        self.corrupt_packets = 0
        self._format = format
        self._stream_choice = stream
        self._threads = threads
        self._eco = eco
        self._packets = 0
        self._last_packet_pts: int | None = None
        self._open(threads)

    def _open(self, threads: int) -> None:
        if isinstance(self.where, Path):
            check_file(self.where, self.name)
        self.container = open_container(self.where, self.name, self._format)
        try:
            self.video_streams = [
                stream
                for stream in self.container.streams.video
                if not stream.disposition & Disposition.attached_pic
            ]
            self.stream = self._choose()
            context = self.stream.codec_context
            if context is None:
                raise VideoError(
                    f"{self.name}: this build of FFmpeg has no decoder for its video; "
                    "convert it, e.g. to H.264"
                )
            self.stream.thread_type = _thread_type(threads, self.live)
            context.thread_count = threads
            if self._eco:
                context.skip_frame = "NONREF"
        except BaseException:
            self.container.close()
            raise

    def _choose(self) -> av.VideoStream:
        streams = self.video_streams
        if not streams:
            other = "only sound" if self.container.streams.audio else "no sound either"
            raise VideoError(f"{self.name}: holds no video stream, {other}; name another file")
        if self._stream_choice is None:
            return max(streams, key=_preference)
        if not 0 <= self._stream_choice < len(streams):
            found = ", ".join(f"{i}: {describe_stream(stream)}" for i, stream in enumerate(streams))
            raise OptionError(
                f"{self.name}: stream={self._stream_choice} does not exist; it holds {found}"
            )
        return streams[self._stream_choice]

    @property
    def duration_seconds(self) -> float | None:
        """What the header says; None if it says nothing."""
        if self.stream.duration and self.stream.time_base:
            seconds = float(self.stream.duration * self.stream.time_base)
        elif self.container.duration:
            seconds = self.container.duration / av.time_base
        else:
            return None
        return seconds if seconds > 0 else None

    @property
    def start_seconds(self) -> float:
        """Where the header says that the stream begins; 0 if it says nothing."""
        start, base = self.stream.start_time, self.stream.time_base
        return float(start * base) if start is not None and base else 0.0

    @property
    def frame_rate(self) -> float | None:
        """The average frame rate the header says."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        return float(rate) if rate else None

    @property
    def pixel_aspect(self) -> float | None:
        """Width of a pixel over its height."""
        ratio = self.stream.sample_aspect_ratio
        return float(ratio) if ratio else None

    @property
    def in_decoding_order(self) -> bool:
        """Whether the container stores no presentation times.

        AVI numbers its chunks in decoding order and FFmpeg passes that off as presentation time;
        with B-frames every third picture then seems to go back in time. The decoding time at
        which a picture came out is its true place.
        """
        return self.container.format.name == "avi"

    def seek(self, seconds: float) -> bool:
        """Goes to a key frame at or before `seconds`; False if the container cannot."""
        try:
            base = self.stream.time_base
            if not base:
                return False
            self.container.seek(int(seconds / base), backward=True, stream=self.stream)
        except (av.FFmpegError, OSError, OverflowError):
            return False
        return True

    def pictures(self) -> Iterator[av.VideoFrame]:
        """Decodes from where it stands.

        Raises:
            DecodingStopped: damage, a connection that broke, or packets without any picture.
        """
        reason = None
        delivered = 0
        last_pts = None
        try:
            for picture in self._decode():
                delivered += 1
                last_pts = picture.pts
                yield picture
        except av.FFmpegError as error:
            reason = what_failed(error, f"nothing came for {READ_TIMEOUT_SECONDS:.0f} s")
        if reason is None and not self.live and self._threads != 1 and delivered < self._packets:
            reason = self._error_after(last_pts)
        if reason is None and not self.live:
            reason = self._undecoded_end(last_pts)
        if reason is None and self._is_cut_off():
            reason = "the file ends before its last frames"
        if reason is not None:
            raise DecodingStopped(reason)

    def _error_after(self, pts: int | None) -> str | None:
        """What a single thread says after the last picture.

        With many threads FFmpeg keeps quiet about damage in the last packets, which all threads
        hold when the file ends. The pictures are the same, only the error is missing.
        """
        if pts is None:
            return None
        self.container.close()
        self._open(threads=1)
        found = False
        try:
            self.container.seek(pts, backward=True, stream=self.stream)
            for picture in self._decode():
                found |= picture.pts == pts
        except (av.FFmpegError, OSError) as error:
            # An error before that picture comes from where the seek landed.
            return (error.strerror or type(error).__name__) if found else None
        return None

    def _undecoded_end(self, pts: int | None) -> str | None:
        """Whether a decoder (HEVC's does) silently swallowed the rest of a damaged file."""
        base = self.stream.time_base
        if pts is None or self._last_packet_pts is None or not base:
            return None
        missing = float((self._last_packet_pts - pts) * base)
        if missing <= _UNDECODED_SECONDS:
            return None
        return f"nothing of the last {missing:.1f} s can be decoded"

    def _decode(self) -> Iterator[av.VideoFrame]:
        patient_until = time.monotonic() + NO_PICTURE_SECONDS
        for packet in self.container.demux(self.stream):
            if packet.size and not packet.is_discard:
                self._packets += 1
                if packet.pts is not None:
                    self._last_packet_pts = max(packet.pts, self._last_packet_pts or packet.pts)
            try:
                pictures = packet.decode()
            except av.error.InvalidDataError:
                if not self.live:
                    raise
                self.corrupt_packets += 1
                pictures = []
            yield from pictures
            now = time.monotonic()
            if pictures:
                patient_until = now + NO_PICTURE_SECONDS
            elif not isinstance(self.where, Path) and now > patient_until:
                raise DecodingStopped(f"nothing could be decoded for {NO_PICTURE_SECONDS:.0f} s")

    def _is_cut_off(self) -> bool:
        """Whether the index names data beyond the end of the file: a copy that was interrupted."""
        entries = getattr(self.stream, "index_entries", None)
        if not isinstance(self.where, Path) or entries is None or len(entries) == 0:
            return False
        last = entries[len(entries) - 1]
        return last.pos + last.size > self.where.stat().st_size

    def is_encrypted(self) -> bool:
        """Whether an MP4 file says that its samples are encrypted (the box `encv`)."""
        if not isinstance(self.where, Path):
            return False
        with self.where.open("rb") as file:
            head = file.read(_HEADER_BYTES)
            file.seek(max(0, self.where.stat().st_size - _HEADER_BYTES))
            return b"encv" in head or b"encv" in file.read(_HEADER_BYTES)

    def close(self) -> None:
        """Closes the file or connection."""
        self.container.close()


def _thread_type(threads: int, live: bool) -> str:
    if threads == 1:
        return "NONE"
    # Frame threads hold back one picture each, which a camera's viewer would see as delay.
    return "SLICE" if live else "AUTO"


def _preference(stream: av.VideoStream) -> int:
    bonus = _DEFAULT_STREAM_BONUS if stream.disposition & Disposition.default else 0
    context = stream.codec_context
    return bonus + (context.width * context.height if context else 0)


def describe_stream(stream: av.VideoStream) -> str:
    """Codec and stored size of a stream, e.g. `h264 320x180`."""
    context = stream.codec_context
    return f"{context.codec.name} {context.width}x{context.height}" if context else "unknown codec"
