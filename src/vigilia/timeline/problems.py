"""What is odd about annotations: overlaps, gaps, unknown classes, labels beyond the video."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.intervals import ROUNDING_SECONDS

__all__ = ["Kind", "Problem", "problems"]

Kind = Literal["reversed", "no end", "overlap", "gap", "unknown class", "spelling", "beyond"]

BEYOND_SECONDS = 1.0
"""Labels may reach this far past either end of the recording."""


@dataclass(frozen=True)
class Problem:
    """Something that is odd.

    Attributes:
        kind: what sort of thing.
        start_seconds: where it begins.
        end_seconds: where it ends.
        rows: lines of the file, or numbers of the events in it.
        message: one line about it.
    """

    kind: Kind
    start_seconds: float
    end_seconds: float
    rows: tuple[int, ...]
    message: str


def problems(
    annotations: Annotations,
    *,
    classes: Sequence[str] | None = None,
    duration_seconds: float | None = None,
    multi_label: bool = False,
) -> tuple[Problem, ...]:
    """Lists what is odd, in the order of time.

    Each subject by each scorer is one track. Points take no part in overlaps and gaps.

    Args:
        annotations: the annotations, broken ones too.
        classes: the labels that may occur; not checked if not given.
        duration_seconds: length of the recording; the file's own if not given.
        multi_label: behaviours may go on at once and pauses between them mean nothing: only the
            same behaviour twice at a time is an overlap, and there are no gaps.
    """
    length = annotations.duration_seconds if duration_seconds is None else duration_seconds
    found = list(_of_events(annotations, classes, length))
    found += _spelling(annotations)
    tracks: dict[tuple[str, ...], list[Event]] = {}
    for event in annotations.events:
        if event.start_seconds < event.end_seconds < math.inf:
            own = (event.label, *event.modifiers) if multi_label else ()
            key = (event.subject, event.scorer, *own)
            tracks.setdefault(key, []).append(event)
    for key, track in tracks.items():
        who = f" ({' by '.join(filter(None, key[:2]))})" if any(key[:2]) else ""
        found += _of_track(track, who, None if multi_label else annotations, length)
    return tuple(sorted(found, key=lambda one: (one.start_seconds, one.end_seconds)))


def _of_events(
    annotations: Annotations, classes: Sequence[str] | None, length: float | None
) -> Iterator[Problem]:
    for event in annotations.events:
        start, end = event.start_seconds, event.end_seconds
        said = f"'{event.label}' from {start:.3f}"

        def problem(kind: Kind, message: str, event: Event = event) -> Problem:
            return Problem(kind, event.start_seconds, event.end_seconds, (event.row,), message)

        if end == math.inf:
            yield problem("no end", f"{said} s has no end")
        elif end < start:
            yield problem("reversed", f"{said} s ends before it starts, at {end:.3f} s")
        if classes is not None and event.label not in classes:
            yield problem("unknown class", f"'{event.label}' is none of the classes")
        last = start if end == math.inf else end
        if length is not None and max(start, last) > length + BEYOND_SECONDS:
            yield problem("beyond", f"{said} to {last:.3f} s; the video ends at {length:.3f} s")
        if start < -BEYOND_SECONDS:
            yield problem("beyond", f"{said} s, before the start of the video")


def _of_track(
    track: Sequence[Event], who: str, annotations: Annotations | None, length: float | None
) -> Iterator[Problem]:
    """Overlaps and, if annotations are given, gaps of one track, which is in order of start."""
    longest: Event | None = None
    reached = 0.0
    for event in track:
        if longest is not None and event.start_seconds < longest.end_seconds - ROUNDING_SECONDS:
            until = min(longest.end_seconds, event.end_seconds)
            yield Problem(
                "overlap",
                event.start_seconds,
                until,
                (longest.row, event.row),
                f"'{event.label}' from {event.start_seconds:.3f} to {until:.3f} s while "
                f"'{longest.label}' goes on{who}",
            )
        if annotations is not None and event.start_seconds > reached + ROUNDING_SECONDS:
            yield _gap(reached, event.start_seconds, who, event.row)
        reached = max(reached, event.end_seconds)
        if longest is None or event.end_seconds > longest.end_seconds:
            longest = event
    if annotations is not None and length is not None and length > reached + BEYOND_SECONDS:
        yield _gap(reached, length, who, 0)


def _gap(start: float, end: float, who: str, row: int) -> Problem:
    message = f"nothing from {start:.3f} to {end:.3f} s ({end - start:.3f} s){who}"
    return Problem("gap", start, end, (row,) if row else (), message)


def _spelling(annotations: Annotations) -> Iterator[Problem]:
    """Labels that differ only in case and spaces are most likely one."""
    seen: dict[str, Event] = {}
    told: set[str] = set()
    for event in annotations.events:
        plain = " ".join(event.label.replace("_", " ").lower().split())
        first = seen.setdefault(plain, event)
        if first.label != event.label and event.label not in told:
            told.add(event.label)
            yield Problem(
                "spelling",
                event.start_seconds,
                event.end_seconds,
                (first.row, event.row),
                f"'{first.label}' and '{event.label}' differ only in case or spaces",
            )
