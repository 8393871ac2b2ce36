"""6. Segments, their formats and pictures, and the annotations they are compared with."""

from __future__ import annotations

from vigilia.timeline.annotations import Annotations, Event, from_timeline
from vigilia.timeline.choosing import presence, states
from vigilia.timeline.formats import FORMATS, read_annotations, write_annotations
from vigilia.timeline.labels import Interval, Labels, check_labels, label_of, labels_for
from vigilia.timeline.problems import Problem, problems
from vigilia.timeline.reading import (
    LabelOptions,
    labels_of_video,
    read_label_table,
    read_labels,
    read_labels_of,
)
from vigilia.timeline.seconds import per_second
from vigilia.timeline.segmenter import SegmenterOptions, SegmenterState, segment
from vigilia.timeline.timeline import Scores, Segment, Summary, Timeline

__all__ = [
    "FORMATS",
    "Annotations",
    "Event",
    "Interval",
    "LabelOptions",
    "Labels",
    "Problem",
    "Scores",
    "Segment",
    "SegmenterOptions",
    "SegmenterState",
    "Summary",
    "Timeline",
    "check_labels",
    "from_timeline",
    "label_of",
    "labels_for",
    "labels_of_video",
    "per_second",
    "presence",
    "problems",
    "read_annotations",
    "read_label_table",
    "read_labels",
    "read_labels_of",
    "segment",
    "states",
    "write_annotations",
]
