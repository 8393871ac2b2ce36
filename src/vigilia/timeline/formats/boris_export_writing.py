"""Writes BORIS exports with the columns of BORIS 9; boris_export.py reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from vigilia.timeline.annotations import NO_SUBJECT, Annotations, Event
from vigilia.timeline.formats.boris_writing import Busy, refuse_twice
from vigilia.timeline.formats.format import Options, in_milliseconds, with_confidence
from vigilia.timeline.formats.naming import numbered

__all__ = ["MISSING", "write_aggregated", "write_tabular"]

MISSING = ("", "NA")
"""What BORIS writes where there is nothing to say."""


def write_tabular(several: Sequence[Annotations], options: Options) -> str:
    """One row a start, stop or point; SimBA reads it too."""
    sets = _number_of_sets(several)
    header = [
        *_header("FPS", sets),
        *("Behavior type", "Time", "Media file name", "Image index", "Image file path", "Comment"),
    ]
    rows: list[list[str]] = []
    for one, title in _titled(several):
        before, media = _before(one, title)
        of_one: list[tuple[int, int, list[str]]] = []
        busy: Busy = {}
        for start, end, event in in_milliseconds(one.events):
            refuse_twice(busy, start, end, event, one.path)
            comment = with_confidence(event.comment, event.confidence)
            ends = ["POINT"] if event.is_point else ["START", "STOP"]
            for kind, moment in zip(ends, (start, end), strict=False):
                said = comment if kind != "STOP" else ""
                cells = [kind, _text(moment), media, "NA", "NA", said]
                of_one.append((moment, kind != "STOP", [*before, *_who(event, sets), *cells]))
        rows += [row for *_, row in sorted(of_one, key=lambda row: row[:2])]
    return _csv(header, rows)


def write_aggregated(several: Sequence[Annotations], options: Options) -> str:
    """One row a bout or point."""
    sets = _number_of_sets(several)
    header = [
        *_header("FPS (frame/s)", sets),
        *("Behavior type", "Start (s)", "Stop (s)", "Duration (s)", "Media file name"),
        *("Comment start", "Comment stop"),
    ]
    rows: list[list[str]] = []
    for one, title in _titled(several):
        before, media = _before(one, title)
        for start, end, event in in_milliseconds(one.events):
            rows.append(
                [
                    *(*before, *_who(event, sets)),
                    "POINT" if event.is_point else "STATE",
                    *(_text(start), _text(end)),
                    "NA" if event.is_point else _text(end - start),
                    *(media, with_confidence(event.comment, event.confidence), ""),
                ]
            )
    return _csv(header, rows)


def _header(fps: str, sets: int) -> list[str]:
    """The columns that both exports begin with; they differ in the name of the frame rate."""
    return [
        *("Observation id", "Observation date", "Description", "Observation type", "Source"),
        *("Time offset (s)", "Media duration (s)", fps, "Subject", "Behavior"),
        "Behavioral category",
        *(f"Modifier #{number + 1}" for number in range(sets)),
    ]


def _who(event: Event, sets: int) -> list[str]:
    """Subject, behaviour, no category, and the modifiers."""
    empty = [""] * (sets - len(event.modifiers))
    return [event.subject or NO_SUBJECT, event.label, "", *event.modifiers, *empty]


def _number_of_sets(several: Sequence[Annotations]) -> int:
    return max((len(e.modifiers) for one in several for e in one.events), default=0)


def _titled(several: Sequence[Annotations]) -> Iterator[tuple[Annotations, str]]:
    """Each recording with a title that no other has."""
    yield from zip(several, numbered([one.title for one in several]), strict=True)


def _before(annotations: Annotations, title: str) -> tuple[list[str], str]:
    """The cells that all rows of an observation begin with, and its media file."""
    media = ";".join(annotations.media)
    duration = annotations.duration_seconds
    cells = [
        title,
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
