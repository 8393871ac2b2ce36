"""The chief figures, each with an interval from resampling recordings or animals.

Each recording is boiled down once to sums from which the figures follow, so that a resample costs
an addition. Only average precision cannot be added up; in the resamples (not in the figure itself)
it is computed from scores rounded to some hundred levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vigilia.evaluation.calibration import expected_error
from vigilia.evaluation.comparison import Comparison
from vigilia.evaluation.frames import (
    accuracy,
    balanced_accuracy,
    class_f1,
    cohen_kappa,
    confusion_matrix,
    macro_f1,
)
from vigilia.evaluation.intervals import ConfidenceInterval, bootstrap
from vigilia.evaluation.ranking import Ranking, averaged
from vigilia.evaluation.segments import OVERLAPS, SegmentCounts, segmental

__all__ = ["chief_figures"]

Pick = NDArray[np.int64]
Figures = Callable[[Pick], list[float]]

MOST_LEVELS, MOST_CLASS_LEVELS = 512, 20_000


def chief_figures(
    recordings: Sequence[Comparison],
    counts: Sequence[SegmentCounts],
    sums: Mapping[str, NDArray[np.float64]],
    ranking: Ranking | None,
    *,
    background: Sequence[str],
    resamples: int,
    seed: int,
) -> dict[str, ConfidenceInterval]:
    """Name to figure; figures that are not defined are left out.

    Args:
        recordings: with one list of classes.
        counts: of their bouts.
        sums: of calibration, by the name of the recording.
        ranking: over all of them.
        background: classes that are nothing.
        resamples: how often.
        seed: of the drawing.
    """
    parts: list[tuple[list[str], Figures]] = [_cells(recordings), _bouts(counts)]
    if sums:
        width = len(next(iter(sums.values()))[0])
        table = np.stack([sums.get(one.name, np.zeros((4, width))) for one in recordings])

        def calibrated(pick: Pick) -> list[float]:
            total = table[pick].sum(axis=0)
            return [expected_error(total) if total[0].sum() else np.nan]

        parts.append((["expected_calibration_error"], calibrated))
    exact: dict[str, float] = {}
    if ranking is not None:
        parts.append(_precisions(recordings, ranking, background))
        exact = {
            "mean_average_precision": ranking.mean_average_precision,
            "mean_calibrated_average_precision": ranking.mean_calibrated_average_precision,
        }

    def statistic(pick: Pick) -> list[float]:
        return [value for _, figures in parts for value in figures(pick)]

    names = [name for some, _ in parts for name in some]
    found = bootstrap(statistic, [one.unit for one in recordings], resamples=resamples, seed=seed)
    return {
        name: ConfidenceInterval(exact.get(name, one.value), one.low, one.high)
        for name, one in zip(names, found, strict=True)
        if one is not None
    }


def _cells(recordings: Sequence[Comparison]) -> tuple[list[str], Figures]:
    classes = recordings[0].classes
    matrices = np.stack(
        [confusion_matrix(one.truth, one.predicted, len(classes)) for one in recordings]
    )
    occurring = np.flatnonzero(matrices.sum(axis=(0, 2)))
    each = np.array([[accuracy(matrix), cohen_kappa(matrix)] for matrix in matrices])
    names = ["accuracy", "balanced_accuracy", "kappa", "macro_f1"]
    names += ["accuracy_mean_over_recordings", "kappa_mean_over_recordings"]
    names += [f"f1 of {classes[code]}" for code in occurring]

    def figures(pick: Pick) -> list[float]:
        matrix = matrices[pick].sum(axis=0)
        f1 = np.where(matrix.sum(axis=1) > 0, class_f1(matrix), np.nan)
        return [
            *(one(matrix) for one in (accuracy, balanced_accuracy, cohen_kappa, macro_f1)),
            *each[pick].mean(axis=0).tolist(),
            *f1[occurring].tolist(),
        ]

    return names, figures


def _bouts(counts: Sequence[SegmentCounts]) -> tuple[list[str], Figures]:
    names = ["edit_mean_over_recordings", "edit_pooled"]
    for overlap in OVERLAPS:
        name = f"f1@{100 * overlap:.0f}"
        names += [f"{name}_mean_over_recordings", f"{name}_pooled"]

    def figures(pick: Pick) -> list[float]:
        found = segmental([counts[index] for index in pick.tolist()])
        if found is None:
            return [np.nan] * len(names)
        return [
            found.edit_mean_over_recordings,
            found.edit_pooled,
            *(value for one in found.f1 for value in (one.mean_over_recordings, one.pooled)),
        ]

    return names, figures


def _precisions(
    recordings: Sequence[Comparison], ranking: Ranking, background: Sequence[str]
) -> tuple[list[str], Figures]:
    classes = recordings[0].classes
    codes = [classes.index(one.label) for one in ranking.per_class if one.label not in background]
    levels = int(np.clip(MOST_CLASS_LEVELS // len(codes), 32, MOST_LEVELS))
    # (R, C, positive or negative, level), highest score first.
    table = np.zeros((len(recordings), len(codes), 2, levels))
    kept = [
        None if one.scores is None else (one.truth >= 0) & np.isfinite(one.scores).all(axis=1)
        for one in recordings
    ]
    for place, code in enumerate(codes):
        scores = [
            np.zeros(0) if mask is None or one.scores is None else one.scores[mask, code]
            for one, mask in zip(recordings, kept, strict=True)
        ]
        distinct = np.unique(np.concatenate(scores))
        if len(distinct) > levels:
            distinct = np.unique(np.quantile(np.concatenate(scores), np.linspace(0, 1, levels)))
        for index, (one, mask) in enumerate(zip(recordings, kept, strict=True)):
            if mask is None:
                continue
            level = levels - np.searchsorted(distinct, scores[index], side="right")
            level = np.clip(level, 0, levels - 1)
            is_so = one.truth[mask] == code
            table[index, place, 0] = np.bincount(level[is_so], minlength=levels)
            table[index, place, 1] = np.bincount(level[~is_so], minlength=levels)
    flat = table.reshape(len(recordings), -1)

    def figures(pick: Pick) -> list[float]:
        times = np.bincount(pick, minlength=len(recordings))
        total = (times @ flat).reshape(len(codes), 2, levels)
        found = [
            (averaged(hits, misses, 1.0), averaged(hits, misses, misses.sum() / hits.sum()))
            for hits, misses in total
            if hits.sum() and misses.sum()
        ]
        return np.mean(found, axis=0).tolist() if found else [np.nan, np.nan]

    return ["mean_average_precision", "mean_calibrated_average_precision"], figures
