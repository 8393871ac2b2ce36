"""How much of what an annotation file holds: per subject and scorer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from vigilia.timeline.annotations import Annotations
from vigilia.timeline.choosing import merged
from vigilia.timeline.problems import problems

__all__ = ["LabelTotal", "Track", "overview"]


@dataclass(frozen=True)
class LabelTotal:
    """How much of one label there is.

    Attributes:
        label: the label.
        bouts: how many.
        seconds: their lengths together.
        share: of the track's time, 0 to 1; labels that go on at once may add up to more.
        points: how many events without length.
    """

    label: str
    bouts: int
    seconds: float
    share: float
    points: int


@dataclass(frozen=True)
class Track:
    """What one scorer said about one subject of one recording.

    Attributes:
        recording: its name.
        media: its videos.
        duration_seconds: its length, where the file tells it.
        subject: empty where nobody is named.
        scorer: empty where nobody is named.
        classes: one entry a label.
        labelled_seconds: time that at least one bout covers.
        gaps: pauses without any bout.
        gap_seconds: their lengths together.
        overlaps: bouts that begin while another goes on.
        broken: bouts without an end, or with one before their start; they count nowhere else.
    """

    recording: str
    media: tuple[str, ...]
    duration_seconds: float | None
    subject: str
    scorer: str
    classes: tuple[LabelTotal, ...]
    labelled_seconds: float
    gaps: int
    gap_seconds: float
    overlaps: int
    broken: int


def overview(annotations: Annotations) -> tuple[Track, ...]:
    """Sums up every subject by every scorer; one empty track where there are no events."""
    names = sorted({(event.subject, event.scorer) for event in annotations.events})
    return tuple(_track(annotations, *who) for who in names or [("", "")])


def _track(annotations: Annotations, subject: str, scorer: str) -> Track:
    events = tuple(e for e in annotations.events if (e.subject, e.scorer) == (subject, scorer))
    one = replace(annotations, events=events)
    bouts = [e for e in events if e.start_seconds < e.end_seconds < math.inf]
    span = one.end_seconds - min([0.0, *(e.start_seconds for e in bouts)])
    whatever = merged(
        replace(one, events=tuple(replace(e, label="", modifiers=()) for e in bouts))
    ).events
    odd = problems(one)
    gaps = [problem for problem in odd if problem.kind == "gap"]

    def total(label: str) -> LabelTotal:
        lengths = [e.end_seconds - e.start_seconds for e in bouts if e.label == label]
        seconds = math.fsum(lengths)
        points = sum(e.is_point for e in events if e.label == label)
        return LabelTotal(label, len(lengths), seconds, seconds / span if span else 0.0, points)

    return Track(
        recording=annotations.title,
        media=annotations.media,
        duration_seconds=annotations.duration_seconds,
        subject=subject,
        scorer=scorer,
        classes=tuple(total(label) for label in one.labels),
        labelled_seconds=math.fsum(e.end_seconds - e.start_seconds for e in whatever),
        gaps=len(gaps),
        gap_seconds=math.fsum(gap.end_seconds - gap.start_seconds for gap in gaps),
        overlaps=sum(problem.kind == "overlap" for problem in odd),
        broken=sum(problem.kind in ("reversed", "no end") for problem in odd),
    )
