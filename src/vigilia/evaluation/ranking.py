"""How well scores rank the cells of each class: average precision, plain and calibrated.

Cells are sorted by their score for a class; the average precision is the precision averaged at the
positives. Cells with the same score count as one threshold, so that their order does not matter.

The calibrated precision `TP / (TP + FP / w)`, with w the number of negatives for each positive,
reads as if positives and negatives were equally many: classes of any rarity can be compared, and
chance is about 0.5 everywhere. Online Action Detection, De Geest, Gavves, Ghodrati, Li, Snoek and
Tuytelaars 2016.

The mean over classes leaves out the background, whose cells stay as negatives of the others, and
classes of which there is no positive or no negative.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError

__all__ = ["ClassRanking", "Ranking", "average_precision", "calibrated_precision", "rank"]


@dataclass(frozen=True)
class ClassRanking:
    """How well one class is ranked.

    Attributes:
        label: the class.
        average_precision: 0 to 1; chance is `positives / cells`.
        calibrated_average_precision: the same as if half of the cells were positive.
        positives: cells that are so by the truth.
        background: whether the means leave it out.
    """

    label: str
    average_precision: float
    calibrated_average_precision: float
    positives: int
    background: bool


@dataclass(frozen=True)
class Ranking:
    """How well the classes are ranked, all recordings together.

    Attributes:
        mean_average_precision: mAP over the classes of `per_class` that are not background.
        mean_calibrated_average_precision: the calibrated mAP.
        per_class: the classes that have a positive and a negative.
        cells: scored cells that came with scores.
    """

    mean_average_precision: float
    mean_calibrated_average_precision: float
    per_class: tuple[ClassRanking, ...]
    cells: int


def average_precision(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Average precision: scores (N,) any finite numbers, positive (N,) bool.

    None without a positive.

    Raises:
        OptionError: lengths differ, or a score is not finite.
    """
    hits, misses = _thresholds(scores, positive)
    return averaged(hits, misses, 1.0) if hits.sum() else None


def calibrated_precision(scores: ArrayLike, positive: ArrayLike) -> float | None:
    """Average of the calibrated precision; as `average_precision`, None also without a negative."""
    hits, misses = _thresholds(scores, positive)
    if not (hits.sum() and misses.sum()):
        return None
    return averaged(hits, misses, float(misses.sum() / hits.sum()))


def averaged(hits: NDArray[np.float64], misses: NDArray[np.float64], ratio: float) -> float:
    """Precision averaged at the positives.

    Args:
        hits: (M,) positives at each threshold, highest score first.
        misses: (M,) negatives.
        ratio: negatives count one `ratio`th.
    """
    found, wrong = np.cumsum(hits), np.cumsum(misses) / ratio
    precision = np.divide(found, found + wrong, out=np.zeros(len(found)), where=found > 0)
    return float(hits @ precision / found[-1])


def rank(
    scores: ArrayLike,
    truth: ArrayLike,
    classes: Sequence[str],
    *,
    background: Collection[str] = (),
) -> Ranking | None:
    """Average precision of every class.

    Args:
        scores: (N, K); probabilities, logits or margins; rows that hold a nan are left out.
        truth: (N,) numbers of classes; -1 is left out.
        classes: K names.
        background: classes that the means leave out.

    Returns:
        None where no class has both a positive and a negative.

    Raises:
        OptionError: the shapes disagree.
    """
    table, codes = np.asarray(scores, np.float64), np.asarray(truth, np.int64)
    if table.shape != (len(codes), len(classes)):
        raise OptionError(
            f"scores must be (N, K) = ({len(codes)}, {len(classes)}), got {table.shape}"
        )
    kept = (codes >= 0) & np.isfinite(table).all(axis=1)
    table, codes = table[kept], codes[kept]
    ranked = []
    for code, label in enumerate(classes):
        positive = codes == code
        if positive.any() and not positive.all():
            hits, misses = _thresholds(table[:, code], positive)
            ratio = float(misses.sum() / hits.sum())
            ranked.append(
                ClassRanking(
                    label=label,
                    average_precision=averaged(hits, misses, 1.0),
                    calibrated_average_precision=averaged(hits, misses, ratio),
                    positives=int(positive.sum()),
                    background=label in background,
                )
            )
    counted = [one for one in ranked if not one.background]
    if not counted:
        return None
    return Ranking(
        mean_average_precision=float(np.mean([one.average_precision for one in counted])),
        mean_calibrated_average_precision=float(
            np.mean([one.calibrated_average_precision for one in counted])
        ),
        per_class=tuple(ranked),
        cells=len(codes),
    )


def _thresholds(
    scores: ArrayLike, positive: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Positives and negatives at each distinct score, highest first: (M,) and (M,)."""
    scores, positive = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise OptionError(
            f"scores and positive must be (N,) both, got {scores.shape} and {positive.shape}"
        )
    if not np.isfinite(scores).all():
        raise OptionError("scores hold a number that is not finite")
    levels, place = np.unique(-scores, return_inverse=True)
    hits = np.bincount(place[positive], minlength=len(levels)).astype(np.float64)
    misses = np.bincount(place[~positive], minlength=len(levels)).astype(np.float64)
    return hits, misses
