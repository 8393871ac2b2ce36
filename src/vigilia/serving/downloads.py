"""What a timeline can be downloaded as: every format that Vigilia writes, made in a file.

However long it is and however slowly it is fetched, it is not held in memory meanwhile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path
from typing import IO

from vigilia.errors import OptionError, OutputError
from vigilia.serving.schema import ExportFormat
from vigilia.timeline import FORMATS, Timeline, from_timeline, write_annotations
from vigilia.timeline.files import WRITERS, json_pieces

__all__ = ["EPOCH_SECONDS", "EXPORTS", "PIECE_BYTES", "Download", "download", "export_formats"]

EPOCH_SECONDS = 30.0
"""Length of an epoch of a hypnogram where nobody says another; that of sleep scoring in people."""

PIECE_BYTES = 1 << 16
"""So much of a download is held at a time."""

_TITLES = {
    # Those that most people want come first.
    "csv": "CSV table",
    "xlsx": "Excel",
    "json": "JSON, everything",
    "vtt": "WebVTT captions",
    "boris": "BORIS project",
    "elan": "ELAN",
    "nwb": "NWB",
    "edf": "EDF+ hypnogram",
    "bdf": "BDF+ hypnogram",
    "hypnogram": "Hypnogram, plain",
    "yasa": "YASA hypnogram",
    "yasa-table": "YASA table",
    "frames": "Frame list",
    "boris-tabular": "BORIS events",
    "boris-aggregated": "BORIS bouts",
    "label-studio": "Label Studio",
    "deepethogram": "DeepEthogram",
    "feral": "FERAL",
}
_ENDINGS = {
    "boris-tabular": ".boris.csv",
    "boris-aggregated": ".boris-bouts.csv",
    "deepethogram": ".deepethogram.csv",
    "activitynet": ".activitynet.json",
    "hypnogram": ".hypnogram.txt",
    "frames": ".frames.txt",
}
_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".txt": "text/plain",
    ".vtt": "text/vtt",
    ".eaf": "application/xml",
    ".json": "application/json",
    ".boris": "application/json",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".nwb": "application/x-hdf5",
}


def _exports() -> dict[str, tuple[str, str, str]]:
    found = {}
    written = [name for name, format in FORMATS.items() if format.write is not None]
    for name in dict.fromkeys([*_TITLES, *written]):
        if name in WRITERS:
            title, ending = _TITLES[name], f".{name}"
        else:
            title = _TITLES.get(name, FORMATS[name].title)
            ending = _ENDINGS.get(name) or FORMATS[name].suffixes[0]
        media_type = _MEDIA_TYPES.get(Path(ending).suffix, "application/octet-stream")
        found[name] = (title, ending, media_type)
    return found


EXPORTS: dict[str, tuple[str, str, str]] = _exports()
"""Format to what people call it, the ending of its files, and what they are on the web."""


@dataclass(frozen=True)
class Download:
    """A file that goes when it is closed.

    Attributes:
        file: at its beginning.
        size: in bytes.
        name: under which it is saved.
        media_type: on the web.
    """

    file: IO[bytes]
    size: int
    name: str
    media_type: str


def export_formats() -> list[ExportFormat]:
    """What there is to choose from."""
    return [
        {"format": name, "title": title, "suffix": suffix}
        for name, (title, suffix, _) in EXPORTS.items()
    ]


def download(
    timeline: Timeline,
    format: str,
    stem: str,
    *,
    wall_start: float | None = None,
    zone: tzinfo | None = None,
    fps: float | None = None,
    epoch_seconds: float = EPOCH_SECONDS,
) -> Download:
    """A timeline as a file.

    Args:
        timeline: with scores, if the format keeps them.
        format: one of `EXPORTS`.
        stem: of the file's name.
        wall_start: Unix time at 0 seconds, for formats that keep a date.
        zone: of the clock on the wall; None for this machine's.
        fps: frames a second, for formats that count frames.
        epoch_seconds: length of an epoch, for hypnograms.

    Raises:
        OptionError: there is no such format, or nothing to write.
        LabelError: the format cannot hold this timeline; the message says why.
        MissingExtraError: what writes the format is not installed.
        OutputError: there is no room for it.
    """
    if format not in EXPORTS:
        raise OptionError(f"there is no format {format!r}; choose one of {', '.join(EXPORTS)}")
    if not timeline.segments:
        raise OptionError("there are no results in this time yet")
    _, ending, media_type = EXPORTS[format]
    name = stem + ending
    try:
        if format == "json":
            return _download(map(str.encode, json_pieces(timeline)), name, media_type)
        if format in WRITERS:
            return _download([WRITERS[format](timeline).encode()], name, media_type)
        annotations = from_timeline(timeline, stem)
        if wall_start is not None:
            # Without a zone `astimezone` takes this machine's, and summer time as it was then.
            started = datetime.fromtimestamp(wall_start).astimezone(zone)
            annotations = replace(annotations, started=started)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"timeline{ending}"
            write_annotations(
                annotations, path, format=format, fps=fps, epoch_seconds=epoch_seconds
            )
            with path.open("rb") as written:
                return _download(iter(lambda: written.read(PIECE_BYTES), b""), name, media_type)
    except OSError as error:
        raise OutputError(
            f"the download cannot be made ({error.strerror}); is there room in "
            f"{tempfile.gettempdir()}?"
        ) from error


def _download(pieces: Iterable[bytes], name: str, media_type: str) -> Download:
    file = tempfile.TemporaryFile()  # noqa: SIM115  whoever sends it closes it
    try:
        file.writelines(pieces)
        size = file.tell()
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return Download(file, size, name, media_type)
