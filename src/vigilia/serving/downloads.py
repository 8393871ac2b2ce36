"""What a timeline can be downloaded as: every format that Vigilia writes, made in memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from pathlib import Path

from vigilia.errors import OptionError
from vigilia.serving.schema import ExportFormat
from vigilia.timeline import FORMATS, Timeline, from_timeline, write_annotations
from vigilia.timeline.files import WRITERS

__all__ = ["EPOCH_SECONDS", "EXPORTS", "Download", "download", "export_formats"]

EPOCH_SECONDS = 30.0
"""Length of an epoch of a hypnogram where nobody says another; that of sleep scoring in people."""

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
    """A file: its bytes, its name, its type on the web."""

    data: bytes
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
    """
    if format not in EXPORTS:
        raise OptionError(f"there is no format {format!r}; choose one of {', '.join(EXPORTS)}")
    if not timeline.segments:
        raise OptionError("there are no results in this time yet")
    _, ending, media_type = EXPORTS[format]
    if format in WRITERS:
        return Download(WRITERS[format](timeline).encode(), stem + ending, media_type)
    annotations = from_timeline(timeline, stem)
    if wall_start is not None:
        # Without a zone `astimezone` takes this machine's, and summer time as it was then.
        started = datetime.fromtimestamp(wall_start).astimezone(zone)
        annotations = replace(annotations, started=started)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"timeline{ending}"
        write_annotations(annotations, path, format=format, fps=fps, epoch_seconds=epoch_seconds)
        return Download(path.read_bytes(), stem + ending, media_type)
