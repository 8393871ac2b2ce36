"""How the states filled a timeline, for the page and the API; every figure is `evaluation`'s."""

from __future__ import annotations

import dataclasses
from typing import Any

from vigilia.evaluation.sleep import sleep_figures, transition_counts
from vigilia.evaluation.sleep_states import recognise_sleep_states
from vigilia.timeline import Timeline
from vigilia.timeline.timeline import summarise

__all__ = ["summary_view"]

EPOCH_SECONDS = 1.0
"""Sleep is counted on this grid."""


def summary_view(timeline: Timeline) -> dict[str, Any]:
    """Share, bouts and latency of each class, transitions, and sleep; see `schema.SummaryView`.

    Args:
        timeline: that nothing is too short for: an empty one has zeros.
    """
    return {
        **dataclasses.asdict(summarise(timeline)),
        "start_seconds": timeline.start_seconds,
        "end_seconds": timeline.end_seconds,
        "transitions": _transitions(timeline),
        "sleep": _sleep(timeline),
    }


def _transitions(timeline: Timeline) -> dict[str, Any]:
    """Counts of bouts of one class (down) that another one (across) followed at once."""
    seen = {segment.label for segment in timeline.segments}
    labels = [label for label in timeline.classes if label in seen]
    numbers = {label: number for number, label in enumerate(labels)}
    codes = [
        -1 if segment.label is None else numbers[segment.label] for segment in timeline.segments
    ]
    return {"labels": labels, "counts": transition_counts(codes, len(labels)).tolist()}


def _sleep(timeline: Timeline) -> dict[str, Any] | None:
    """What a sleep laboratory reports; None where the classes are not those of sleep."""
    kinds = recognise_sleep_states(timeline.classes)
    if kinds is None or not timeline.segments:
        return None
    numbers = {label: code for code, label in enumerate(timeline.classes)}
    _, labels = timeline.labels_on_grid(EPOCH_SECONDS)
    codes = [-1 if label is None else numbers[label] for label in labels]
    figures = sleep_figures(codes, timeline.classes, kinds, epoch_seconds=EPOCH_SECONDS)
    return None if figures is None else dataclasses.asdict(figures)
