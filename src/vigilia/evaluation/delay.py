"""How late a state is noticed: from a true bout's start to its first predicted cell inside.

A prediction that was already there when the bout began has delay 0, and so has a lucky one: read
delays beside precision. A bout without a cell predicted so is missed. Bouts that were under way
when the scoring began or went on after a hole in the labels count as beginning there; where a bout
begins unobserved, its first observed cell is its start; a bout that nobody observed is left out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from vigilia.errors import OptionError
from vigilia.evaluation.segments import bouts_of

__all__ = ["ClassDelay", "delays_of", "detection_delays"]


@dataclass(frozen=True)
class ClassDelay:
    """How late the bouts of one class are noticed, all recordings together.

    Attributes:
        label: the class; None for all of them.
        bouts: true bouts.
        missed: of them, those in which no cell was predicted so.
        mean_seconds: mean delay of those that were not missed; None if all were.
        median_seconds: their median delay.
        p90_seconds: the delay that nine of ten do not exceed.
    """

    label: str | None
    bouts: int
    missed: int
    mean_seconds: float | None
    median_seconds: float | None
    p90_seconds: float | None


def delays_of(truth: ArrayLike, predicted: ArrayLike) -> tuple[list[int], list[int]]:
    """Delay of each true bout, in cells, -1 where missed, and the bouts' classes.

    Args:
        truth: (N,) numbers of classes, -1 where nobody scored.
        predicted: (N,) numbers of classes, -1 where nothing was observed.
    """
    truth, predicted = np.asarray(truth, np.int64), np.asarray(predicted, np.int64)
    if truth.shape != predicted.shape or truth.ndim != 1:
        raise OptionError(
            f"truth and predicted must be (N,) both, got {truth.shape} and {predicted.shape}"
        )
    bouts = bouts_of(truth)
    delays, codes = [], []
    for code, start, end in zip(
        bouts.codes.tolist(), bouts.starts.tolist(), bouts.ends.tolist(), strict=True
    ):
        inside = predicted[start:end]
        observed = inside >= 0
        if not observed.any():
            continue
        found = np.flatnonzero(inside == code)
        delays.append(int(found[0] - observed.argmax()) if len(found) else -1)
        codes.append(code)
    return delays, codes


def detection_delays(
    pairs: Sequence[tuple[ArrayLike, ArrayLike]],
    classes: Sequence[str],
    *,
    step_seconds: float = 1.0,
    background: Collection[str] = (),
) -> tuple[ClassDelay, ...]:
    """Delays of every class that has a bout, the last entry those of all classes.

    Args:
        pairs: truth (N,) and predicted (N,) of each recording.
        classes: the names of the numbers.
        step_seconds: length of a cell.
        background: classes that are left out.
    """
    found = [delays_of(truth, predicted) for truth, predicted in pairs]
    delays = np.array([delay for one, _ in found for delay in one], np.float64)
    codes = np.array([code for _, one in found for code in one], np.int64)
    seconds = np.where(delays < 0, -1.0, delays * step_seconds)
    counted = [code for code, label in enumerate(classes) if label not in background]
    each = [_of_class(classes[code], seconds[codes == code]) for code in counted if code in codes]
    return (*each, _of_class(None, seconds[np.isin(codes, counted)])) if each else ()


def _of_class(label: str | None, seconds: np.ndarray) -> ClassDelay:
    found = seconds[seconds >= 0]
    return ClassDelay(
        label=label,
        bouts=len(seconds),
        missed=len(seconds) - len(found),
        mean_seconds=float(found.mean()) if len(found) else None,
        median_seconds=float(np.median(found)) if len(found) else None,
        p90_seconds=float(np.quantile(found, 0.9)) if len(found) else None,
    )
