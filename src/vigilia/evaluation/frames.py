"""Figures of frame-by-frame agreement: confusion, kappa, balanced accuracy, F1.

Everything takes whole numbers, one a cell, -1 where nobody said anything, or the (K, K) matrix they
make. Rows of a matrix are the truth, columns the prediction. No figure is ever nan; where a
denominator is 0 the figure is 0.

A coefficient of agreement for nominal scales, Cohen 1960.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "class_f1",
    "cohen_kappa",
    "confusion_matrix",
    "macro_f1",
    "weighted_f1",
]


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


def accuracy(matrix: ArrayLike) -> float:
    """Share of the cells of a (K, K) matrix in which both agree."""
    counts = np.asarray(matrix, np.float64)
    total = counts.sum()
    return float(np.trace(counts) / total) if total else 0.0


def cohen_kappa(matrix: ArrayLike) -> float:
    """Agreement beyond chance of a (K, K) matrix: `(observed - expected) / (1 - expected)`.

    0 where both say one and the same class throughout: chance alone explains everything there.
    """
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


def class_f1(matrix: ArrayLike) -> NDArray[np.float64]:
    """F1 of each class of a (K, K) matrix: (K,), 0 for a class that neither side names."""
    counts = np.asarray(matrix, np.float64)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return np.divide(2 * np.diagonal(counts), both, out=np.zeros(len(counts)), where=both > 0)


def macro_f1(matrix: ArrayLike) -> float:
    """Mean F1 of a (K, K) matrix over the classes that occur in the truth."""
    counts = np.asarray(matrix, np.float64)
    present = counts.sum(axis=1) > 0
    return float(np.mean(class_f1(counts)[present])) if present.any() else 0.0


def weighted_f1(matrix: ArrayLike) -> float:
    """Mean F1 of a (K, K) matrix, each class weighted by how much of the truth it fills."""
    counts = np.asarray(matrix, np.float64)
    total = counts.sum()
    return float(class_f1(counts) @ counts.sum(axis=1) / total) if total else 0.0
