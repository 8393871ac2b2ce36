"""One label at a time: the track that models learn from and are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import LabelError
from vigilia.timeline.intervals import majority

__all__ = ["Interval", "Labels", "check_labels", "label_of", "labels_for"]


@dataclass(frozen=True)
class Interval:
    """One labelled stretch of a recording, half-open.

    Attributes:
        start_seconds: its first moment.
        end_seconds: the first moment after it.
        label: the state.
        row: line of the file that it comes from, for messages; 0 if from no file.
    """

    start_seconds: float
    end_seconds: float
    label: str
    row: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Labels:
    """The annotations of one recording.

    Attributes:
        intervals: ascending, without overlap; what no interval covers was not labelled.
        path: the file they come from.
    """

    intervals: tuple[Interval, ...]
    path: Path

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted({interval.label for interval in self.intervals}))

    def __repr__(self) -> str:
        return (
            f"Labels({self.path.name}: {len(self.intervals)} intervals, "
            f"{', '.join(self.classes[:6])}{' ...' if len(self.classes) > 6 else ''})"
        )


def check_labels(
    labels: Labels,
    *,
    classes: Sequence[str] | None = None,
    duration_seconds: float | None = None,
) -> None:
    """Makes sure that annotations fit the classes and the recording.

    Args:
        labels: the annotations.
        classes: the labels that may occur; not checked if not given.
        duration_seconds: length of the recording; labels may reach one second past either end.

    Raises:
        LabelError: they do not fit; the message names the row.
    """
    for interval in labels.intervals:
        if classes is not None and interval.label not in classes:
            shown = ", ".join(list(classes)[:12]) + (" ..." if len(classes) > 12 else "")
            raise LabelError(
                f"{labels.path}, row {interval.row}: '{interval.label}' is none of the classes "
                f"({shown}); correct the label or add the class"
            )
        if duration_seconds is not None and (
            interval.end_seconds > duration_seconds + 1 or interval.start_seconds < -1
        ):
            raise LabelError(
                f"{labels.path}, row {interval.row}: {interval.start_seconds:.3f} to "
                f"{interval.end_seconds:.3f} s lies outside the recording of "
                f"{duration_seconds:.3f} s; is it the right video, are the times in seconds?"
            )


def label_of(labels: Labels, start_seconds: float, end_seconds: float) -> str | None:
    """The label that covers most of [start, end); None if less than half of it is labelled.

    Of labels that cover the same time the one that comes first in the interval wins.

    Raises:
        OptionError: the interval is empty.
    """
    code = labels_for(labels, [start_seconds], [end_seconds], labels.classes)[0]
    return None if code < 0 else labels.classes[code]


def labels_for(
    labels: Labels, starts: ArrayLike, ends: ArrayLike, classes: Sequence[str]
) -> NDArray[np.int64]:
    """`label_of` for N intervals, as numbers.

    Args:
        labels: the annotations.
        starts: (N,) seconds.
        ends: (N,) seconds.
        classes: the names that the numbers stand for.

    Returns:
        (N,) int64: index into `classes`; -1 where less than half is labelled, or where the label is
        none of `classes`.

    Raises:
        OptionError: an interval is empty.
    """
    index = {label: code for code, label in enumerate(classes)}
    unknown = len(classes)
    codes = majority(
        [interval.start_seconds for interval in labels.intervals],
        [interval.end_seconds for interval in labels.intervals],
        [index.get(interval.label, unknown) for interval in labels.intervals],
        starts,
        ends,
    )
    return np.where(codes == unknown, -1, codes)
