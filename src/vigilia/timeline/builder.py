"""Steps become seconds, seconds become segments: the same way for a live display and for files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vigilia.timeline.seconds import (
    Second,
    finish_seconds,
    init_seconds,
    push_step,
)
from vigilia.timeline.segmenter import (
    SegmenterOptions,
    current,
    finish,
    init_segmenter,
    push,
    push_gap,
)
from vigilia.timeline.timeline import Assumption, Scores, Segment, Timeline

__all__ = ["TimelineBuilder"]


class TimelineBuilder:
    """Takes a model's steps in order and ends as a timeline.

    Args:
        classes: names, in the order of the probabilities.
        options: of the segmenter.
        anchor_seconds: start of the recording, where the grid of seconds begins.
        cell_seconds: length of a cell of that grid.
    """

    def __init__(
        self,
        classes: tuple[str, ...],
        options: SegmenterOptions,
        anchor_seconds: float,
        cell_seconds: float = 1.0,
    ) -> None:
        self.classes = classes
        self._seconds = init_seconds(anchor_seconds, cell_seconds)
        self._segmenter = init_segmenter(options, classes)
        # Packed, 16 + 4 K bytes a second: a month of objects would be gigabytes.
        self._row = np.dtype(
            [("start", "f8"), ("end", "f8"), ("probabilities", "f4", (len(classes),))]
        )
        self._rows = bytearray()
        self._segments: list[Segment] = []

    @property
    def now(self) -> Segment | None:
        """The segment that runs at the moment; None before the first second is complete."""
        return current(self._segmenter)

    def add(
        self,
        start_seconds: float,
        end_seconds: float,
        probabilities: NDArray[np.float32] | None,
    ) -> tuple[Segment, ...]:
        """Takes a step; returns the segments that became final.

        Args:
            start_seconds: where the step's time begins, half-open.
            end_seconds: where it ends.
            probabilities: (K,); None for a hole in the recording.
        """
        if probabilities is None:
            closed = self._take(finish_seconds(self._seconds))
            self._seconds = replace(self._seconds, start_seconds=None)
            self._segmenter, more = push_gap(self._segmenter, start_seconds, end_seconds)
            closed += more
        else:
            self._seconds, rows = push_step(
                self._seconds, start_seconds, end_seconds, probabilities
            )
            closed = self._take(rows)
        self._segments += closed
        return tuple(closed)

    def _take(self, rows: list[Second]) -> list[Segment]:
        closed: list[Segment] = []
        for row in rows:
            self._segmenter, more = push(
                self._segmenter, row.start_seconds, row.end_seconds, row.probabilities
            )
            closed += more
            packed = (row.start_seconds, row.end_seconds, row.probabilities)
            self._rows += np.array(packed, self._row).tobytes()
        return closed

    def finish(self, *, source: str, assumptions: Mapping[str, Assumption]) -> Timeline:
        """The finished timeline; nothing may be added after it."""
        self._segments += self._take(finish_seconds(self._seconds))
        self._segments += finish(self._segmenter)
        rows = np.frombuffer(self._rows, self._row)
        return Timeline(
            classes=self.classes,
            segments=tuple(self._segments),
            scores=Scores(rows["start"].copy(), rows["end"].copy(), rows["probabilities"].copy()),
            source=source,
            assumptions=assumptions,
        )
