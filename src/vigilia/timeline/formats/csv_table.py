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

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations, Event, Span, holes_between, observed_between
from vigilia.timeline.formats.format import Format, Options
from vigilia.timeline.tables import (
    Row,
    Table,
    parse_number,
    parse_seconds,
    plain_name,
    read_table,
)
from vigilia.timeline.timeline import UNOBSERVED

__all__ = ["CSV", "VIDEO_NAMES", "read", "write"]

START_NAMES = (
    *("start_seconds", "start", "start_s", "start_sec", "start_time", "start_timestamp"),
    *("onset", "begin", "from", "t_start"),
)
END_NAMES = (
    *("end_seconds", "end", "end_s", "end_sec", "end_time", "end_timestamp", "offset"),
    *("stop", "stop_s", "stop_sec", "stop_time", "stop_timestamp", "to", "t_end"),
)
DURATION_NAMES = ("duration_seconds", "duration", "duration_s", "duration_sec")
TIME_NAMES = ("time_s", "time", "seconds", "time_seconds", "time_sec", "timestamp")
FRAME_NAMES = ("frame", "frame_index", "frame_number", "frame_digit")
LABEL_NAMES = ("label", "state", "behavior", "behaviour", "class", "phase", "stage")
OTHER_LABEL_NAMES = (
    *("trial_type", "type", "action", "action_label", "action_id", "event", "code"),
    *("annotation", "description", "narration"),
)
"""Looked for where none of LABEL_NAMES is there."""
VIDEO_NAMES = ("video", "file", "filename", "file_name", "video_file", "video_id", "recording")
OBSERVATION_NAMES = ("observation", "observation_id")
SUBJECT_NAMES = ("subject", "subject_id", "animal", "animal_id", "individual")
SCORER_NAMES = ("scorer", "annotator", "observer", "rater", "coder", "experimenter")
COMMENT_NAMES = ("comment", "comments")
MISSING_ENDS = ("", "na")

HOLE_SECONDS = 1.0
HOLE_FRAMES = 5
"""A pause between rows longer than both this many seconds and usual spacings is a hole."""


@dataclass(frozen=True)
class _Columns:
    """Where a table keeps what; None where it does not."""

    label: int
    video: int | None
    observation: int | None
    start: int | None
    end: int | None
    duration: int | None
    time: int | None
    frame: int | None
    start_frame: int | None
    end_frame: int | None
    last_frame: int | None
    subject: int | None
    scorer: int | None
    modifiers: int | None
    confidence: int | None
    comment: int | None

    @property
    def bouts(self) -> bool:
        return self.start is not None or (self.time is None and self.start_frame is not None)


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads a table; one without rows gives one recording without events.

    Raises:
        LabelError: the columns are not those of annotations, or a cell cannot be understood.
    """
    table = read_table(path)
    columns = _find_columns(table, options)
    _refuse_two_kinds_of_decimals(table, columns)
    if not table.rows:
        return (Annotations((), path=path),)
    return tuple(
        _recording(table, rows, columns, options, video, observation)
        for (video, observation), rows in _split(table, columns).items()
    )


def _recording(
    table: Table,
    rows: Sequence[Row],
    columns: _Columns,
    options: Options,
    video: str,
    observation: str,
) -> Annotations:
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


def _find_columns(table: Table, options: Options) -> _Columns:
    columns = _Columns(
        label=_label_column(table, options.label_column),
        video=table.first(*VIDEO_NAMES),
        observation=table.first(*OBSERVATION_NAMES),
        start=table.first(*START_NAMES),
        end=table.first(*END_NAMES),
        duration=table.first(*DURATION_NAMES),
        time=table.first(*TIME_NAMES),
        frame=table.first(*FRAME_NAMES),
        start_frame=table.first("start_frame"),
        end_frame=table.first("end_frame_exclusive"),
        last_frame=table.first("end_frame_inclusive"),
        subject=table.first(*SUBJECT_NAMES),
        scorer=table.first(*SCORER_NAMES),
        modifiers=table.first("modifiers", "modifier"),
        confidence=table.first("confidence"),
        comment=table.first(*COMMENT_NAMES),
    )
    if columns.start is not None and (columns.end is not None or columns.duration is not None):
        return columns
    if columns.time is not None:
        return columns
    ends = columns.end_frame is not None or columns.last_frame is not None
    unclear = table.first("end_frame", "stop_frame")
    if columns.start_frame is not None and not ends and unclear is not None:
        raise LabelError(
            f"{table.path}: the column {table.header[unclear]} does not say whether its frame "
            "still belongs to the bout; call it end_frame_exclusive or end_frame_inclusive"
        )
    if (columns.start_frame is not None and ends) or columns.frame is not None:
        if options.fps is None:
            raise LabelError(f"{table.path} counts frames and has no times; give the fps")
        return columns
    raise LabelError(
        f"{table.path} says no times: found {', '.join(table.header)}; expected start_seconds and "
        "end_seconds (or duration), start_frame and end_frame_exclusive, or time_s"
    )


def _label_column(table: Table, label_column: str | None) -> int:
    if label_column is None:
        columns = table.find(*LABEL_NAMES) or table.find(*OTHER_LABEL_NAMES)
    else:
        columns = table.find(plain_name(label_column))
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


def _refuse_two_kinds_of_decimals(table: Table, columns: _Columns) -> None:
    """`1,234` beside `5.6` may be a thousand or one and a bit."""
    times = [getattr(columns, f.name) for f in fields(columns) if f.name in _TIMES]
    seen: dict[str, int] = {}
    for row in table.rows:
        for column in times:
            if column is not None and (found := re.fullmatch(r"-?\d+([.,])\d*", row.cells[column])):
                seen.setdefault(found[1], row.number)
    if len(seen) == 2:
        raise LabelError(
            f"{table.path}, row {max(seen.values())}: a decimal "
            f"{'comma' if seen[','] > seen['.'] else 'point'}, but row {min(seen.values())} has a "
            f"decimal {'point' if seen[','] > seen['.'] else 'comma'}; use one of them"
        )


_TIMES = ("start", "end", "duration", "time")


def _split(table: Table, columns: _Columns) -> dict[tuple[str, str], list[Row]]:
    of_recording: dict[tuple[str, str], list[Row]] = {}
    for row in table.rows:
        video = table.cell(row, columns.video)
        if columns.video is not None and not video:
            raise LabelError(f"{table.path}, row {row.number}: the recording's name is empty")
        key = (video, table.cell(row, columns.observation))
        of_recording.setdefault(key, []).append(row)
    return of_recording


def _event(table: Table, row: Row, columns: _Columns, start: float, end: float) -> Event:
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


def _bout(table: Table, row: Row, columns: _Columns, options: Options) -> tuple[Span, Event]:
    start, end = _bounds(table, row, columns, options)
    return (start, end), _event(table, row, columns, start, end)


def _bounds(table: Table, row: Row, columns: _Columns, options: Options) -> tuple[float, float]:
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
    table: Table, rows: Sequence[Row], columns: _Columns, options: Options
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


def _moment(table: Table, row: Row, columns: _Columns, fps: float | None) -> float:
    if columns.time is not None:
        name = table.header[columns.time]
        return parse_seconds(row.cells[columns.time], table.path, row.number, name, fps=fps)
    assert columns.frame is not None
    assert fps is not None
    name = table.header[columns.frame]
    return parse_number(row.cells[columns.frame], table.path, row.number, name) / fps


def write(several: Sequence[Annotations], options: Options) -> str:
    """One row an event; columns that would be empty throughout are left out."""
    rows = [row for annotations in several for row in _rows(annotations, len(several) > 1)]
    always = ("start_seconds", "end_seconds", "label")
    columns = [
        name
        for name in (
            *("video", "observation", *always, "subject", "modifiers", "scorer"),
            *("confidence", "comment"),
        )
        if name in always or any(row.get(name) for row in rows)
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _rows(annotations: Annotations, must_be_named: bool) -> Iterator[dict[str, str]]:
    video = annotations.media[0] if len(annotations.media) == 1 else annotations.recording
    name = {
        "video": video or (annotations.title if must_be_named else ""),
        "observation": "" if annotations.recording == video else annotations.recording,
    }
    start = min([0.0, *(event.start_seconds for event in annotations.events)])
    holes = [
        Event(hole_start, hole_end, UNOBSERVED)
        for hole_start, hole_end in holes_between(annotations, start, annotations.end_seconds)
    ]
    for event in sorted([*annotations.events, *holes], key=lambda one: one.start_seconds):
        yield name | {
            "start_seconds": _number(event.start_seconds),
            "end_seconds": _number(event.end_seconds),
            "label": event.label,
            "subject": event.subject,
            "modifiers": "|".join(event.modifiers),
            "scorer": event.scorer,
            "confidence": "" if event.confidence is None else _number(event.confidence),
            "comment": event.comment,
        }


def _number(value: float) -> str:
    """The shortest text that gives the same number back."""
    return repr(float(value)).removesuffix(".0")


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
