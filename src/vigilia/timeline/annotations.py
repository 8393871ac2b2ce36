"""What an annotation file says: who did what from when to when, according to whom."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from vigilia.errors import LabelError
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.timeline import Timeline

__all__ = [
    "NO_SUBJECT",
    "Annotations",
    "Event",
    "Span",
    "from_timeline",
    "holes_between",
    "observed_between",
    "refuse_broken",
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
        started: when the recording began by the clock on the wall where it was made; with that
            clock's offset from UTC where the file tells it, else without. Never another clock's.
        unreadable: why the events are not here, in one line, where the file holds this recording in
            a way that cannot be understood; its other recordings are not to blame.
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
    unreadable: str = ""
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


def refuse_broken(annotations: Annotations) -> None:
    """Makes sure that there are events, and that each ends, and not before it starts.

    Raises:
        LabelError: one does not, or the recording is unreadable; the message names the row.
    """
    if annotations.unreadable:
        raise LabelError(annotations.unreadable)
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
