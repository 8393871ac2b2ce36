"""CSV: bouts, or one label a frame; also spreadsheets, and tables of other programs.

| kind | columns, by any of these names |
| --- | --- |
| bouts | a start, an end or a duration, and a label |
| bouts in frames | `start_frame`, `end_frame_exclusive` or `_inclusive`, a label; needs `fps` |
| frame by frame | a time, or `frame` with `fps` given, and a label |

A `video` or `file` column tells recordings apart, further columns subjects and scorers. Case,
spaces and brackets in names do not matter. An empty label, or the word `unobserved`, means that
nobody knows. A bout without length is a point.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event, Span, observed_between
from vigilia.timeline.formats.csv_columns import (
    MISSING_ENDS,
    Columns,
    find_columns,
)
from vigilia.timeline.formats.csv_writing import write
from vigilia.timeline.formats.format import Format, Options, readable
from vigilia.timeline.tables import Row, Table, read_table, refuse_two_kinds_of_decimals
from vigilia.timeline.texts import refuse_cut_label
from vigilia.timeline.timeline import UNOBSERVED
from vigilia.timeline.times import parse_number, parse_seconds

__all__ = ["CSV", "read", "read_rows"]

HOLE_SECONDS = 1.0
HOLE_FRAMES = 5
"""A pause between rows longer than both this many seconds and usual spacings is a hole."""


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads a table; one without rows gives one recording without events.

    Raises:
        LabelError: the columns are not those of annotations, or the file is half-written.
    """
    table, columns = _open(path, options)
    if not table.rows:
        return (Annotations((), path=path),)
    return tuple(
        readable(
            partial(_recording, table, rows, columns, options, video, observation),
            observation or video,
            path,
            (video,) if video else (),
        )
        for (video, observation), rows in _split(table, columns).items()
    )


def read_rows(path: Path) -> list[tuple[str, Event]]:
    """Every row of a table of bouts and the recording it names, `unobserved` ones among them.

    `read` tells of those only as time that nobody observed.

    Raises:
        LabelError: it is no table of bouts in seconds, or the file is half-written.
    """
    options = Options()
    table, columns = _open(path, options)
    if columns.start is None:
        raise LabelError(f"{path} has no column of starts; found {table.names}")
    _refuse_short(table, table.rows, columns)
    return [
        (table.cell(row, columns.video), _bout(table, row, columns, options)[1])
        for row in table.rows
    ]


def _open(path: Path, options: Options) -> tuple[Table, Columns]:
    table = read_table(path)
    columns = find_columns(table, options)
    refuse_two_kinds_of_decimals(
        table, (columns.start, columns.end, columns.duration, columns.time)
    )
    if table.rows and not table.ended and columns.label == len(table.header) - 1:
        *before, last = table.rows
        labels = [row.cells[columns.label] for row in before]
        refuse_cut_label(last.cells[columns.label], labels, path, last.number)
    return table, columns


def _recording(
    table: Table,
    rows: Sequence[Row],
    columns: Columns,
    options: Options,
    video: str,
    observation: str,
) -> Annotations:
    _refuse_short(table, rows, columns)
    spans: list[tuple[Span, Event]] = []
    if columns.bouts:
        spans = [_bout(table, row, columns, options) for row in rows]
    else:
        tracks: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            who = (table.cell(row, columns.subject), table.cell(row, columns.scorer))
            tracks.setdefault(who, []).append(row)
        for track in tracks.values():
            spans += _frame_by_frame(table, track, columns, options)
    events = [event for _, event in spans if event.label not in ("", UNOBSERVED)]
    holes = [span for span, event in spans if event.label in ("", UNOBSERVED)]
    ends = [end for (_, end), _ in spans if math.isfinite(end)]
    observed = None
    if holes:
        start = min(start for (start, _), _ in spans)
        observed = observed_between(start, max(ends, default=start), holes)
    return Annotations(
        events=tuple(events),
        recording=observation or video,
        media=(video,) if video else (),
        fps=None if columns.time is not None or columns.start is not None else options.fps,
        observed=observed,
        path=table.path,
    )


def _refuse_short(table: Table, rows: Sequence[Row], columns: Columns) -> None:
    """A row that ends before its label or its times was cut, and says nothing for certain."""
    last = max(columns.label, *columns.times)
    for row in rows:
        if last >= row.written:
            missing = table.header[last]
            raise LabelError(
                f"{table.path}, row {row.number}: it ends before {missing}; half-written?"
            )


def _split(table: Table, columns: Columns) -> dict[tuple[str, str], list[Row]]:
    of_recording: dict[tuple[str, str], list[Row]] = {}
    for row in table.rows:
        video = table.cell(row, columns.video)
        if columns.video is not None and not video:
            raise LabelError(f"{table.path}, row {row.number}: the recording's name is empty")
        key = (video, table.cell(row, columns.observation))
        of_recording.setdefault(key, []).append(row)
    return of_recording


def _event(table: Table, row: Row, columns: Columns, start: float, end: float) -> Event:
    confidence = table.cell(row, columns.confidence)
    modifiers = table.cell(row, columns.modifiers)
    return Event(
        start_seconds=start,
        end_seconds=end,
        label=row.cells[columns.label],
        subject=table.cell(row, columns.subject),
        modifiers=tuple(modifiers.split("|")) if modifiers else (),
        scorer=table.cell(row, columns.scorer),
        comment=table.cell(row, columns.comment),
        # Words such as "high" are no figure, and nothing that a reader of bouts needs.
        confidence=float(confidence)
        if re.fullmatch(r"[01]?\.?\d*(e-\d+)?", confidence) and confidence
        else None,
        row=row.number,
    )


def _bout(table: Table, row: Row, columns: Columns, options: Options) -> tuple[Span, Event]:
    start, end = _bounds(table, row, columns, options)
    return (start, end), _event(table, row, columns, start, end)


def _bounds(table: Table, row: Row, columns: Columns, options: Options) -> tuple[float, float]:
    def seconds(column: int) -> float:
        name = table.header[column]
        return parse_seconds(row.cells[column], table.path, row.number, name, fps=options.fps)

    def frames(column: int) -> float:
        return parse_number(row.cells[column], table.path, row.number, table.header[column])

    if columns.start is not None:
        start = seconds(columns.start)
        if columns.end is not None:
            missing = row.cells[columns.end].lower() in MISSING_ENDS
            return start, math.inf if missing else seconds(columns.end)
        assert columns.duration is not None
        if row.cells[columns.duration].lower() in ("n/a", *MISSING_ENDS):
            return start, start
        # Rounded, so that the end is the number that a person would have written.
        return start, round(start + seconds(columns.duration), 9)
    assert columns.start_frame is not None
    assert options.fps is not None
    start = frames(columns.start_frame) / options.fps
    if columns.end_frame is not None:
        return start, frames(columns.end_frame) / options.fps
    assert columns.last_frame is not None
    return start, (frames(columns.last_frame) + 1) / options.fps


def _frame_by_frame(
    table: Table, rows: Sequence[Row], columns: Columns, options: Options
) -> Iterator[tuple[Span, Event]]:
    """Equal neighbours become one bout; a row lasts until the next, the last as long as most.

    After a pause that cannot be spacing the rows before it last one usual spacing.
    """
    fps = options.fps
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
    first, begin, finish = rows[0], float(times[0]), float(ends[0])
    for row, start, end in zip(rows[1:], times[1:].tolist(), ends[1:].tolist(), strict=True):
        if row.cells[columns.label] == first.cells[columns.label] and start == finish:
            finish = end
            continue
        yield (begin, finish), _event(table, first, columns, begin, finish)
        first, begin, finish = row, start, end
    yield (begin, finish), _event(table, first, columns, begin, finish)


def _moment(table: Table, row: Row, columns: Columns, fps: float | None) -> float:
    if columns.time is not None:
        name = table.header[columns.time]
        return parse_seconds(row.cells[columns.time], table.path, row.number, name, fps=fps)
    assert columns.frame is not None
    assert fps is not None
    name = table.header[columns.frame]
    return parse_number(row.cells[columns.frame], table.path, row.number, name) / fps


CSV = Format(
    title="CSV, TSV or .xlsx of intervals, or of one label a frame",
    suffixes=(".csv",),
    read=read,
    write=write,
    keeps=frozenset(
        {"subjects", "scorers", "modifiers", "comments", "confidence", "points", "holes"}
    ),
    several=True,
)
