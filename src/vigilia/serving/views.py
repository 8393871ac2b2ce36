"""What the API says of a stream, from the journal: no web in here.

Letters: N intervals, K classes.
"""

from __future__ import annotations

import dataclasses
import math

from vigilia.errors import OptionError
from vigilia.serving.cursor import Cursor
from vigilia.serving.reading import Reader
from vigilia.serving.schema import Correction, SegmentView, Stream, TimelineView
from vigilia.serving.view_corrections import Said, apply_corrections
from vigilia.serving.watched import Watched
from vigilia.stream import StreamClassifier
from vigilia.timeline import Labels, Segment, Timeline

__all__ = [
    "correction_view",
    "stream_view",
    "timeline_of",
    "timeline_view",
]

MOST_SEGMENTS = 20_000
MOST_EXPORTED_SEGMENTS = 2_000_000
MOST_EXPORTED_STEPS = 200_000
"""With their probabilities: 4.6 days of two-second strides, some 200 MB while they are written."""


def stream_view(watched: Watched, cursor: Cursor | None, wall_start: float | None) -> Stream:
    """How a stream is doing."""
    now = None if cursor is None else cursor.now
    options = watched.options
    return {
        "name": options.name,
        "kind": options.kind,
        "source": options.shown_source,
        "live": options.live,
        "status": watched.status,
        "problem": watched.problem,
        "classes": [] if cursor is None else list(cursor.segmenter.classes),
        "label": None if now is None else now.label,
        "confidence": watched.confidence,
        "since_seconds": None if now is None else now.end_seconds - now.start_seconds,
        "last_change_seconds": None if now is None else now.start_seconds,
        "position_seconds": None if cursor is None else cursor.until_seconds,
        "start_seconds": None if cursor is None else cursor.start_seconds,
        "duration_seconds": watched.duration_seconds,
        "lag_seconds": watched.lag_seconds,
        "wall_start": wall_start,
        "reconnects": watched.reconnects,
        "dropped": watched.counts["dropped"],
        "machine": watched.machine or None,
    }


def timeline_view(
    reader: Reader,
    cursor: Cursor,
    start_seconds: float,
    end_seconds: float,
    *,
    wall_start: float | None,
    truth: Labels | None,
) -> TimelineView:
    """The segments of [start, end), the first `MOST_SEGMENTS` of them."""
    found = reader.segments(cursor, start_seconds, end_seconds, most=MOST_SEGMENTS + 1)
    truncated = len(found) > MOST_SEGMENTS
    found = found[:MOST_SEGMENTS]
    if truncated:
        end_seconds = found[-1].end_seconds
    hand = None
    if truth is not None:
        hand = [
            _segment(Segment(one.start_seconds, one.end_seconds, one.label, 1.0))
            for one in truth.intervals
            if one.start_seconds < end_seconds and one.end_seconds > start_seconds
        ][:MOST_SEGMENTS]
    return {
        "classes": list(cursor.segmenter.classes),
        "segments": [_segment(one) for one in found],
        "until_seconds": cursor.until_seconds,
        "wall_start": wall_start,
        "truth": hand,
        "truncated": truncated,
    }


def timeline_of(
    reader: Reader,
    cursor: Cursor,
    watched: Watched,
    model: StreamClassifier,
    *,
    start_seconds: float = -math.inf,
    end_seconds: float = math.inf,
    corrections: list[Said] | None = None,
    with_scores: bool = False,
) -> Timeline:
    """The results as one value, for files and figures.

    Args:
        reader: of the journal.
        cursor: of the stream.
        watched: the stream.
        model: that made them.
        start_seconds: segments are cut there.
        end_seconds: likewise.
        corrections: what people said, to be put in place of the model's labels.
        with_scores: keep the probabilities.

    Raises:
        OptionError: there are too many of them.
    """
    if with_scores and not reader.steps_at_most(
        cursor, start_seconds, end_seconds, most=MOST_EXPORTED_STEPS
    ):
        raise OptionError(
            f"there are more than {MOST_EXPORTED_STEPS} steps in this time, too many for one file "
            "with probabilities; ask for a part of it with `from` and `to`"
        )
    segments = [
        dataclasses.replace(
            one,
            start_seconds=max(one.start_seconds, start_seconds),
            end_seconds=min(one.end_seconds, end_seconds),
        )
        for one in reader.segments(cursor, start_seconds, end_seconds, most=MOST_EXPORTED_SEGMENTS)
    ]
    pre = model.preprocessing
    timeline = Timeline(
        classes=cursor.segmenter.classes,
        segments=tuple(segments),
        scores=reader.scores(cursor, start_seconds, end_seconds) if with_scores else None,
        source=watched.options.shown_source,
        assumptions={
            "stream": watched.name,
            "time": "seconds on the stream's clock, half-open",
            "model": model.spec.name,
            "memory": model.spec.memory,
            "trained_on": str(model.card.get("trained_on", "not said")),
            "sampling_fps": pre.fps,
            "clip_frames": pre.clip_frames,
            "stride_frames": pre.stride_frames,
            "state_every_seconds": cursor.cell_seconds,
            "max_gap_seconds": watched.options.max_gap_seconds,
            **dataclasses.asdict(watched.options.segmenter),
        },
    )
    return apply_corrections(timeline, corrections) if corrections else timeline


def correction_view(one: Said) -> Correction:
    """What a person said, as it is told."""
    return {
        "id": one.id,
        "start_seconds": one.start_seconds,
        "end_seconds": one.end_seconds,
        "label": one.label,
        "by": one.by,
        "written_at": one.written_at,
    }


def _segment(one: Segment) -> SegmentView:
    return {
        "start_seconds": one.start_seconds,
        "end_seconds": one.end_seconds,
        "label": one.label,
        "confidence": round(one.confidence, 4),
    }
