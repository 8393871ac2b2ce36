"""NWB, Neurodata Without Borders: bouts as tables of intervals, read from the HDF5 file itself.

Read are, in this order, the tables of type `EthogramBouts` (the ndx-ethogram extension), other
`TimeIntervals` with a column of labels, and `IntervalSeries`, in which +1 starts a bout and -1 ends
it. `EventsTable`s with labels are points, `Ethogram`s declare classes. Rows are the number of the
bout in its table. nwb_writing.py writes.

Oliver Ruebel and others, "The Neurodata Without Borders ecosystem for neurophysiological data
science", 2022.
"""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError, MissingExtraError
from vigilia.installation import install_command
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.boris_writing import UNKNOWN_DATE
from vigilia.timeline.formats.csv_columns import LABEL_NAMES, OTHER_LABEL_NAMES
from vigilia.timeline.formats.format import TOLD, Format, Options
from vigilia.timeline.formats.nwb_writing import NO_ZONE, write
from vigilia.timeline.texts import read_bytes

__all__ = ["HDF5_START", "NWB", "read"]

HDF5_START = b"\x89HDF\r\n\x1a\n"


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads the behaviour in a file of one session.

    Raises:
        LabelError: it is no NWB file, is damaged, or holds no labelled intervals.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(f"{path}: NWB is read by h5py; {install_command('nwb')}") from error
    try:
        with h5py.File(io.BytesIO(read_bytes(path)), "r") as file:
            return (_session(file, path),)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise LabelError(f"{path} is a damaged HDF5 file, or half-written: {error}") from error


def _session(file: Any, path: Path) -> Annotations:
    if "nwb_version" not in file.attrs:
        raise LabelError(f"{path} is HDF5, but no NWB 2 file; export the labels as CSV")
    groups: dict[str, list[Any]] = {}
    file.visititems(lambda _, one: groups.setdefault(_type(one), []).append(one))
    tables = groups.get("EthogramBouts") or [
        one for one in groups.get("TimeIntervals", []) if _label_column(one)
    ]
    events = [event for table in tables for event in _bouts(table, path)]
    if not tables:
        for one in groups.get("IntervalSeries", []):
            events += _series(one, path)
    points = [one for one in groups.get("EventsTable", []) if _label_column(one)]
    events += [event for table in points for event in _points(table)]
    classes = [name for one in groups.get("Ethogram", []) for name in _texts(one["behavior"])]
    if not events and not classes:
        raise LabelError(
            f"{path} is an NWB file without labelled intervals; expected EthogramBouts, "
            "TimeIntervals with a column of labels, or IntervalSeries"
        )
    videos = _videos(tables, groups.get("ImageSeries", []))
    fps, lengths = _rate(videos[0]) if len(videos) == 1 else (None, ())
    return Annotations(
        events=tuple(events),
        classes=tuple(dict.fromkeys(classes)),
        recording=_text(file["identifier"][()]) if "identifier" in file else "",
        media=tuple(
            name for one in videos for name in map(base_name, _texts(one["external_file"]))
        ),
        media_seconds=lengths,
        duration_seconds=math.fsum(lengths) if lengths else None,
        fps=fps,
        observed=_observed(tables),
        started=_started(file),
        path=path,
    )


def _type(one: Any) -> str:
    return _text(one.attrs.get("neurodata_type", ""))


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _texts(column: Any) -> list[str]:
    return [_text(one) for one in column[()]]


def _numbers(column: Any) -> list[float]:
    return [float(one) for one in column[()]]


def _label_column(table: Any) -> str:
    """The column that says what went on; empty if there is none of words."""
    for name in (*LABEL_NAMES, "label_name", *OTHER_LABEL_NAMES):
        column = table.get(name)
        if column is not None and hasattr(column, "dtype") and column.dtype.kind in "OSU":
            return name
    return ""


def _cells(table: Any, name: str) -> list[str]:
    count = len(table["id"])
    return _texts(table[name]) if name in table else [""] * count


def _rest(table: Any) -> Iterator[dict[str, Any]]:
    """What Vigilia keeps in columns of its own beside times and labels, row by row."""
    count = len(table["id"])
    sure = _numbers(table["confidence"]) if "confidence" in table else [-1.0] * count
    annotator = _text(table.attrs.get("annotator", ""))
    scorers = _cells(table, "scorer") if "scorer" in table else [annotator] * count
    columns = (
        _cells(table, "subject"),
        _cells(table, "modifiers"),
        scorers,
        _cells(table, "comment"),
    )
    for row, (who, modifiers, scorer, comment, one) in enumerate(
        zip(*columns, sure, strict=True), start=1
    ):
        yield {
            "subject": who,
            "modifiers": tuple(modifiers.split("|")) if modifiers else (),
            "scorer": scorer,
            "comment": comment,
            "confidence": one if 0 <= one <= 1 else None,
            "row": row,
        }


def _bouts(table: Any, path: Path) -> Iterator[Event]:
    name = _label_column(table)
    if not name:
        raise LabelError(f"{path}: the table {table.name} has no column of labels")
    columns = _numbers(table["start_time"]), _numbers(table["stop_time"]), _texts(table[name])
    for start, end, label, rest in zip(*columns, _rest(table), strict=True):
        yield Event(start, end, label, **rest)


def _points(table: Any) -> Iterator[Event]:
    columns = _numbers(table["timestamp"]), _texts(table[_label_column(table)])
    for moment, label, rest in zip(*columns, _rest(table), strict=True):
        yield Event(moment, moment, label, **rest)


def _series(series: Any, path: Path) -> Iterator[Event]:
    label = series.name.rsplit("/", 1)[-1]
    start = None
    codes = _numbers(series["data"])
    for row, (moment, code) in enumerate(
        zip(_numbers(series["timestamps"]), codes, strict=True), start=1
    ):
        if code > 0:
            start = (moment, row)
        elif start is not None:
            yield Event(start[0], moment, label, row=start[1])
            start = None
        else:
            raise LabelError(f"{path}: {series.name}, row {row}: a bout ends that did not start")


def _videos(tables: Sequence[Any], series: Sequence[Any]) -> list[Any]:
    """The videos that the bouts name, else the only one of the file."""
    named = {
        one["source_video"].name: one["source_video"] for one in tables if "source_video" in one
    }
    videos = list(named.values()) or (list(series) if len(series) == 1 else [])
    return [one for one in videos if "external_file" in one]


def _rate(video: Any) -> tuple[float | None, tuple[float, ...]]:
    """Frames a second, and the length of each file in seconds, where the series tells them."""
    if "starting_time" not in video:
        return None, ()
    fps = float(video["starting_time"].attrs["rate"])
    files = video["external_file"]
    starts = [float(one) for one in files.attrs.get("starting_frame", [0])]
    if "num_samples" not in video or len(starts) != len(files):
        return fps, ()
    edges = [*starts, float(video["num_samples"][()])]
    return fps, tuple((end - start) / fps for start, end in itertools.pairwise(edges))


def _observed(tables: Sequence[Any]) -> tuple[tuple[float, float], ...] | None:
    spans = [
        span
        for one in tables
        if "observation_intervals" in one
        for span in zip(
            _numbers(one["observation_intervals"]["start_time"]),
            _numbers(one["observation_intervals"]["stop_time"]),
            strict=True,
        )
    ]
    told = any("observation_intervals" in one for one in tables)
    return tuple(sorted(set(spans))) if told else None


def _started(file: Any) -> datetime | None:
    """With the zone that the file tells, if it is not one that stands for none."""
    told = _text(file["session_start_time"][()]) if "session_start_time" in file else ""
    notes = _text(file["general/notes"][()]) if "general/notes" in file else ""
    try:
        started = datetime.fromisoformat(told)
    except ValueError:
        return None
    on_the_wall = started.replace(tzinfo=None)
    if on_the_wall == datetime.fromisoformat(UNKNOWN_DATE):
        return None
    return on_the_wall if NO_ZONE in notes else started


NWB = Format(
    title="NWB with ndx-ethogram",
    suffixes=(".nwb",),
    read=read,
    write=write,
    keeps=TOLD | {"scorers", "classes", "holes", "spaces"},
)
