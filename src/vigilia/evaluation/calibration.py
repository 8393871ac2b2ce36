"""Whether probabilities mean what they say: reliability, expected calibration error, Brier score.

Each scored cell counts with its most probable class. Cells are put into bins of equal width by that
probability, the confidence; a calibrated model is right in 80 % of the cells it gives 0.8. The
expected calibration error is the distance between accuracy and mean confidence of a bin, averaged
over the cells (On Calibration of Modern Neural Networks, Guo, Pleiss, Sun and Weinberger 2017); the
maximum one is that of the worst bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError

__all__ = [
    "BINS",
    "Calibration",
    "ReliabilityBin",
    "are_probabilities",
    "bin_sums",
    "calibration",
    "expected_error",
]

BINS = 15
SUM_TOLERANCE = 0.01


@dataclass(frozen=True)
class ReliabilityBin:
    """The cells of one bin; low < confidence <= high, the first bin also holds 0.

    Attributes:
        low: its lower edge.
        high: its upper edge.
        cells: how many fall in it.
        confidence: their mean confidence; 0 for an empty bin.
        accuracy: share of them that is right; 0 for an empty bin.
    """

    low: float
    high: float
    cells: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether probabilities mean what they say, all recordings together.

    Attributes:
        expected_calibration_error: 0 is calibrated, 1 the worst.
        maximum_calibration_error: that of the worst bin that is not empty.
        brier_score: mean squared distance of the probabilities from the truth, 0 to 2.
        mean_confidence: mean probability of the most probable class.
        accuracy: share of the cells whose most probable class is right.
        bins: from low to high.
        cells: scored cells that came with probabilities.
    """

    expected_calibration_error: float
    maximum_calibration_error: float
    brier_score: float
    mean_confidence: float
    accuracy: float
    bins: tuple[ReliabilityBin, ...]
    cells: int


def are_probabilities(scores: ArrayLike) -> bool:
    """Whether rows of (N, K) scores are probabilities: in 0 to 1, summing to 1 within 0.01.

    Rows that hold a nan do not count.
    """
    table = np.asarray(scores, np.float64)
    table = table[np.isfinite(table).all(axis=1)]
    if not len(table):
        return False
    sums = np.abs(table.sum(axis=1) - 1) <= SUM_TOLERANCE
    return bool(sums.all() and table.min() >= -1e-6 and table.max() <= 1 + 1e-6)


def bin_sums(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS) -> NDArray[np.float64]:
    """What the figures follow from; sums of recordings add up.

    Args:
        probabilities: (N, K); rows that hold a nan are left out.
        truth: (N,) numbers of classes; -1 is left out.
        bins: how many.

    Returns:
        (4, bins): cells, sum of confidence, cells that are right, sum of squared distances.

    Raises:
        OptionError: the shapes disagree, the rows are no probabilities, or `bins` is below 1.
    """
    table, codes = np.asarray(probabilities, np.float64), np.asarray(truth, np.int64)
    if bins < 1:
        raise OptionError(f"bins must be 1 or more, got {bins}")
    if table.ndim != 2 or codes.shape != table.shape[:1]:
        raise OptionError(
            f"probabilities must be (N, K) and truth (N,), got {table.shape} and {codes.shape}"
        )
    kept = (codes >= 0) & np.isfinite(table).all(axis=1)
    table, codes = table[kept], codes[kept]
    if not len(codes):
        return np.zeros((4, bins))
    if codes.max() >= table.shape[1] or not are_probabilities(table):
        raise OptionError("scores are no probabilities: rows must be 0 to 1 and sum to 1")
    confidence = table.max(axis=1)
    right = table.argmax(axis=1) == codes
    squared = (table**2).sum(axis=1) - 2 * table[np.arange(len(codes)), codes] + 1
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return np.stack(
        [
            np.bincount(place, weights=values, minlength=bins)
            for values in (np.ones(len(codes)), confidence, right.astype(np.float64), squared)
        ]
    )


def expected_error(sums: NDArray[np.float64]) -> float:
    """Expected calibration error of `bin_sums`; 0 without a cell."""
    total = sums[0].sum()
    return float(np.abs(sums[1] - sums[2]).sum() / total) if total else 0.0


def calibration(probabilities: ArrayLike, truth: ArrayLike, bins: int = BINS) -> Calibration | None:
    """All figures of calibration; see `bin_sums` for the arguments. None without a scored cell."""
    return calibration_of(bin_sums(probabilities, truth, bins))


def calibration_of(sums: NDArray[np.float64]) -> Calibration | None:
    """All figures that follow from (4, bins) `bin_sums`."""
    cells, confidences, right, squared = sums
    total = cells.sum()
    if not total:
        return None
    filled = cells > 0
    confidence = np.divide(confidences, cells, out=np.zeros(len(cells)), where=filled)
    accuracy = np.divide(right, cells, out=np.zeros(len(cells)), where=filled)
    edges = np.linspace(0, 1, len(cells) + 1).tolist()
    return Calibration(
        expected_calibration_error=expected_error(sums),
        maximum_calibration_error=float(np.abs(confidence - accuracy)[filled].max()),
        brier_score=float(squared.sum() / total),
        mean_confidence=float(confidences.sum() / total),
        accuracy=float(right.sum() / total),
        bins=tuple(
            ReliabilityBin(*row)
            for row in zip(
                edges[:-1],
                edges[1:],
                cells.astype(np.int64).tolist(),
                confidence.tolist(),
                accuracy.tolist(),
                strict=True,
            )
        ),
        cells=int(total),
    )
