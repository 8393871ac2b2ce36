"""Writes a table of intervals; csv_table.py reads it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from vigilia.timeline.annotations import Annotations, Event, holes_between
from vigilia.timeline.formats.format import Options
from vigilia.timeline.formats.naming import refuse_alike
from vigilia.timeline.timeline import UNOBSERVED

__all__ = ["write"]


def write(several: Sequence[Annotations], options: Options) -> str:
    """One row an event; columns that would be empty throughout are left out.

    Raises:
        LabelError: two recordings have one name.
    """
    tables = [list(_rows(annotations, len(several) > 1)) for annotations in several]
    filled = [(one, table[0]) for one, table in zip(several, tables, strict=True) if table]
    names = [" / ".join(filter(None, (row["video"], row["observation"]))) for _, row in filled]
    refuse_alike([one for one, _ in filled], names, "a table")
    rows = [row for table in tables for row in table]
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
