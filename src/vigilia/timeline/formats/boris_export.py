"""BORIS exports: tabular events (a row a start, stop or point) and aggregated (a row a bout).

Columns are found by name, never by place, because every version of BORIS orders them anew.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.annotations import NO_SUBJECT, Annotations, Event
from vigilia.timeline.formats.boris_project import Busy, base_name, refuse_twice
from vigilia.timeline.formats.format import (
    Feature,
    Format,
    Options,
    confidence_of,
    in_milliseconds,
    with_confidence,
)
from vigilia.timeline.tables import Row, Table, parse_seconds, plain_name, read_table

__all__ = ["AGGREGATED", "TABULAR", "is_export", "read", "write_aggregated", "write_tabular"]

MISSING = ("", "NA")


def is_export(names: Sequence[str]) -> bool:
    """Whether these names of columns are those of a BORIS export."""
    plain = {plain_name(name) for name in names}
    tabular = {"time", "behavior"} <= plain and bool({"behavior_type", "status"} & plain)
    aggregated = {"behavior", "behavior_type", "start_s", "stop_s"} <= plain
    return tabular or aggregated


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads both kinds of exports; a state that never stops ends at infinity.

    Raises:
        LabelError: it is no such export, or a row is not understood.
    """
    table = read_table(path)
    if not is_export(table.header):
        raise LabelError(
            f"{path} is no export of BORIS: found {', '.join(table.header)}, expected Behavior, "
            "Behavior type, and Time or Start (s) and Stop (s)"
        )
    if not table.rows:
        return (Annotations((), path=path),)
    observation = table.first("observation_id")
    of_observation: dict[str, list[Row]] = {}
    about = {plain_name(cells[0]): cells[1] for cells in table.preamble if len(cells) > 1}
    for row in table.rows:
        name = table.cell(row, observation) or about.get("observation_id", "")
        of_observation.setdefault(name, []).append(row)
    events = _aggregated if table.first("start_s") is not None else _tabular
    return tuple(
        Annotations(
            events=tuple(events(table, rows, options)),
            recording=name,
            **_about(table, rows, about),
            path=path,
        )
        for name, rows in of_observation.items()
    )


def _about(table: Table, rows: Sequence[Row], preamble: Mapping[str, str]) -> dict:
    """Media, length, frame rate and date, where the rows or the lines before them tell."""
    paths: dict[str, None] = {}
    names = ("media_file_name", "media_file", "media_file_path", "source")
    columns = [column for column in map(table.first, names) if column is not None]
    for row in rows:
        for column in columns:
            text = row.cells[column]
            if text not in MISSING:
                paths |= {base_name(one.split(":", 1)[-1]): None for one in text.split(";") if one}
                break
    length = table.cell(rows[0], table.first("media_duration_s", "total_length"))
    rate = table.cell(rows[0], table.first("fps", "fps_frame_s")).split(";")[0]
    date = table.cell(rows[0], table.first("observation_date")) or preamble.get(
        "observation_date", ""
    )
    duration = _number(length)
    return {
        "media": tuple(paths),
        "media_seconds": (duration,) if duration and len(paths) == 1 else (),
        "duration_seconds": duration,
        "fps": _number(rate),
        "observed": ((0.0, duration),) if duration else None,
        "started": _date(date),
    }


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _date(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


@dataclass(frozen=True)
class _Columns:
    """Where an export keeps what; None where it does not."""

    subject: int | None
    behavior: int | None
    sets: tuple[int, ...]
    modifiers: int | None
    kind: int | None
    time: int | None
    stop: int | None
    comment: int | None
    comment_stop: int | None


def _columns(table: Table) -> _Columns:
    names = [plain_name(name) for name in table.header]
    return _Columns(
        subject=table.first("subject"),
        behavior=table.first("behavior"),
        sets=tuple(n for n, name in enumerate(names) if re.fullmatch(r"modifier_\d+", name)),
        modifiers=table.first("modifiers", "modifier"),
        kind=table.first("behavior_type", "status"),
        time=table.first("start_s", "time"),
        stop=table.first("stop_s"),
        comment=table.first("comment_start", "comment"),
        comment_stop=table.first("comment_stop"),
    )


def _who_and_what(table: Table, row: Row, columns: _Columns) -> tuple[str, str, tuple[str, ...]]:
    subject = table.cell(row, columns.subject)
    modifiers = tuple(row.cells[column] for column in columns.sets)
    joined = table.cell(row, columns.modifiers)
    if not modifiers and joined:
        modifiers = tuple(joined.split("|"))
    while modifiers and modifiers[-1] in MISSING:
        modifiers = modifiers[:-1]
    who = "" if subject in (NO_SUBJECT, *MISSING) else subject
    return who, table.cell(row, columns.behavior), modifiers


def _seconds(table: Table, row: Row, column: int | None, options: Options) -> float:
    assert column is not None
    return parse_seconds(
        row.cells[column], table.path, row.number, table.header[column], fps=options.fps
    )


def _comment(*cells: str) -> tuple[str, float | None]:
    return confidence_of("; ".join(dict.fromkeys(cell for cell in cells if cell not in MISSING)))


def _aggregated(table: Table, rows: Sequence[Row], options: Options) -> Iterator[Event]:
    columns = _columns(table)
    for row in rows:
        subject, label, modifiers = _who_and_what(table, row, columns)
        begin = _seconds(table, row, columns.time, options)
        if table.cell(row, columns.kind).upper() == "POINT":
            end = begin
        else:
            open_end = table.cell(row, columns.stop) in MISSING
            end = math.inf if open_end else _seconds(table, row, columns.stop, options)
        comment, confidence = _comment(
            table.cell(row, columns.comment),
            table.cell(row, columns.comment_stop),
        )
        yield Event(
            begin,
            end,
            label,
            subject,
            modifiers,
            comment=comment,
            confidence=confidence,
            row=row.number,
        )


def _tabular(table: Table, rows: Sequence[Row], options: Options) -> Iterator[Event]:
    columns = _columns(table)
    running: dict[tuple[str, str, tuple[str, ...]], tuple[float, Row]] = {}
    for row in rows:
        key = _who_and_what(table, row, columns)
        moment = _seconds(table, row, columns.time, options)
        said = table.cell(row, columns.kind).upper()
        if said == "START" and key not in running:
            running[key] = (moment, row)
            continue
        if said == "POINT":
            begin, first = moment, row
        elif said == "STOP" and key in running:
            begin, first = running.pop(key)
        else:
            raise LabelError(
                f"{table.path}, row {row.number}: '{key[1]}' is {said or 'neither START nor STOP'}"
                + {
                    "START": f", but it runs already since row {running[key][1].number}"
                    if key in running
                    else "",
                    "STOP": ", but it was never started",
                }.get(said, ", expected START, STOP or POINT")
            )
        comment, confidence = _comment(
            table.cell(first, columns.comment), table.cell(row, columns.comment)
        )
        yield Event(
            begin,
            moment,
            key[1],
            key[0],
            key[2],
            comment=comment,
            confidence=confidence,
            row=first.number,
        )
    for (subject, label, modifiers), (begin, row) in running.items():
        yield Event(begin, math.inf, label, subject, modifiers, row=row.number)


def write_tabular(several: Sequence[Annotations], options: Options) -> str:
    """One row a start, stop or point, with the columns of BORIS 9; SimBA reads it too."""
    sets = _number_of_sets(several)
    header = [
        *("Observation id", "Observation date", "Description", "Observation type", "Source"),
        *("Time offset (s)", "Media duration (s)", "FPS", "Subject", "Behavior"),
        "Behavioral category",
        *(f"Modifier #{number + 1}" for number in range(sets)),
        *("Behavior type", "Time", "Media file name", "Image index", "Image file path", "Comment"),
    ]
    rows: list[list[str]] = []
    for one in several:
        before, media = _before(one)
        of_one: list[tuple[int, int, list[str]]] = []
        busy: Busy = {}
        for start, end, event in in_milliseconds(one.events):
            refuse_twice(busy, start, end, event, one.path)
            who = [event.subject or NO_SUBJECT, event.label, ""]
            who += [*event.modifiers, *[""] * (sets - len(event.modifiers))]
            comment = with_confidence(event.comment, event.confidence)
            ends = ["POINT"] if event.is_point else ["START", "STOP"]
            for kind, moment in zip(ends, (start, end), strict=False):
                said = comment if kind != "STOP" else ""
                cells = [kind, _text(moment), media, "NA", "NA", said]
                of_one.append((moment, kind != "STOP", [*before, *who, *cells]))
        rows += [row for *_, row in sorted(of_one, key=lambda row: row[:2])]
    return _csv(header, rows)


def write_aggregated(several: Sequence[Annotations], options: Options) -> str:
    """One row a bout or point, with the columns of BORIS 9."""
    sets = _number_of_sets(several)
    header = [
        *("Observation id", "Observation date", "Description", "Observation type", "Source"),
        *("Time offset (s)", "Media duration (s)", "FPS (frame/s)", "Subject", "Behavior"),
        "Behavioral category",
        *(f"Modifier #{number + 1}" for number in range(sets)),
        *("Behavior type", "Start (s)", "Stop (s)", "Duration (s)", "Media file name"),
        *("Comment start", "Comment stop"),
    ]
    rows: list[list[str]] = []
    for one in several:
        before, media = _before(one)
        for start, end, event in in_milliseconds(one.events):
            rows.append(
                [
                    *before,
                    *(event.subject or NO_SUBJECT, event.label, ""),
                    *(*event.modifiers, *[""] * (sets - len(event.modifiers))),
                    "POINT" if event.is_point else "STATE",
                    *(_text(start), _text(end)),
                    "NA" if event.is_point else _text(end - start),
                    *(media, with_confidence(event.comment, event.confidence), ""),
                ]
            )
    return _csv(header, rows)


def _number_of_sets(several: Sequence[Annotations]) -> int:
    return max((len(e.modifiers) for one in several for e in one.events), default=0)


def _before(annotations: Annotations) -> tuple[list[str], str]:
    """The cells that all rows of an observation begin with, and its media file."""
    media = ";".join(annotations.media)
    duration = annotations.duration_seconds
    cells = [
        annotations.title,
        annotations.started.strftime("%Y-%m-%d %H:%M:%S") if annotations.started else "NA",
        "",
        "Media file(s)" if media else "Live observation",
        f"player #1:{media}" if media else "NA",
        "0.0",
        "NA" if duration is None else f"{duration:.3f}",
        "NA" if annotations.fps is None else repr(annotations.fps),
    ]
    return cells, media or "NA"


def _text(milliseconds: int) -> str:
    return f"{milliseconds / 1000:.3f}"


def _csv(header: list[str], rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return text.getvalue()


_KEEPS: frozenset[Feature] = frozenset(
    {"subjects", "modifiers", "comments", "confidence", "points", "started"}
)
TABULAR = Format(
    title="BORIS tabular events",
    suffixes=(),
    read=read,
    write=write_tabular,
    keeps=_KEEPS,
    several=True,
    resolution="millisecond",
)
AGGREGATED = Format(
    title="BORIS aggregated events",
    suffixes=(),
    read=read,
    write=write_aggregated,
    keeps=_KEEPS,
    several=True,
    resolution="millisecond",
)
