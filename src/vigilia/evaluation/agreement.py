"""How far a timeline agrees with annotations, second by second.

Rows of a confusion matrix are the truth, columns the prediction. No figure is ever nan:

- precision, recall and F1 of a class are 0 where their denominator is 0;
- balanced accuracy is the mean recall over the classes that occur in the truth;
- Cohen's kappa is 0 where chance alone explains everything (both say one and the same class
  throughout; scikit-learn returns nan there), and with nothing to compare all figures are 0.

A coefficient of agreement for nominal scales, Cohen 1960.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import LabelError, OptionError
from vigilia.timeline.intervals import grid_starts, majority
from vigilia.timeline.labels import Labels, labels_for
from vigilia.timeline.timeline import Timeline

__all__ = [
    "Agreement",
    "ClassAgreement",
    "agreement",
    "agreement_of",
    "balanced_accuracy",
    "cohen_kappa",
    "confusion_matrix",
    "format_agreement",
    "pool_agreements",
]


@dataclass(frozen=True)
class ClassAgreement:
    """Agreement on one class.

    Attributes:
        label: the class.
        precision: share of the seconds predicted so that are so.
        recall: share of the seconds that are so that are predicted so.
        f1: harmonic mean of the two.
        support: cells of the grid that are so by the truth.
        predicted: cells of the grid that are predicted so.
    """

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    predicted: int


@dataclass(frozen=True)
class Agreement:
    """How far predictions agree with the truth; see the module for the undefined cases.

    Attributes:
        classes: names of the rows and columns of `matrix`.
        matrix: K rows of K counts of grid cells, truth down, prediction across.
        accuracy: share of the cells where both agree.
        balanced_accuracy: mean recall over the classes that occur in the truth.
        kappa: Cohen's kappa, agreement beyond chance, -1 to 1.
        per_class: one entry a class.
        step_seconds: length of a grid cell.
        seconds_scored: time that was both observed and labelled.
        seconds_unlabelled: time left out because nobody labelled it.
        seconds_unobserved: time left out because it was labelled, but the timeline has a hole there
            or does not reach it.
    """

    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    accuracy: float
    balanced_accuracy: float
    kappa: float
    per_class: tuple[ClassAgreement, ...]
    step_seconds: float
    seconds_scored: float
    seconds_unlabelled: float
    seconds_unobserved: float

    @property
    def seconds_left_out(self) -> float:
        return self.seconds_unlabelled + self.seconds_unobserved

    @property
    def weakest(self) -> ClassAgreement | None:
        """The class with the lowest F1 of those that occur in the truth."""
        present = [one for one in self.per_class if one.support]
        return min(present, key=lambda one: one.f1) if present else None

    def __str__(self) -> str:
        return format_agreement(self)


def confusion_matrix(truth: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts pairs: truth (N,), predicted (N,) -> (K, K), truth down, prediction across.

    Pairs of which either is negative (unlabelled, unobserved) are left out.

    Raises:
        OptionError: lengths differ, or a number is not below `classes`.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise OptionError(
            f"truth and predicted must be (N,) both, got {truth.shape} and {predicted.shape}"
        )
    if truth.size and max(truth.max(), predicted.max()) >= classes:
        raise OptionError(f"truth and predicted must be below {classes}, the number of classes")
    both = (truth >= 0) & (predicted >= 0)
    pairs = truth[both] * classes + predicted[both]
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def cohen_kappa(matrix: ArrayLike) -> float:
    """Agreement beyond chance of a (K, K) matrix: `(observed - expected) / (1 - expected)`."""
    counts = np.asarray(matrix, np.float64)
    total = counts.sum()
    if total == 0:
        return 0.0
    observed = np.trace(counts) / total
    expected = float(counts.sum(axis=0) @ counts.sum(axis=1)) / total**2
    # With counts this is exact: expected agreement is 1 only if one cell holds everything.
    if counts.max() == total and np.trace(counts) == total:
        return 0.0
    return float((observed - expected) / (1 - expected))


def balanced_accuracy(matrix: ArrayLike) -> float:
    """Mean recall of a (K, K) matrix over the classes that occur in the truth."""
    counts = np.asarray(matrix, np.float64)
    support = counts.sum(axis=1)
    present = support > 0
    if not present.any():
        return 0.0
    return float(np.mean(np.diagonal(counts)[present] / support[present]))


def agreement(timeline: Timeline, labels: Labels, *, step_seconds: float = 1.0) -> Agreement:
    """Compares a timeline with annotations on a grid that begins with the timeline.

    In each cell both sides say what covers most of it, or nothing if it covers less than half.
    Annotated classes that the model does not know count as disagreement.

    Raises:
        LabelError: no cell is both labelled and observed.
        OptionError: `step_seconds` is not a positive number.
    """
    classes = (*timeline.classes, *(c for c in labels.classes if c not in timeline.classes))
    starts = _grid(timeline, labels, step_seconds)
    truth = labels_for(labels, starts, starts + step_seconds, classes)
    index = {label: code for code, label in enumerate(classes)}
    seen = [(s, index[s.label]) for s in timeline.segments if s.label is not None]
    predicted = majority(
        [segment.start_seconds for segment, _ in seen],
        [segment.end_seconds for segment, _ in seen],
        [code for _, code in seen],
        starts,
        starts + step_seconds,
    )
    if not np.any((truth >= 0) & (predicted >= 0)):
        raise LabelError(
            f"{os.fspath(labels.path)} labels no second that the timeline of "
            f"{timeline.source or 'the recording'} observed; do they belong together?"
        )
    return agreement_of(
        confusion_matrix(truth, predicted, len(classes)),
        classes,
        step_seconds=step_seconds,
        seconds_unlabelled=float(np.sum((truth < 0) & (predicted >= 0)) * step_seconds),
        seconds_unobserved=float(np.sum((truth >= 0) & (predicted < 0)) * step_seconds),
    )


def agreement_of(
    matrix: ArrayLike,
    classes: Sequence[str],
    *,
    step_seconds: float = 1.0,
    seconds_unlabelled: float = 0.0,
    seconds_unobserved: float = 0.0,
) -> Agreement:
    """All figures that follow from a (K, K) confusion matrix.

    Raises:
        OptionError: the matrix does not fit the classes.
    """
    counts = np.asarray(matrix, np.int64)
    if counts.shape != (len(classes), len(classes)):
        raise OptionError(f"matrix must be (K, K) for {len(classes)} classes, got {counts.shape}")
    total = int(counts.sum())
    return Agreement(
        classes=tuple(classes),
        matrix=tuple(tuple(row) for row in counts.tolist()),
        accuracy=int(np.trace(counts)) / total if total else 0.0,
        balanced_accuracy=balanced_accuracy(counts),
        kappa=cohen_kappa(counts),
        per_class=tuple(_of_class(counts, code, label) for code, label in enumerate(classes)),
        step_seconds=step_seconds,
        seconds_scored=total * step_seconds,
        seconds_unlabelled=seconds_unlabelled,
        seconds_unobserved=seconds_unobserved,
    )


def pool_agreements(agreements: Sequence[Agreement]) -> Agreement:
    """One agreement over the seconds of several recordings.

    Raises:
        OptionError: there are none, or their grids differ.
    """
    if not agreements:
        raise OptionError("there is no agreement to pool")
    steps = {one.step_seconds for one in agreements}
    if len(steps) > 1:
        raise OptionError(f"agreements on different grids cannot be pooled: {sorted(steps)}")
    classes = tuple(dict.fromkeys(label for one in agreements for label in one.classes))
    counts = np.zeros((len(classes), len(classes)), np.int64)
    for one in agreements:
        codes = [classes.index(label) for label in one.classes]
        counts[np.ix_(codes, codes)] += np.array(one.matrix, np.int64).reshape(
            len(codes), len(codes)
        )
    return agreement_of(
        counts,
        classes,
        step_seconds=steps.pop(),
        seconds_unlabelled=sum(one.seconds_unlabelled for one in agreements),
        seconds_unobserved=sum(one.seconds_unobserved for one in agreements),
    )


def format_agreement(result: Agreement) -> str:
    """A small table as text; classes that neither side names are left out."""
    rows = [one for one in result.per_class if one.support or one.predicted]
    width = max([5, *(len(one.label) for one in rows)])
    lines = [
        f"accuracy {result.accuracy:.3f}   balanced {result.balanced_accuracy:.3f}   "
        f"kappa {result.kappa:.3f}",
        f"scored {result.seconds_scored:g} s, left out {result.seconds_unlabelled:g} s unlabelled "
        f"and {result.seconds_unobserved:g} s unobserved",
        "",
        f"{'class':<{width}}  precision  recall     F1  seconds",
    ]
    for one in rows:
        seconds = one.support * result.step_seconds
        lines.append(
            f"{one.label:<{width}}  {one.precision:9.3f}  {one.recall:6.3f}  {one.f1:5.3f}  "
            f"{seconds:7g}"
        )
    return "\n".join(lines)


def _grid(timeline: Timeline, labels: Labels, step_seconds: float) -> NDArray[np.float64]:
    """Cells in step with the timeline's start that cover both timeline and labels."""
    anchor = timeline.start_seconds
    start = min([anchor, *(interval.start_seconds for interval in labels.intervals[:1])])
    end = max([timeline.end_seconds, *(i.end_seconds for i in labels.intervals[-1:])])
    grid_starts(0, 0, step_seconds)
    before = int(np.ceil((anchor - start) / step_seconds))
    return grid_starts(anchor - before * step_seconds, end, step_seconds)


def _of_class(counts: NDArray[np.int64], code: int, label: str) -> ClassAgreement:
    right = int(counts[code, code])
    support, predicted = int(counts[code].sum()), int(counts[:, code].sum())
    return ClassAgreement(
        label=label,
        precision=right / predicted if predicted else 0.0,
        recall=right / support if support else 0.0,
        f1=2 * right / (support + predicted) if support + predicted else 0.0,
        support=support,
        predicted=predicted,
    )
