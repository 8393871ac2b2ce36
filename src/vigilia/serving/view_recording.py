"""A finished recording as the page sees it: every answer of the interface, without the web.

Letters: N intervals, K classes.
"""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.errors import OptionError
from vigilia.serving.downloads import Download, download
from vigilia.serving.schema import (
    Part,
    SecondsView,
    SegmentView,
    Stream,
    TimelineView,
)
from vigilia.serving.stills import Stills
from vigilia.serving.summary import summary_view
from vigilia.serving.view_corrections import CorrectionFile, apply_corrections
from vigilia.timeline import Labels, Timeline
from vigilia.video import probe

__all__ = ["MEDIA_TYPES", "ViewedRecording"]

MEDIA_TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".ogv": "video/ogg",
    ".mkv": "video/x-matroska",
}
"""What a browser may be able to play; of everything else it is shown single pictures."""

MOST_SEGMENTS = 20_000
"""Segments in one answer; the page asks for the rest."""


class ViewedRecording:
    """A video, its timeline, the truth if there is one, and corrections.

    Args:
        video: a file, or a folder or pattern that is one recording; None if it is not at hand.
        timeline: what was seen in it.
        corrections: what people corrected.
        truth: labels to show above.
    """

    def __init__(
        self,
        video: str | Path | None,
        timeline: Timeline,
        corrections: CorrectionFile,
        truth: Labels | None = None,
    ) -> None:
        if not timeline.segments:
            raise OptionError("the timeline is empty; there is nothing to look at")
        self.timeline = timeline
        self.corrections = corrections
        self.source = timeline.source or (Path(str(video)).name if video else "recording")
        self.name = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(self.source).stem)[:64] or "recording"
        self.stills = None if video is None else Stills(video)
        self._truth = truth
        path = None if video is None else Path(video)
        self._playable = path is not None and path.suffix.lower() in MEDIA_TYPES and path.is_file()
        self._path = path

    @property
    def video(self) -> tuple[Path, str] | None:
        """The file that a browser may play and its type; None if it cannot."""
        if not self._playable or self._path is None:
            return None
        return self._path, MEDIA_TYPES[self._path.suffix.lower()]

    def parts(self) -> list[Part]:
        """The file that a browser may play; none if it cannot."""
        if self.video is None:
            return []
        # Both count from the container's zero, whenever its first frame is.
        return [{"part": 0, "name": self.source, "offset_seconds": 0.0}]

    def stream(self) -> Stream:
        """The recording as the only stream."""
        timeline = self.timeline
        last = timeline.segments[-1]
        return {
            "name": self.name,
            "kind": "folder" if self._path is not None and self._path.is_dir() else "file",
            "source": self.source,
            "live": False,
            "status": "ended",
            "problem": "",
            "classes": list(timeline.classes),
            "label": last.label,
            "confidence": last.confidence,
            "since_seconds": last.duration_seconds,
            "last_change_seconds": last.start_seconds,
            "position_seconds": timeline.end_seconds,
            "start_seconds": timeline.start_seconds,
            "duration_seconds": timeline.duration_seconds,
            "lag_seconds": None,
            "wall_start": None,
            "reconnects": 0,
            "dropped": 0,
            "machine": None,
        }

    def segments(self, start_seconds: float, end_seconds: float) -> TimelineView:
        """The segments that reach into [start, end), and the truth's."""

        def within(start: float, end: float) -> bool:
            return start < end_seconds and end > start_seconds

        seen = (one for one in self.timeline.segments if within(one.start_seconds, one.end_seconds))
        found = list(itertools.islice(seen, MOST_SEGMENTS + 1))
        truncated = len(found) > MOST_SEGMENTS
        if truncated:
            end_seconds = found.pop().start_seconds
        truth = None
        if self._truth is not None:
            truth = [
                _segment(one.start_seconds, one.end_seconds, one.label, 1.0)
                for one in self._truth.intervals
                if within(one.start_seconds, one.end_seconds)
            ]
        return {
            "classes": list(self.timeline.classes),
            "segments": [
                _segment(one.start_seconds, one.end_seconds, one.label, one.confidence)
                for one in found
            ],
            "until_seconds": self.timeline.end_seconds,
            "wall_start": None,
            "truth": truth,
            "truncated": truncated,
        }

    def seconds(self, start_seconds: float, end_seconds: float, points: int) -> SecondsView | None:
        """Probabilities on a grid, N rows of K; None for a row that was not observed.

        Of more than `points` rows, neighbours are averaged. None without scores.
        """
        scores = self.timeline.scores
        if scores is None or not len(scores):
            return None
        start = max(start_seconds, float(scores.start_seconds[0]))
        end = min(end_seconds, float(scores.end_seconds[-1]))
        step = float(np.median(scores.end_seconds - scores.start_seconds))
        step *= max(1, math.ceil((end - start) / step / points))
        # Rows begin where the grid of the scores does, so that a view that moves does not flicker.
        anchor = float(scores.start_seconds[0])
        start = anchor + math.floor((start - anchor) / step + 1e-6) * step
        rows = max(0, math.ceil((end - start) / step - 1e-6))
        middles = (scores.start_seconds + scores.end_seconds) / 2
        cells = np.floor((middles - start) / step).astype(np.int64)
        chosen = (cells >= 0) & (cells < rows)
        counts = np.bincount(cells[chosen], minlength=rows)[:, None]
        sums = np.zeros((rows, len(self.timeline.classes)))
        np.add.at(sums, cells[chosen], scores.probabilities[chosen])
        means = np.round(sums / np.maximum(counts, 1), 4)
        return {
            "start_seconds": start,
            "step_seconds": step,
            "probabilities": [
                row if count else None
                for row, count in zip(means.tolist(), counts[:, 0].tolist(), strict=True)
            ],
        }

    def shown(self, corrected: bool) -> Timeline:
        """The timeline as the model made it, or as people corrected it."""
        if not corrected:
            return self.timeline
        return apply_corrections(self.timeline, self.corrections.corrections)

    def summary(self, corrected: bool) -> dict[str, Any]:
        """How the states filled it; see `summary_view`."""
        return summary_view(self.shown(corrected))

    def download(self, format: str, corrected: bool, epoch_seconds: float) -> Download:
        """The timeline as a file; see `vigilia.serving.downloads.download`.

        Raises:
            VigiliaError: as there.
        """
        timeline = self.shown(corrected)
        stem = Path(self.source).stem or "timeline"
        return download(
            timeline,
            format,
            stem + (".corrected" if timeline is not self.timeline else ""),
            fps=self._frame_rate(),
            epoch_seconds=epoch_seconds,
        )

    def _frame_rate(self) -> float | None:
        """What the header of the video says; None without one, and for several files."""
        if self._path is None or not self._path.is_file():
            return None
        return probe(self._path).frame_rate

    def close(self) -> None:
        """Closes the video."""
        if self.stills is not None:
            self.stills.close()


def _segment(start: float, end: float, label: str | None, confidence: float) -> SegmentView:
    return {
        "start_seconds": start,
        "end_seconds": end,
        "label": label,
        "confidence": round(confidence, 4),
    }
