"""How far a timeline agrees with annotations, second by second.

Rows of a confusion matrix are the truth, columns the prediction. No figure is ever nan:

- precision, recall and F1 of a class are 0 where their denominator is 0;
- balanced accuracy is the mean recall over the classes that occur in the truth;
- Cohen's kappa is 0 where chance alone explains everything (both say one and the same class
  throughout; scikit-learn returns nan there), and with nothing to compare all figures are 0.

A coefficient of agreement for nominal scales, Cohen 1960.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError
from vigilia.evaluation.comparison import compare
from vigilia.evaluation.frames import (
    balanced_accuracy,
    cohen_kappa,
    confusion_matrix,
    macro_f1,
    weighted_f1,
)
from vigilia.timeline import Labels, Timeline

__all__ = [
    "Agreement",
    "ClassAgreement",
    "agreement",
    "agreement_of",
    "agreement_on_cells",
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
        macro_f1: mean F1 over the classes that occur in the truth.
        weighted_f1: mean F1 over the classes, weighted by their share of the truth.
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
    macro_f1: float
    weighted_f1: float
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


def agreement(timeline: Timeline, labels: Labels, *, step_seconds: float = 1.0) -> Agreement:
    """Compares a timeline with annotations on a grid that begins with the timeline.

    In each cell both sides say what covers most of it, or nothing if it covers less than half.
    Annotated classes that the model does not know count as disagreement.

    Raises:
        LabelError: no cell is both labelled and observed.
        OptionError: `step_seconds` is not a positive number.
    """
    compared = compare(timeline, labels, step_seconds=step_seconds)
    return agreement_on_cells(compared.truth, compared.predicted, compared.classes, step_seconds)


def agreement_on_cells(
    truth: ArrayLike, predicted: ArrayLike, classes: Sequence[str], step_seconds: float = 1.0
) -> Agreement:
    """Compares two sequences: truth (N,) and predicted (N,) numbers of classes, -1 for nothing.

    Raises:
        OptionError: lengths differ, or a number names no class.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
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
        macro_f1=macro_f1(counts),
        weighted_f1=weighted_f1(counts),
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
