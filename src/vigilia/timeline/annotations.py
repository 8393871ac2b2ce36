"""What an annotation file says: who did what from when to when, according to whom.

Letters: N cells of a grid, K classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import LabelError
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.labels import Interval, Labels
from vigilia.timeline.timeline import UNOBSERVED, Timeline

__all__ = [
    "NO_SUBJECT",
    "Annotations",
    "Event",
    "Span",
    "from_timeline",
    "holes_between",
    "merged",
    "observed_between",
    "presence",
    "refuse_broken",
    "renamed",
    "selected",
    "states",
]

Span = tuple[float, float]

NO_SUBJECT = "No focal subject"
"""How BORIS, and the command line, name the subject of events that have none."""


@dataclass(frozen=True)
class Event:
    """Something that was seen: a bout, half-open, or a moment.

    Attributes:
        start_seconds: its first moment.
        end_seconds: the first moment after it; equal to the start for a point event. What a file
            leaves open or writes backwards is kept as it stands: infinity, or before the start.
        label: the behaviour or state.
        subject: who; empty where nobody is named.
        modifiers: what the file says beside the label, one entry a set of modifiers.
        scorer: who says so; empty where nobody is named.
        comment: free text.
        confidence: of a model, 0 to 1; None for people.
        row: line of the file, or number of the event in it, for messages; 0 if from no file.
    """

    start_seconds: float
    end_seconds: float
    label: str
    subject: str = ""
    modifiers: tuple[str, ...] = ()
    scorer: str = ""
    comment: str = ""
    confidence: float | None = None
    row: int = field(default=0, compare=False)

    @property
    def is_point(self) -> bool:
        return self.end_seconds == self.start_seconds


@dataclass(frozen=True, repr=False)
class Annotations:
    """What one file says about one recording. Events may overlap.

    Attributes:
        events: put in order of their start.
        classes: the labels that the file declares, in its order; those that occur may be more.
        recording: what the file calls the recording; empty where it does not.
        media: file names of the videos, one after the other in time, where the file tells them.
        media_seconds: length of each of the media, where the file tells it.
        duration_seconds: length of the recording, where the file tells it.
        fps: frames a second, where the file tells it.
        observed: ascending stretches in which somebody looked: time there without an event is time
            without a behaviour. None where the file does not tell; unlabelled is not background.
        started: when the recording began by the clock on the wall.
        path: the file, for messages.
    """

    events: tuple[Event, ...]
    classes: tuple[str, ...] = ()
    recording: str = ""
    media: tuple[str, ...] = ()
    media_seconds: tuple[float, ...] = ()
    duration_seconds: float | None = None
    fps: float | None = None
    observed: tuple[Span, ...] | None = None
    started: datetime | None = None
    path: Path = field(default=Path("the annotations"), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "events", tuple(sorted(self.events, key=_order)))
        object.__setattr__(self, "classes", tuple(self.classes))

    @property
    def labels(self) -> tuple[str, ...]:
        """The declared classes, then the other labels as they appear."""
        return tuple(dict.fromkeys([*self.classes, *(event.label for event in self.events)]))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Those of the events, sorted; the empty one stands for events that name none."""
        return tuple(sorted({event.subject for event in self.events}))

    @property
    def scorers(self) -> tuple[str, ...]:
        """Those of the events, sorted; the empty one stands for events that name none."""
        return tuple(sorted({event.scorer for event in self.events}))

    @property
    def end_seconds(self) -> float:
        """Where the recording ends, or else the last event or observed stretch; 0 without any."""
        if self.duration_seconds is not None:
            return self.duration_seconds
        ends = [span[1] for span in self.observed or ()]
        ends += [max(e.start_seconds, e.end_seconds) for e in self.events]
        return max([end for end in ends if math.isfinite(end)], default=0.0)

    @property
    def title(self) -> str:
        """The recording's name, else the video's, else the file's."""
        return self.recording or " + ".join(self.media) or self.path.name

    def __repr__(self) -> str:
        return (
            f"Annotations({self.title}: {len(self.events)} events, "
            f"{', '.join(self.labels[:6])}{' ...' if len(self.labels) > 6 else ''})"
        )


def selected(
    annotations: Annotations, *, subject: str | None = None, scorer: str | None = None
) -> Annotations:
    """The events of one subject, or of one scorer, or of one subject by one scorer.

    Args:
        annotations: all of them.
        subject: all if not given; `""` or `No focal subject` for events that name none.
        scorer: all if not given.

    Raises:
        LabelError: there is no such subject or scorer.
    """
    events = annotations.events
    if subject is not None:
        subject = "" if subject == NO_SUBJECT else subject
        _must_be_one_of(annotations, "subject", subject, annotations.subjects)
        events = tuple(event for event in events if event.subject == subject)
    if scorer is not None:
        _must_be_one_of(annotations, "scorer", scorer, annotations.scorers)
        events = tuple(event for event in events if event.scorer == scorer)
    return replace(annotations, events=events)


def renamed(annotations: Annotations, names: Mapping[str, str]) -> Annotations:
    """Gives labels other names; what becomes `unobserved` or empty is taken as not labelled.

    Args:
        annotations: the annotations.
        names: new names by old ones.
    """
    hidden = {old for old, new in names.items() if new in ("", UNOBSERVED)}
    kept = [event for event in annotations.events if event.label not in hidden]
    observed = annotations.observed
    holes = [
        (event.start_seconds, event.end_seconds)
        for event in annotations.events
        if event.label in hidden
    ]
    if holes:
        spans = observed if observed is not None else ((0.0, annotations.end_seconds),)
        observed = tuple(
            part for start, end in spans for part in observed_between(start, end, holes)
        )
    return replace(
        annotations,
        events=tuple(replace(event, label=names.get(event.label, event.label)) for event in kept),
        classes=tuple(
            dict.fromkeys(names.get(one, one) for one in annotations.classes if one not in hidden)
        ),
        observed=observed,
    )


def merged(annotations: Annotations) -> Annotations:
    """Bouts of the same thing that overlap or touch become one, per subject, scorer, modifiers."""
    kept: list[Event] = []
    last: dict[tuple[str, str, str, tuple[str, ...]], int] = {}
    for event in annotations.events:
        key = (event.label, event.subject, event.scorer, event.modifiers)
        index = last.get(key)
        if not event.is_point and index is not None:
            before = kept[index]
            if event.start_seconds <= before.end_seconds + ROUNDING_SECONDS:
                end = max(before.end_seconds, event.end_seconds)
                kept[index] = replace(before, end_seconds=end)
                continue
        kept.append(event)
        if not event.is_point:
            last[key] = len(kept) - 1
    return replace(annotations, events=tuple(kept))


def refuse_broken(annotations: Annotations) -> None:
    """Makes sure that every event ends, and not before it starts.

    Raises:
        LabelError: one does not; the message names its row.
    """
    for event in annotations.events:
        where = f"{annotations.path}, row {event.row}"
        if annotations.recording and annotations.recording not in str(annotations.path):
            where += f" ('{annotations.recording}')"
        if event.end_seconds == math.inf:
            raise LabelError(
                f"{where}: '{event.label}' starts at {event.start_seconds:.3f} s and has no end; "
                "add the end, or delete the row"
            )
        if event.end_seconds < event.start_seconds:
            raise LabelError(
                f"{where}: the end, {event.end_seconds:.3f} s, lies before the start, "
                f"{event.start_seconds:.3f} s"
            )


def states(
    annotations: Annotations, *, subject: str | None = None, scorer: str | None = None
) -> Labels:
    """The bouts as one track, in which one label holds at a time; points are left out.

    Args:
        annotations: the annotations.
        subject: whose, needed where there are several.
        scorer: according to whom, needed where there are several.

    Raises:
        LabelError: there are several subjects or scorers and none is chosen, an event is broken, or
            bouts overlap; the message names the rows.
    """
    chosen = selected(annotations, subject=subject, scorer=scorer)
    for kind, found in (("subject", chosen.subjects), ("scorer", chosen.scorers)):
        if len(found) > 1:
            names = ", ".join(name or f"nobody ('{NO_SUBJECT}')" for name in found[:6])
            raise LabelError(
                f"{annotations.path} holds {len(found)} {kind}s in {annotations.title} ({names}); "
                f"choose one: vigilia labels convert IN OUT.csv --{kind} NAME"
            )
    refuse_broken(chosen)
    bouts = [event for event in chosen.events if event.label and not event.is_point]
    for before, after in itertools.pairwise(bouts):
        if after.start_seconds < before.end_seconds - ROUNDING_SECONDS:
            raise LabelError(
                f"{annotations.path}, row {after.row}: '{after.label}' from "
                f"{after.start_seconds:.3f} s overlaps '{before.label}' of row {before.row}, which "
                f"lasts to {before.end_seconds:.3f} s; a recording has one label at a time"
            )
    return Labels(
        tuple(Interval(one.start_seconds, one.end_seconds, one.label, one.row) for one in bouts),
        annotations.path,
    )


def presence(
    annotations: Annotations,
    starts: ArrayLike,
    ends: ArrayLike,
    *,
    classes: Sequence[str] | None = None,
) -> NDArray[np.int8]:
    """Which behaviours go on in each cell, several at once if need be.

    A bout counts in a cell that it covers at least half of, a point in the cell that contains it.
    Where the file does not say when somebody looked, only time that some bout covers counts as
    observed.

    Args:
        annotations: the annotations, of one subject by one scorer; see `selected`.
        starts: (N,) seconds, ascending.
        ends: (N,) seconds; cells do not overlap.
        classes: the columns, by default `annotations.labels`.

    Returns:
        (N, K) int8: 1 present, 0 absent, -1 where less than half of the cell was observed.

    Raises:
        LabelError: an event is broken; the message names its row.
    """
    refuse_broken(annotations)
    starts, ends = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    names = annotations.labels if classes is None else tuple(classes)
    bouts = [event for event in annotations.events if not event.is_point]
    everything = [(event.start_seconds, event.end_seconds) for event in bouts]
    spans = everything if annotations.observed is None else list(annotations.observed)
    half = (ends - starts) / 2 - ROUNDING_SECONDS
    found = np.zeros((len(starts), len(names)), np.int8)
    for column, name in enumerate(names):
        of_name = [(e.start_seconds, e.end_seconds) for e in bouts if e.label == name]
        found[_covered(of_name, starts, ends) >= half, column] = 1 if of_name else 0
    found[_covered(spans, starts, ends) < half] = -1
    index = {name: column for column, name in enumerate(names)}
    for event in annotations.events:
        if event.is_point and event.label in index and len(starts):
            row = int(np.searchsorted(starts, event.start_seconds, side="right")) - 1
            if row >= 0 and event.start_seconds < ends[row]:
                found[row, index[event.label]] = 1
    return found


def from_timeline(timeline: Timeline, path: str | Path = "the timeline") -> Annotations:
    """A model's result as annotations, with its confidence; holes of the recording stay holes."""
    seen = [segment for segment in timeline.segments if segment.label is not None]
    holes = [(s.start_seconds, s.end_seconds) for s in timeline.segments if s.label is None]
    return Annotations(
        events=tuple(
            Event(
                segment.start_seconds,
                segment.end_seconds,
                segment.label or "",
                confidence=segment.confidence,
                row=number,
            )
            for number, segment in enumerate(seen, start=1)
        ),
        classes=timeline.classes,
        recording=timeline.source,
        media=(timeline.source,) if timeline.source else (),
        media_seconds=(timeline.end_seconds,) if timeline.source else (),
        duration_seconds=timeline.end_seconds,
        observed=observed_between(timeline.start_seconds, timeline.end_seconds, holes),
        path=Path(path),
    )


def observed_between(start: float, end: float, holes: Iterable[Span]) -> tuple[Span, ...]:
    """What is left of [start, end) without the holes, ascending."""
    left: list[Span] = []
    reached = start
    for hole_start, hole_end in sorted(holes):
        if hole_start > reached + ROUNDING_SECONDS and reached < end:
            left.append((reached, min(hole_start, end)))
        reached = max(reached, hole_end)
    if end > reached + ROUNDING_SECONDS:
        left.append((reached, end))
    return tuple(left)


def holes_between(annotations: Annotations, start: float, end: float) -> tuple[Span, ...]:
    """Stretches of [start, end) that nobody observed; none where the file does not tell."""
    if annotations.observed is None:
        return ()
    return observed_between(start, end, annotations.observed)


def _covered(
    spans: Sequence[Span], starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(N,) seconds of each cell that at least one of the spans covers."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    if not merged:
        return np.zeros(len(starts))
    edges = np.array(merged).ravel()
    lengths = np.append(0.0, np.cumsum(edges[1::2] - edges[::2]))
    # Seconds covered up to a moment: a piecewise linear function of it.
    total = np.repeat(lengths, 2)[1:-1]
    below = np.interp(starts, edges, total, left=0.0)
    return np.interp(ends, edges, total, left=0.0) - below


def _order(event: Event) -> tuple[float, float, str, str, str, tuple[str, ...], str, int]:
    return (
        event.start_seconds,
        event.end_seconds,
        event.subject,
        event.scorer,
        event.label,
        event.modifiers,
        event.comment,
        event.row,
    )


def _must_be_one_of(annotations: Annotations, kind: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        shown = ", ".join(one or f"nobody ('{NO_SUBJECT}')" for one in list(known)[:8])
        raise LabelError(
            f"{annotations.path} has no {kind} '{name}' in {annotations.title}; it names {shown}"
        )
