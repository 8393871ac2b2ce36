"""`vigilia run --truth`: hand labels beside the result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vigilia.cli.label_options import warnings_as_lines

if TYPE_CHECKING:
    from vigilia.evaluation import Agreement
    from vigilia.timeline import LabelOptions, Labels, Timeline

__all__ = ["compare", "read_truth"]


def read_truth(truth: Path, video: str, classes: tuple[str, ...], options: LabelOptions) -> Labels:
    """Reads the labels of a recording.

    Args:
        truth: their file.
        video: the recording.
        classes: of the model.
        options: how the file is read.

    Raises:
        LabelError: the file cannot be used, or knows none of the classes.
    """
    from vigilia.timeline import check_labels, read_labels_of

    with warnings_as_lines():
        (labels,) = read_labels_of(truth, [Path(video).name], options)
    check_labels(labels, classes=classes)
    return labels


def compare(timeline: Timeline, labels: Labels, folder: Path) -> Agreement:
    """The agreement of a timeline with labels, which are drawn above it.

    Raises:
        LabelError: the labels lie behind the end of the recording.
        OutputError: the picture cannot be written.
    """
    from vigilia.evaluation import agreement
    from vigilia.timeline import check_labels
    from vigilia.timeline.plots import plot_timeline

    # A recording that broke half-way has labels behind the break.
    if "broken_after_seconds" not in timeline.assumptions:
        check_labels(labels, duration_seconds=timeline.end_seconds)
    plot_timeline(timeline, folder / "timeline.png", truth=labels)
    return agreement(timeline, labels)
