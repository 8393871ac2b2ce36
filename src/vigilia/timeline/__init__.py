"""6. Segments, their formats and pictures, and the annotations they are compared with."""

from __future__ import annotations

from vigilia.timeline.labels import (
    Interval,
    Labels,
    check_labels,
    label_of,
    labels_for,
    labels_of_video,
    read_label_table,
    read_labels,
)
from vigilia.timeline.seconds import per_second
from vigilia.timeline.segmenter import SegmenterOptions, SegmenterState, segment
from vigilia.timeline.timeline import Scores, Segment, Summary, Timeline

__all__ = [
    "Interval",
    "Labels",
    "Scores",
    "Segment",
    "SegmenterOptions",
    "SegmenterState",
    "Summary",
    "Timeline",
    "check_labels",
    "label_of",
    "labels_for",
    "labels_of_video",
    "per_second",
    "read_label_table",
    "read_labels",
    "segment",
]
