"""Reads what people annotated: tables of bouts, or of one label a frame.

| kind | columns, by any of these names |
| --- | --- |
| bouts | a start, an end or a duration, and a label |
| bouts in frames | `start_frame`, `end_frame_exclusive`, a label; `fps` must be given |
| frame by frame | a time, or `frame` with `fps` given, and a label |

A `video` or `file` column tells recordings apart. Case, spaces and brackets in names do not matter.
An empty label, or the word `unobserved`, means that nobody knows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import LabelError, OptionError
from vigilia.timeline.intervals import ROUNDING_SECONDS, majority
from vigilia.timeline.tables import (
    Row,
    Table,
    parse_number,
    parse_seconds,
    plain_name,
    read_table,
)
from vigilia.timeline.timeline import UNOBSERVED

__all__ = [
    "Interval",
    "Labels",
    "check_labels",
    "label_of",
    "labels_for",
    "labels_of_video",
    "read_label_table",
    "read_labels",
]

START_NAMES = ("start_seconds", "start", "start_s", "start_sec", "start_time", "onset", "begin")
END_NAMES = ("end_seconds", "end", "end_s", "end_sec", "end_time", "stop", "stop_s", "stop_time")
DURATION_NAMES = ("duration_seconds", "duration", "duration_s", "duration_sec")
TIME_NAMES = ("time_s", "time", "seconds", "time_seconds", "time_sec", "timestamp")
FRAME_NAMES = ("frame", "frame_index", "frame_number")
LABEL_NAMES = ("label", "state", "behavior", "behaviour", "class", "phase", "stage")
VIDEO_NAMES = ("video", "file", "filename", "file_name", "video_file", "recording")

HOLE_SECONDS = 1.0
HOLE_FRAMES = 5
"""A pause between rows longer than both this many seconds and usual spacings is a hole."""


@dataclass(frozen=True)
class Interval:
    """One labelled stretch of a recording, half-open.

    Attributes:
        start_seconds: its first moment.
        end_seconds: the first moment after it.
        label: the state.
        row: line of the file that it comes from, for messages; 0 if from no file.
    """

    start_seconds: float
    end_seconds: float
    label: str
    row: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Labels:
    """The annotations of one recording.

    Attributes:
        intervals: ascending, without overlap; what no interval covers was not labelled.
        path: the file they come from.
    """

    intervals: tuple[Interval, ...]
    path: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({interval.label for interval in self.intervals}))

    def __repr__(self) -> str:
        return (
            f"Labels({self.path.name}: {len(self.intervals)} intervals, "
            f"{', '.join(self.classes[:6])}{' ...' if len(self.classes) > 6 else ''})"
        )


@dataclass(frozen=True)
class _Columns:
    """Where a table keeps what; None where it does not."""

    label: int
    video: int | None
    start: int | None
    end: int | None
    duration: int | None
    time: int | None
    frame: int | None
    start_frame: int | None
    end_frame: int | None


def read_labels(
    path: str | Path,
    *,
    video: str | None = None,
    fps: float | None = None,
    label_column: str | None = None,
) -> Labels:
    """Reads the annotations of one recording.

    Args:
        path: the table.
        video: the recording, needed where the table holds several; matched by file name, else stem.
        fps: frames a second, needed where the table counts frames and has no times.
        label_column: the column of the label, needed where several could be meant.

    Raises:
        LabelError: the file cannot be used; the message names the row.
    """
    table = read_table(path)
    columns = _find_columns(table, fps, label_column)
    if columns.video is None:
        return _labels(table, table.rows, columns, fps)
    of_video = _split(table, columns.video)
    if video is None:
        if len(of_video) != 1:
            raise LabelError(
                f"{path} holds {len(of_video)} recordings; name one of them, "
                f"such as '{next(iter(of_video))}'"
            )
        return _labels(table, next(iter(of_video.values())), columns, fps)
    return _labels(table, of_video[_match(of_video, video, Path(path))], columns, fps)


def read_label_table(
    path: str | Path, *, fps: float | None = None, label_column: str | None = None
) -> dict[str, Labels]:
    """Reads the annotations of several recordings, by the names in the `video` or `file` column.

    Raises:
        LabelError: the file cannot be used, or has no such column.
    """
    table = read_table(path)
    columns = _find_columns(table, fps, label_column)
    if columns.video is None:
        raise LabelError(
            f"{path} has no column that names the recording; found {', '.join(table.header)}, "
            f"expected one of {', '.join(VIDEO_NAMES)}"
        )
    return {
        name: _labels(table, rows, columns, fps)
        for name, rows in _split(table, columns.video).items()
    }


def labels_of_video(table: Mapping[str, Labels], video: str | Path) -> Labels:
    """Finds a recording in what `read_label_table` returned, by file name, else by stem.

    Raises:
        LabelError: none or several fit.
    """
    path = next(iter(table.values())).path if table else Path("the label table")
    return table[_match(table, str(video), path)]


def check_labels(
    labels: Labels,
    *,
    classes: Sequence[str] | None = None,
    duration_seconds: float | None = None,
) -> None:
    """Makes sure that annotations fit the classes and the recording.

    Args:
        labels: the annotations.
        classes: the labels that may occur; not checked if not given.
        duration_seconds: length of the recording; labels may reach one second past either end.

    Raises:
        LabelError: they do not fit; the message names the row.
    """
    for interval in labels.intervals:
        if classes is not None and interval.label not in classes:
            shown = ", ".join(list(classes)[:12]) + (" ..." if len(classes) > 12 else "")
            raise LabelError(
                f"{labels.path}, row {interval.row}: '{interval.label}' is none of the classes "
                f"({shown}); correct the label or add the class"
            )
        if duration_seconds is not None and (
            interval.end_seconds > duration_seconds + 1 or interval.start_seconds < -1
        ):
            raise LabelError(
                f"{labels.path}, row {interval.row}: {interval.start_seconds:.3f} to "
                f"{interval.end_seconds:.3f} s lies outside the recording of "
                f"{duration_seconds:.3f} s; is it the right video, are the times in seconds?"
            )


def label_of(labels: Labels, start_seconds: float, end_seconds: float) -> str | None:
    """The label that covers most of [start, end); None if less than half of it is labelled.

    Of labels that cover the same time the one that comes first in the interval wins.

    Raises:
        OptionError: the interval is empty.
    """
    code = labels_for(labels, [start_seconds], [end_seconds], labels.classes)[0]
    return None if code < 0 else labels.classes[code]


def labels_for(
    labels: Labels, starts: ArrayLike, ends: ArrayLike, classes: Sequence[str]
) -> NDArray[np.int64]:
    """`label_of` for N intervals, as numbers.

    Args:
        labels: the annotations.
        starts: (N,) seconds.
        ends: (N,) seconds.
        classes: the names that the numbers stand for.

    Returns:
        (N,) int64: index into `classes`; -1 where less than half is labelled, or where the label is
        none of `classes`.

    Raises:
        OptionError: an interval is empty.
    """
    index = {label: code for code, label in enumerate(classes)}
    unknown = len(classes)
    codes = majority(
        [interval.start_seconds for interval in labels.intervals],
        [interval.end_seconds for interval in labels.intervals],
        [index.get(interval.label, unknown) for interval in labels.intervals],
        starts,
        ends,
    )
    return np.where(codes == unknown, -1, codes)


def _find_columns(table: Table, fps: float | None, label_column: str | None) -> _Columns:
    if fps is not None and not (math.isfinite(fps) and fps > 0):
        raise OptionError(f"fps must be a positive number, got {fps}")
    found = {
        name: _one(table, names)
        for name, names in {
            "video": VIDEO_NAMES,
            "start": START_NAMES,
            "end": END_NAMES,
            "duration": DURATION_NAMES,
            "time": TIME_NAMES,
            "frame": FRAME_NAMES,
            "start_frame": ("start_frame",),
            "end_frame": ("end_frame_exclusive",),
        }.items()
    }
    columns = _Columns(label=_label_column(table, label_column), **found)
    if columns.start is not None and (columns.end is not None or columns.duration is not None):
        return columns
    if columns.time is not None:
        return columns
    in_frames = columns.start_frame is not None and columns.end_frame is not None
    if in_frames or columns.frame is not None:
        if fps is None:
            raise LabelError(f"{table.path} counts frames and has no times; give the fps")
        return columns
    raise LabelError(
        f"{table.path} says no times: found {', '.join(table.header)}; expected start_seconds and "
        "end_seconds (or duration), start_frame and end_frame_exclusive, or time_s"
    )


def _one(table: Table, names: Sequence[str]) -> int | None:
    """The column of the first of `names` that the table has."""
    for name in names:
        if columns := table.find(name):
            return columns[0]
    return None


def _label_column(table: Table, label_column: str | None) -> int:
    names = LABEL_NAMES if label_column is None else (plain_name(label_column),)
    columns = table.find(*names)
    if len(columns) == 1:
        return columns[0]
    if columns:
        could_be = ", ".join(table.header[column] for column in columns)
        raise LabelError(
            f"{table.path}: several columns could be the label ({could_be}); choose one as the "
            "label column"
        )
    expected = label_column or "one of " + ", ".join(LABEL_NAMES)
    raise LabelError(
        f"{table.path} has no column for the label: found {', '.join(table.header)}, "
        f"expected {expected}"
    )


def _split(table: Table, column: int) -> dict[str, tuple[Row, ...]]:
    of_video: dict[str, list[Row]] = {}
    for row in table.rows:
        if not row.cells[column]:
            raise LabelError(f"{table.path}, row {row.number}: the recording's name is empty")
        of_video.setdefault(row.cells[column], []).append(row)
    if not of_video:
        raise LabelError(f"{table.path} has a header but no rows")
    return {name: tuple(rows) for name, rows in of_video.items()}


def _match(names: Mapping[str, object], video: str, path: Path) -> str:
    def base(name: str) -> str:
        return name.replace("\\", "/").rsplit("/", 1)[-1]

    def stem(name: str) -> str:
        return PurePath(base(name)).stem

    if video in names:
        return video
    for key in (base, stem):
        fits = [name for name in names if key(name) == key(video)]
        if len(fits) == 1:
            return fits[0]
        if fits:
            raise LabelError(f"{path}: '{video}' could be {' or '.join(fits[:4])}; rename one")
    raise LabelError(
        f"{path} has no labels for '{video}'; it names {', '.join(list(names)[:6])}"
        + (" ..." if len(names) > 6 else "")
    )


def _labels(table: Table, rows: Sequence[Row], columns: _Columns, fps: float | None) -> Labels:
    if not rows:
        raise LabelError(f"{table.path} has a header but no rows")
    bouts = columns.start is not None or (
        columns.time is None and columns.start_frame is not None and columns.end_frame is not None
    )
    if bouts:
        intervals = sorted(
            _bouts(table, rows, columns, fps), key=lambda one: (one.start_seconds, one.row)
        )
    else:
        intervals = list(_frame_by_frame(table, rows, columns, fps))
    for before, after in itertools.pairwise(intervals):
        if after.start_seconds < before.end_seconds - ROUNDING_SECONDS:
            raise LabelError(
                f"{table.path}, row {after.row}: '{after.label}' from {after.start_seconds:.3f} s "
                f"overlaps '{before.label}' of row {before.row}, which lasts to "
                f"{before.end_seconds:.3f} s; a recording has one label at a time"
            )
    return Labels(tuple(intervals), table.path)


def _bouts(
    table: Table, rows: Sequence[Row], columns: _Columns, fps: float | None
) -> Iterator[Interval]:
    """The labelled rows; those without length mark a moment, not a state, and are left out."""
    for row in rows:
        start, end = _bounds(table, row, columns, fps)
        if end < start:
            raise LabelError(
                f"{table.path}, row {row.number}: the end, {end:.3f} s, lies before the start, "
                f"{start:.3f} s"
            )
        label = row.cells[columns.label]
        if end > start and label not in ("", UNOBSERVED):
            yield Interval(start, end, label, row.number)


def _bounds(table: Table, row: Row, columns: _Columns, fps: float | None) -> tuple[float, float]:
    def seconds(column: int) -> float:
        return parse_seconds(row.cells[column], table.path, row.number, table.header[column])

    if columns.start is not None:
        start = seconds(columns.start)
        if columns.end is not None:
            return start, seconds(columns.end)
        assert columns.duration is not None
        return start, start + seconds(columns.duration)
    assert columns.start_frame is not None
    assert columns.end_frame is not None
    assert fps is not None
    return tuple(  # type: ignore[return-value]
        parse_number(row.cells[column], table.path, row.number, table.header[column]) / fps
        for column in (columns.start_frame, columns.end_frame)
    )


def _frame_by_frame(
    table: Table, rows: Sequence[Row], columns: _Columns, fps: float | None
) -> Iterator[Interval]:
    """Equal neighbours become one interval; a row lasts until the next, the last as long as most.

    After a pause that cannot be spacing the rows before it last one usual spacing.
    """
    times = np.array([_moment(table, row, columns, fps) for row in rows])
    spacing = np.diff(times)
    if np.any(spacing <= 0):
        row = rows[int(np.argmax(spacing <= 0)) + 1]
        raise LabelError(
            f"{table.path}, row {row.number}: its time is not after that of the row before; "
            "is this more than one recording? then a video column must tell them apart"
        )
    if len(rows) < 2 and fps is None:
        raise LabelError(
            f"{table.path}, row {rows[0].number}: one row alone does not say how long it lasts; "
            "give the fps"
        )
    usual = float(np.median(spacing)) if len(rows) > 1 else 1 / (fps or 1.0)
    hole = spacing > max(HOLE_SECONDS, HOLE_FRAMES * usual)
    ends = np.append(np.where(hole, times[:-1] + usual, times[1:]), times[-1] + usual)
    running: Interval | None = None
    for row, start, end in zip(rows, times.tolist(), ends.tolist(), strict=True):
        label = row.cells[columns.label]
        if running is not None and label == running.label and start == running.end_seconds:
            running = Interval(running.start_seconds, end, label, running.row)
            continue
        if running is not None:
            yield running
        known = label not in ("", UNOBSERVED)
        running = Interval(start, end, label, row.number) if known else None
    if running is not None:
        yield running


def _moment(table: Table, row: Row, columns: _Columns, fps: float | None) -> float:
    if columns.time is not None:
        name = table.header[columns.time]
        return parse_seconds(row.cells[columns.time], table.path, row.number, name)
    assert columns.frame is not None
    assert fps is not None
    name = table.header[columns.frame]
    return parse_number(row.cells[columns.frame], table.path, row.number, name) / fps
