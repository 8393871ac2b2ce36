"""What a file's headers claim, without decoding anything."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from vigilia.video.decoder import Decoder, describe_stream

__all__ = ["VideoInfo", "probe"]


@dataclass(frozen=True)
class VideoInfo:
    """What a file's headers claim; nothing is decoded.

    Attributes:
        path: the file.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the codec, e.g. `h264`.
        pixel_format: e.g. `yuv420p`; None if the header does not say.
        width: stored width, before rotation and pixel aspect.
        height: stored height.
        frame_rate: average, None if unknown. Never a way to compute times.
        duration_seconds: None if unknown.
        frames: how many the header claims, None if it does not say. Often wrong.
        size_bytes: of the file.
        streams: every video stream as text, e.g. `h264 320x180`, in order.
        stream: the index among them that is read by default.
        audio_streams: how many.
    """

    path: Path
    container: str
    codec: str
    pixel_format: str | None
    width: int
    height: int
    frame_rate: float | None
    duration_seconds: float | None
    frames: int | None
    size_bytes: int
    streams: tuple[str, ...]
    stream: int
    audio_streams: int


def probe(path: str | Path) -> VideoInfo:
    """Reads a file's headers.

    Raises:
        VideoError: it cannot be opened or holds no video.
    """
    path = Path(path)
    with contextlib.closing(Decoder(path, name=str(path))) as decoder:
        video = decoder.video_streams
        return VideoInfo(
            path=path,
            container=decoder.container.format.name,
            codec=decoder.stream.codec_context.codec.name,
            pixel_format=decoder.stream.codec_context.pix_fmt,
            width=decoder.stream.codec_context.width,
            height=decoder.stream.codec_context.height,
            frame_rate=decoder.frame_rate,
            duration_seconds=decoder.duration_seconds,
            frames=decoder.stream.frames or None,
            size_bytes=path.stat().st_size,
            streams=tuple(describe_stream(stream) for stream in video),
            stream=video.index(decoder.stream),
            audio_streams=len(decoder.container.streams.audio),
        )
