"""BORIS exports: tabular events (a row a start, stop or point) and aggregated (a row a bout).

Columns are found by name, never by place, because every version of BORIS orders them anew.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.annotations import NO_SUBJECT, Annotations, Event
from vigilia.timeline.formats.boris_export_writing import MISSING, write_aggregated, write_tabular
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.format import TOLD, Format, Options, confidence_of, readable
from vigilia.timeline.tables import Row, Table, plain_name, read_table, refuse_two_kinds_of_decimals
from vigilia.timeline.times import parse_seconds

__all__ = ["AGGREGATED", "TABULAR", "is_export", "read"]


def is_export(names: Sequence[str]) -> bool:
    """Whether these names of columns are those of a BORIS export."""
    plain = {plain_name(name) for name in names}
    tabular = {"time", "behavior"} <= plain and bool({"behavior_type", "status"} & plain)
    aggregated = {"behavior", "behavior_type", "start_s", "stop_s"} <= plain
    return tabular or aggregated


def read(path: Path, options: Options) -> tuple[Annotations, ...]:
    """Reads both kinds of exports; a state that never stops ends at infinity.

    Raises:
        LabelError: it is no such export.
    """
    table = read_table(path)
    if not is_export(table.header):
        raise LabelError(
            f"{path} is no export of BORIS: found {table.names}, expected Behavior, "
            "Behavior type, and Time or Start (s) and Stop (s)"
        )
    if not table.rows:
        return (Annotations((), path=path),)
    columns = _columns(table)
    refuse_two_kinds_of_decimals(table, (columns.time, columns.stop))
    observation = table.first("observation_id")
    of_observation: dict[str, list[Row]] = {}
    about = {plain_name(cells[0]): cells[1] for cells in table.preamble if len(cells) > 1}
    for row in table.rows:
        name = table.cell(row, observation) or about.get("observation_id", "")
        of_observation.setdefault(name, []).append(row)
    return tuple(
        readable(partial(_observation, table, rows, name, about, options), name, path)
        for name, rows in of_observation.items()
    )


def _observation(
    table: Table, rows: Sequence[Row], name: str, preamble: Mapping[str, str], options: Options
) -> Annotations:
    events = _aggregated if table.first("start_s") is not None else _tabular
    return Annotations(
        events=tuple(events(table, rows, options)),
        recording=name,
        **_about(table, rows, preamble),
        path=table.path,
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


TABULAR = Format(
    title="BORIS tabular events",
    suffixes=(),
    read=read,
    write=write_tabular,
    keeps=TOLD,
    several=True,
    resolution="millisecond",
)
AGGREGATED = replace(TABULAR, title="BORIS aggregated events", write=write_aggregated)
