"""What was seen, from when to when: the value that every output of Vigilia is made from."""

from __future__ import annotations

import bisect
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import OptionError
from vigilia.timeline.intervals import ROUNDING_SECONDS, grid_starts, majority

__all__ = [
    "UNOBSERVED",
    "ClassSummary",
    "Scores",
    "Segment",
    "Summary",
    "Timeline",
    "fill_holes",
    "summarise",
]

UNOBSERVED = "unobserved"
"""How files name a hole in the recording; in memory it is the label None."""

Assumption = str | float | int


@dataclass(frozen=True)
class Segment:
    """One stretch of the timeline, half-open.

    Attributes:
        start_seconds: its first moment.
        end_seconds: the first moment after it.
        label: the state; None where the recording has a hole, which is not a background class.
        confidence: mean probability of the label over the segment; 0 for a hole.
    """

    start_seconds: float
    end_seconds: float
    label: str | None
    confidence: float

    @property
    def duration_seconds(self) -> float:
        return self.end_seconds - self.start_seconds


@dataclass(frozen=True, eq=False)
class Scores:
    """What the model said, interval by interval; a hole in the recording has no row.

    Attributes:
        start_seconds: (N,) float64, ascending.
        end_seconds: (N,) float64; no interval reaches into the next.
        probabilities: (N, K) float32, in the order of the timeline's classes.

    Raises:
        OptionError: shapes disagree, times are out of order, or a value is not finite.
    """

    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "start_seconds", np.asarray(self.start_seconds, np.float64))
        object.__setattr__(self, "end_seconds", np.asarray(self.end_seconds, np.float64))
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, np.float32))
        starts, ends, probabilities = self.start_seconds, self.end_seconds, self.probabilities
        rows = probabilities.shape[:1]
        if probabilities.ndim != 2 or not starts.shape == ends.shape == rows:
            raise OptionError(
                "scores must be (N,), (N,) and (N, K), "
                f"got {starts.shape}, {ends.shape} and {probabilities.shape}"
            )
        for name in ("start_seconds", "end_seconds", "probabilities"):
            if not np.isfinite(getattr(self, name)).all():
                raise OptionError(f"scores hold a {name} that is not finite")
        if np.any(ends <= starts) or np.any(starts[1:] < ends[:-1] - ROUNDING_SECONDS):
            raise OptionError("the intervals of scores must be ascending and must not overlap")

    def __len__(self) -> int:
        return len(self.start_seconds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in ("start_seconds", "end_seconds", "probabilities")
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        rows, classes = self.probabilities.shape
        return f"Scores({rows} intervals, {classes} classes)"


@dataclass(frozen=True)
class ClassSummary:
    """How one class filled the timeline.

    Attributes:
        label: the class.
        seconds: time spent in it.
        share: that time as a share of the observed time, 0 to 1.
        bouts: number of its segments; a hole in the recording splits a bout in two.
        mean_bout_seconds: 0 where there is no bout.
        median_bout_seconds: 0 where there is no bout.
        latency_seconds: from the start of the timeline to its first onset; None if it never came.
    """

    label: str
    seconds: float
    share: float
    bouts: int
    mean_bout_seconds: float
    median_bout_seconds: float
    latency_seconds: float | None


@dataclass(frozen=True)
class Summary:
    """How the classes filled the timeline.

    Attributes:
        classes: one entry a class, in the timeline's order.
        observed_seconds: time with a label.
        unobserved_seconds: time without.
        unobserved_share: that time as a share of the whole timeline, 0 to 1.
    """

    classes: tuple[ClassSummary, ...]
    observed_seconds: float
    unobserved_seconds: float
    unobserved_share: float


@dataclass(frozen=True, repr=False)
class Timeline:
    """An ethogram or hypnogram: segments that tile a recording from its start to its end.

    Attributes:
        classes: every state the model knows, in its order.
        segments: sorted, each beginning where the one before ends.
        scores: what the model said second by second, if kept.
        source: file name of the recording, without folders (an address loses its password so).
        assumptions: what the result rests on: sampling rate, smoothing, the model and its training.

    Raises:
        OptionError: the classes repeat, use the word `unobserved` or are not one line without
            spaces around, a segment has an unknown label or no length, or segments overlap or leave
            holes that are not labelled None.
    """

    classes: tuple[str, ...]
    segments: tuple[Segment, ...]
    scores: Scores | None = None
    source: str = ""
    assumptions: Mapping[str, Assumption] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "segments", tuple(self.segments))
        object.__setattr__(self, "assumptions", dict(self.assumptions))
        name = self.source.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
        object.__setattr__(self, "source", name)
        _check_classes(self.classes)
        _check_segments(self.segments, frozenset(self.classes))
        if self.scores is not None and self.scores.probabilities.shape[1] != len(self.classes):
            raise OptionError(
                f"scores have {self.scores.probabilities.shape[1]} columns "
                f"for {len(self.classes)} classes"
            )

    @property
    def start_seconds(self) -> float:
        return self.segments[0].start_seconds if self.segments else 0.0

    @property
    def end_seconds(self) -> float:
        return self.segments[-1].end_seconds if self.segments else 0.0

    @property
    def duration_seconds(self) -> float:
        return self.end_seconds - self.start_seconds

    def label_at(self, seconds: float) -> str | None:
        """The state at a moment; None if it was not observed or lies outside the timeline."""
        if not self.start_seconds <= seconds < self.end_seconds:
            return None
        after = bisect.bisect_right(self.segments, seconds, key=lambda s: s.start_seconds)
        return self.segments[after - 1].label

    def labels_on_grid(
        self, step_seconds: float = 1.0
    ) -> tuple[NDArray[np.float64], list[str | None]]:
        """The state in each cell of a grid that begins with the timeline.

        A cell has the label that covers most of it, None if less than half of it was observed.
        The last cell ends with the timeline.

        Returns:
            (N,) starts of the cells, and N labels.
        """
        starts = grid_starts(self.start_seconds, self.end_seconds, step_seconds)
        ends = np.minimum(starts + step_seconds, self.end_seconds)
        index = {label: code for code, label in enumerate(self.classes)}
        seen = [(s, index[s.label]) for s in self.segments if s.label is not None]
        codes = majority(
            [segment.start_seconds for segment, _ in seen],
            [segment.end_seconds for segment, _ in seen],
            [code for _, code in seen],
            starts,
            ends,
        )
        return starts, [self.classes[code] if code >= 0 else None for code in codes.tolist()]

    def summary(self) -> Summary:
        """Seconds, share, bouts and latency of each class; see `summarise`."""
        return summarise(self)

    def to_csv(self, path: str | Path) -> None:
        """Writes one row a segment, times to the millisecond; see `vigilia.timeline.files`."""
        from vigilia.timeline import files

        files.write(self, path, "csv")

    def to_json(self, path: str | Path) -> None:
        """Writes everything the timeline holds, without loss."""
        from vigilia.timeline import files

        files.write(self, path, "json")

    def to_vtt(self, path: str | Path) -> None:
        """Writes WebVTT captions, which players and browsers show over the video."""
        from vigilia.timeline import files

        files.write(self, path, "vtt")

    @staticmethod
    def read(path: str | Path) -> Timeline:
        """Reads what `to_csv`, `to_json` or `to_vtt` wrote, by the name's ending."""
        from vigilia.timeline import files

        return files.read(path)

    def __repr__(self) -> str:
        summary = self.summary()
        largest = sorted(summary.classes, key=lambda one: -one.seconds)[:3]
        shares = [f"{one.label} {one.share:.0%}" for one in largest if one.bouts]
        if summary.unobserved_seconds:
            shares.append(f"{UNOBSERVED} {summary.unobserved_share:.1%}")
        return (
            f"Timeline({self.source or 'no source'}, "
            f"{self.start_seconds:.3f} to {self.end_seconds:.3f} s, "
            f"{len(self.segments)} segments, {len(self.classes)} classes"
            + "".join(f", {share}" for share in shares)
            + ")"
        )


def summarise(timeline: Timeline) -> Summary:
    """How the classes filled a timeline.

    Shares of the classes are of the observed time, so that holes do not dilute them.
    """
    bouts: dict[str | None, list[Segment]] = {label: [] for label in (*timeline.classes, None)}
    for segment in timeline.segments:
        bouts[segment.label].append(segment)
    unobserved = math.fsum(segment.duration_seconds for segment in bouts.pop(None))
    lengths = {
        label: [segment.duration_seconds for segment in bouts[label]] for label in timeline.classes
    }
    observed = math.fsum(length for of_class in lengths.values() for length in of_class)
    return Summary(
        classes=tuple(
            ClassSummary(
                label=label,
                seconds=math.fsum(lengths[label]),
                share=math.fsum(lengths[label]) / observed if observed else 0.0,
                bouts=len(lengths[label]),
                mean_bout_seconds=statistics.fmean(lengths[label]) if lengths[label] else 0.0,
                median_bout_seconds=statistics.median(lengths[label]) if lengths[label] else 0.0,
                latency_seconds=(
                    bouts[label][0].start_seconds - timeline.start_seconds if bouts[label] else None
                ),
            )
            for label in timeline.classes
        ),
        observed_seconds=observed,
        unobserved_seconds=unobserved,
        unobserved_share=unobserved / (observed + unobserved) if unobserved else 0.0,
    )


def fill_holes(segments: list[Segment]) -> tuple[Segment, ...]:
    """Sorts segments and puts an unobserved one wherever time passes without any."""
    tiled: list[Segment] = []
    for segment in sorted(segments, key=lambda one: one.start_seconds):
        if tiled and segment.start_seconds > tiled[-1].end_seconds + ROUNDING_SECONDS:
            tiled.append(Segment(tiled[-1].end_seconds, segment.start_seconds, None, 0.0))
        tiled.append(segment)
    return tuple(tiled)


def _check_classes(classes: tuple[str, ...]) -> None:
    if len(set(classes)) != len(classes):
        twice = next(label for label in classes if classes.count(label) > 1)
        raise OptionError(f"the class {twice!r} is named twice")
    for label in classes:
        if label in ("", UNOBSERVED):
            raise OptionError(f"{label!r} cannot name a class; it stands for a hole in recordings")
        if label.strip() != label or len(label.splitlines()) != 1:
            raise OptionError(f"{label!r} cannot name a class; one line without spaces around can")


def _check_segments(segments: tuple[Segment, ...], known: frozenset[str]) -> None:
    previous: Segment | None = None
    for segment in segments:
        if segment.label is not None and segment.label not in known:
            raise OptionError(f"the segment label {segment.label!r} is none of the classes")
        if not segment.end_seconds > segment.start_seconds:
            raise OptionError(f"a segment must end after it starts, got {segment}")
        if previous is not None:
            jump = segment.start_seconds - previous.end_seconds
            if abs(jump) > ROUNDING_SECONDS:
                kind = "overlap" if jump < 0 else "leave a hole that no unobserved segment fills"
                raise OptionError(f"segments {kind} at {previous.end_seconds:.3f} s")
        previous = segment
