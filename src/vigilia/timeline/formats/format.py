"""What a format is: how to read and write it, and what it can hold."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vigilia.errors import LabelError, OptionError
from vigilia.timeline.annotations import Annotations, Event
from vigilia.timeline.intervals import ROUNDING_SECONDS

__all__ = [
    "EPOCH_HINT",
    "FPS_HINT",
    "TOLD",
    "Feature",
    "Format",
    "Options",
    "confidence_of",
    "in_milliseconds",
    "lost",
    "readable",
    "with_confidence",
]

Feature = Literal[
    "subjects",
    "scorers",
    "modifiers",
    "comments",
    "confidence",
    "points",
    "classes",
    "holes",
    "started",
    "spaces",
    "unlabelled",
    "empty",
]


TOLD: frozenset[Feature] = frozenset(
    {"subjects", "modifiers", "comments", "confidence", "points", "started"}
)
"""What every file of a tool for behaviour keeps: BORIS, its exports, ELAN."""

FPS_HINT = "give the fps (--label-fps)"
EPOCH_HINT = "give the length of an epoch in seconds (--epoch-seconds), for instance 30"


@dataclass(frozen=True)
class Options:
    """What some formats need to be told.

    Attributes:
        fps: frames a second, where a file counts frames.
        epoch_seconds: length of an epoch, where a file holds one code an epoch.
        label_column: the column of the label, where several could be meant.
        nrem: what EDF+ calls the stage NREM that is not divided into N1, N2, N3.

    Raises:
        OptionError: fps or epoch_seconds is not a positive number.
    """

    fps: float | None = None
    epoch_seconds: float | None = None
    label_column: str | None = None
    nrem: str = "Sleep stage NREM"

    def __post_init__(self) -> None:
        for name in ("fps", "epoch_seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise OptionError(f"{name} must be a positive number, got {value}")


@dataclass(frozen=True)
class Format:
    """One file format of annotations.

    Attributes:
        title: what people call it.
        suffixes: endings of names that mean it when a file is written.
        read: file to annotations, one for each recording.
        write: annotations to what the file holds; None for what is only read.
        keeps: what it can hold beside bouts with labels.
        several: whether one file can hold several recordings.
        resolution: how exact its times are.
    """

    title: str
    suffixes: tuple[str, ...]
    read: Callable[[Path, Options], tuple[Annotations, ...]]
    write: Callable[[Sequence[Annotations], Options], str | bytes] | None
    keeps: frozenset[Feature]
    several: bool = False
    resolution: Literal["exact", "millisecond", "grid"] = "exact"


def readable(
    make: Callable[[], Annotations], recording: str, path: Path, media: tuple[str, ...] = ()
) -> Annotations:
    """What `make` returns; if it cannot be understood, an empty recording that says why.

    Files of several recordings are read so: one that is broken leaves the others as they are.
    """
    try:
        return make()
    except LabelError as error:
        return Annotations((), recording=recording, media=media, unreadable=str(error), path=path)


def lost(several: Sequence[Annotations], format: Format, options: Options) -> tuple[str, ...]:
    """Names what the annotations say and the format cannot hold."""
    events = [event for annotations in several for event in annotations.events]
    texts = {text for e in events for text in (e.label, e.subject, e.comment, *e.modifiers)}
    said: dict[Feature, tuple[bool, str]] = {
        "subjects": (any(event.subject for event in events), "subjects"),
        "scorers": (any(event.scorer for event in events), "scorers"),
        "modifiers": (any(event.modifiers for event in events), "modifiers"),
        "comments": (any(event.comment for event in events), "comments"),
        "confidence": (any(event.confidence is not None for event in events), "confidence"),
        "points": (any(event.is_point for event in events), "that a point has no length"),
        "holes": (any(_has_hole(one) for one in several), "which time nobody observed"),
        "classes": (
            any(set(one.classes) - {event.label for event in one.events} for one in several),
            "classes that do not occur",
        ),
        "started": (any(one.started for one in several), "the date"),
        "spaces": (
            any(" ".join(text.splitlines()).strip() != text for text in texts),
            "spaces and line breaks around texts",
        ),
        "empty": (
            len(several) > 1 and not all(one.events for one in several),
            "recordings without events",
        ),
        "unlabelled": (not all(event.label for event in events), "annotations without a label"),
    }
    names = [
        words for feature, (is_so, words) in said.items() if is_so and feature not in format.keeps
    ]
    if format.resolution == "millisecond" and not _on_grid(several, 1000.0):
        names.append("times finer than a millisecond")
    if format.resolution == "grid":
        fps = options.fps or (1 / options.epoch_seconds if options.epoch_seconds else None)
        if not all(_on_grid([one], fps or one.fps or 1.0) for one in several):
            names.append("times that lie between two frames or epochs")
    return tuple(names)


def _on_grid(several: Sequence[Annotations], fps: float) -> bool:
    cells = (
        time * fps
        for one in several
        for e in one.events
        for time in (e.start_seconds, e.end_seconds)
    )
    return all(abs(cell - round(cell)) < 1e-3 for cell in cells)


def in_milliseconds(events: Iterable[Event]) -> Iterator[tuple[int, int, Event]]:
    """Boundaries rounded alike on both sides; a bout too short to have any length is left out."""
    for event in events:
        start, end = round(event.start_seconds * 1000), round(event.end_seconds * 1000)
        if end > start or event.is_point:
            yield start, end, event


def with_confidence(comment: str, confidence: float | None) -> str:
    """Puts a confidence at the end of a comment, for formats that have no place of their own."""
    if confidence is None:
        return comment
    return f"{comment}; confidence {confidence!r}" if comment else f"confidence {confidence!r}"


def confidence_of(comment: str) -> tuple[str, float | None]:
    """Takes back out what `with_confidence` put in."""
    found = re.fullmatch(r"(?:(.*); )?confidence ([01]?\.?\d+(?:e-\d+)?)", comment, re.DOTALL)
    if found is None:
        return comment, None
    return found[1] or "", float(found[2])


def _has_hole(annotations: Annotations) -> bool:
    spans = annotations.observed
    if spans is None:
        return False
    edges = [(0.0, 0.0), *spans, (annotations.end_seconds, annotations.end_seconds)]
    return any(
        after[0] > before[1] + ROUNDING_SECONDS for before, after in itertools.pairwise(edges)
    )
