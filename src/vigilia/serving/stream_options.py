"""One declared stream: what is watched, and how; the same keys in the file and over HTTP."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from urllib.parse import urlsplit

from vigilia.errors import OptionError
from vigilia.serving.fields import Fields
from vigilia.serving.schema import Kind
from vigilia.timeline import SegmenterOptions
from vigilia.video.source import redact

__all__ = ["DEVICE_PATTERN", "NAME_PATTERN", "SCHEMES", "StreamOptions", "stream_options"]

SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "srt", "udp", "tcp", "rtp")
"""What an address may begin with. FFmpeg knows more, and some of them read local files."""

NAME_PATTERN = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-])?"
DEVICE_PATTERN = r"/dev/video[0-9]+|webcam:[0-9]+"

_NAME = re.compile(NAME_PATTERN)
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
_DEVICE = re.compile(DEVICE_PATTERN)
_LATEST = 1e11


@dataclass(frozen=True, repr=False)
class StreamOptions:
    """What is watched under one name.

    Attributes:
        name: of the stream; also of its folder.
        source: file, folder, device or address; may hold a password.
        kind: which of them.
        wall_start: Unix time at 0 seconds of a recording; None if it is not known.
        wall_zone: the offset from UTC that it was given with; None for that of the machine.
        follow: a folder to which a recorder keeps adding files.
        realtime: a recording is watched no faster than it was made.
        gate: skip steps where nothing moves.
        segmenter: how probabilities become segments.
        max_gap_seconds: a longer time without a frame is unobserved.
        truth: hand labels to show; None for none.
    """

    name: str
    source: str
    kind: Kind
    wall_start: float | None = None
    wall_zone: timezone | None = None
    follow: bool = False
    realtime: bool = False
    gate: bool = False
    segmenter: SegmenterOptions = field(default_factory=SegmenterOptions)
    max_gap_seconds: float = 2.0
    truth: Path | None = None

    @property
    def live(self) -> bool:
        """A camera: what is not read in time is lost, and it has no end."""
        return self.kind in ("device", "address")

    @property
    def shown_source(self) -> str:
        """The source without user name, password and query."""
        return redact(self.source) if self.kind == "address" else self.source

    def __repr__(self) -> str:
        return f"StreamOptions({self.name!r}, {self.shown_source!r})"


def stream_options(fields: Fields, folder: Path | None = None) -> StreamOptions:
    """Reads the keys of one stream.

    Args:
        fields: the table.
        folder: from which relative paths count; None where only absolute ones are allowed.

    Raises:
        OptionError: a value breaks its rule.
    """
    name = fields.text("name")
    if not _NAME.fullmatch(name):
        raise fields.fail("name", "must be 1 to 64 letters, digits, '-', '_' and '.', not first")
    kind, source = _source(fields, folder)
    live = kind in ("device", "address")
    truth = fields.optional_text("truth")
    wall_start, wall_zone = _wall_start(fields)
    options = StreamOptions(
        name=name,
        source=source,
        kind=kind,
        wall_start=wall_start,
        wall_zone=wall_zone,
        follow=fields.flag("follow"),
        realtime=fields.flag("realtime"),
        gate=fields.flag("gate"),
        segmenter=_segmenter(fields),
        max_gap_seconds=fields.number("max_gap_seconds", 2.0, least=0.001),
        truth=None if truth is None else (folder or Path("/")) / truth,
    )
    fields.done()
    if live and options.wall_start is not None:
        raise fields.fail("wall_start", "a camera starts when it is first seen; leave it out")
    if options.follow and kind != "folder":
        raise fields.fail("follow", "goes with a folder of recorder chunks only")
    if live and options.realtime:
        raise fields.fail("realtime", "a camera is real already; leave it out")
    return options


def _source(fields: Fields, folder: Path | None) -> tuple[Kind, str]:
    text = fields.text("source")
    if _DEVICE.fullmatch(text):
        return "device", text
    if match := _ADDRESS.fullmatch(text):
        if match[1].lower() not in SCHEMES:
            raise fields.fail("source", f"an address begins with {', '.join(SCHEMES)}")
        _check_address(fields, text)
        return "address", text
    path = Path(os.path.expanduser(text))  # pathlib's raises where there is no such user
    if not path.is_absolute():
        if folder is None:
            raise fields.fail("source", "must be an absolute path, a device or an address")
        path = folder / path
    # Likewise: what cannot be looked at is no error yet.
    return ("folder" if os.path.isdir(path) else "file"), str(path)


def _check_address(fields: Fields, text: str) -> None:
    try:
        pieces = urlsplit(text)
        port = pieces.port  # says so if it is none
    except ValueError:  # its text may repeat a password
        raise fields.fail(
            "source", "the address cannot be read; write [, ], # and / in a password as %5B, ..."
        ) from None
    if not pieces.hostname and port is None:  # udp://@:5000 is a port of our own
        raise fields.fail("source", "the address names no host")


def _wall_start(fields: Fields) -> tuple[float | None, timezone | None]:
    """When, and by a clock of which offset from UTC."""
    value = fields.get("wall_start")
    if value is None:
        return None, None
    if isinstance(value, datetime):  # TOML has times of its own
        return _with_zone(fields, value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return fields.number("wall_start", 0.0, most=_LATEST), None
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        raise fields.fail(
            "wall_start", "must be a time such as 2026-11-21T02:00:00+01:00, or Unix seconds"
        ) from None
    return _with_zone(fields, time)


def _with_zone(fields: Fields, time: datetime) -> tuple[float, timezone]:
    offset = time.utcoffset()
    if offset is None:
        raise fields.fail("wall_start", "must say its time zone, such as ...T02:00:00+01:00")
    seconds = time.timestamp()
    if not 0 <= seconds <= _LATEST:
        raise fields.fail("wall_start", "must be a time since 1970")
    return seconds, timezone(offset)


def _segmenter(fields: Fields) -> SegmenterOptions:
    values = {
        key: fields.number(key, 0.0)
        for key in ("smooth_seconds", "hysteresis", "minimum_bout_seconds")
    }
    try:
        return SegmenterOptions(**values)
    except OptionError as error:
        raise OptionError(f"{fields.where}: {error}") from error
