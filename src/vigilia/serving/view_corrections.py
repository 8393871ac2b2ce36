"""Corrections that a person makes while looking: a table beside the timeline.

The file is an annotation file like any other: `vigilia train` learns from it, `vigilia labels`
converts it. Only what a person said is in it; time that nobody corrected is not labelled. While
the page is open every correction is kept, so that taking one back shows what was said before; the
file holds what counts in the end.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vigilia.errors import LabelError, OptionError, OutputError
from vigilia.timeline import (
    Annotations,
    Event,
    Segment,
    Timeline,
    write_annotations,
)
from vigilia.timeline.formats.csv_table import read_rows
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.timeline.timeline import UNOBSERVED

__all__ = ["CorrectionFile", "Said", "apply_corrections", "resolve_corrections"]


@dataclass(frozen=True)
class Said:
    """What a person says of one stretch, half-open.

    Attributes:
        id: number of the correction.
        start_seconds: its first moment.
        end_seconds: the first moment after it.
        label: the state, the model's own where it is confirmed; None: cannot be seen.
        by: who says so; may be empty.
        written_at: Unix time.
    """

    id: int
    start_seconds: float
    end_seconds: float
    label: str | None
    by: str
    written_at: float


def resolve_corrections(corrections: Sequence[Said]) -> tuple[Said, ...]:
    """What counts: ascending, without overlap; of two the one that was made later."""
    found: list[Said] = []
    for one in sorted(corrections, key=lambda said: said.id):
        found = [
            replace(earlier, start_seconds=start, end_seconds=end)
            for earlier in found
            for start, end in (
                (earlier.start_seconds, min(earlier.end_seconds, one.start_seconds)),
                (max(earlier.start_seconds, one.end_seconds), earlier.end_seconds),
            )
            if end - start > ROUNDING_SECONDS
        ]
        found.append(one)
    return tuple(sorted(found, key=lambda said: said.start_seconds))


def apply_corrections(timeline: Timeline, corrections: Sequence[Said]) -> Timeline:
    """The timeline with a person's word in place of the model's, at confidence 1.

    The model's scores are left as they are.
    """
    if not corrections:
        return timeline
    waiting = resolve_corrections(corrections)
    segments: list[Segment] = []
    first = 0
    for segment in timeline.segments:
        while first < len(waiting) and waiting[first].end_seconds <= segment.start_seconds:
            first += 1
        reached = segment.start_seconds
        for one in itertools.islice(waiting, first, None):
            if one.start_seconds >= segment.end_seconds:
                break
            start = max(one.start_seconds, reached)
            end = min(one.end_seconds, segment.end_seconds)
            if start > reached:
                segments.append(replace(segment, start_seconds=reached, end_seconds=start))
            segments.append(Segment(start, end, one.label, 0.0 if one.label is None else 1.0))
            reached = end
        if segment.end_seconds > reached:
            segments.append(replace(segment, start_seconds=reached))
    people = sorted({one.by for one in corrections if one.by})
    stated: dict[str, str | int] = {"corrections": len(waiting)}
    if people:
        stated["corrected_by"] = ", ".join(people)
    return replace(
        timeline, segments=_joined(segments), assumptions={**timeline.assumptions, **stated}
    )


class CorrectionFile:
    """The corrections of one recording, on disk after every change.

    Args:
        path: the file; need not exist.
        timeline: what is corrected.
        video: file name of the recording, for a timeline that does not name its source; training
            finds the recording by it.

    Raises:
        LabelError: the file cannot be read, is of several recordings, or its labels are no classes
            of the timeline.
    """

    def __init__(self, path: Path, timeline: Timeline, video: str = "") -> None:
        self.path = path
        self._video = timeline.source or video
        self._timeline = timeline
        self._lock = threading.Lock()
        self._corrections: tuple[Said, ...] = ()
        self._last_id = 0
        if path.exists():
            self._corrections = self._read()
            self._last_id = len(self._corrections)

    @property
    def corrections(self) -> tuple[Said, ...]:
        """In the order in which they were made; where two overlap the later one counts."""
        return self._corrections

    def add(self, start_seconds: float, end_seconds: float, label: str | None, by: str) -> Said:
        """Keeps a correction.

        Raises:
            OptionError: the label is no class, or the stretch is empty or outside the recording.
            OutputError: the file cannot be written; then nothing has changed.
        """
        self._check(start_seconds, end_seconds, label)
        with self._lock:
            one = Said(self._last_id + 1, start_seconds, end_seconds, label, by, time.time())
            self._write((*self._corrections, one))
            self._last_id = one.id
            return one

    def remove(self, id: int) -> bool:
        """Takes one back; what it covered counts again. False if there is none of that number.

        Raises:
            OutputError: the file cannot be written; then nothing has changed.
        """
        with self._lock:
            left = tuple(one for one in self._corrections if one.id != id)
            if len(left) == len(self._corrections):
                return False
            self._write(left)
            return True

    def _check(self, start: float, end: float, label: str | None) -> None:
        if label is not None and label not in self._timeline.classes:
            shown = ", ".join(self._timeline.classes[:12])
            raise OptionError(f"'{label}' is none of the classes ({shown})")
        if not end - start > ROUNDING_SECONDS:
            raise OptionError(
                f"a correction must end after it starts, got {start:.3f} to {end:.3f} s"
            )
        first, last = self._timeline.start_seconds, self._timeline.end_seconds
        if start < first - 1 or end > last + 1:
            raise OptionError(
                f"{start:.3f} to {end:.3f} s lies outside the recording, {first:.3f} to "
                f"{last:.3f} s"
            )

    def _read(self) -> tuple[Said, ...]:
        rows = read_rows(self.path)
        written_at = self.path.stat().st_mtime
        names = sorted({name for name, _ in rows})
        if len(names) > 1:
            raise LabelError(
                f"{self.path} holds {len(names)} recordings ({', '.join(names[:6])}); "
                "--corrections names a file of one"
            )
        events = sorted((event for _, event in rows), key=lambda event: event.start_seconds)
        found = []
        for id, event in enumerate(events, start=1):
            label = None if event.label in ("", UNOBSERVED) else event.label
            try:
                self._check(event.start_seconds, event.end_seconds, label)
            except OptionError as error:
                raise LabelError(
                    f"{self.path}, row {event.row}: {error}; is it another timeline's? "
                    "--corrections names the file of this one"
                ) from error
            by = event.comment or event.scorer
            found.append(Said(id, event.start_seconds, event.end_seconds, label, by, written_at))
        return tuple(found)

    def _write(self, corrections: tuple[Said, ...]) -> None:
        counting = resolve_corrections(corrections)
        if counting:
            # Who said it is a comment: of several scorers training would ask for one.
            events = tuple(
                Event(
                    one.start_seconds,
                    one.end_seconds,
                    UNOBSERVED if one.label is None else one.label,
                    comment=one.by,
                )
                for one in counting
            )
            media = (self._video,) if self._video else ()
            write_annotations(
                Annotations(events, recording=self._video, media=media), self.path, format="csv"
            )
        else:
            # A table without a row says nothing, and readers refuse it.
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(f"cannot remove {self.path}: {error.strerror}") from error
        self._corrections = corrections


def _joined(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Joins what a person put side by side under one label; the model's bouts stay apart."""
    joined: list[Segment] = []
    for one in segments:
        before = joined[-1] if joined else None
        same = before is not None and before.label == one.label
        if before is not None and same and before.confidence == one.confidence in (0.0, 1.0):
            joined[-1] = replace(before, end_seconds=one.end_seconds)
        else:
            joined.append(one)
    return tuple(joined)
