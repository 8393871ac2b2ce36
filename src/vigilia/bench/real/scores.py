"""Right answers by unit, and accuracy with an interval from resampling units.

A unit is what could have turned out otherwise on its own. In joined streams that is the recording
that is asked about: however often it is joined into streams, its frames stay the same. In a
continuous recording it is the bout, a run of one true state.

Letters: n answers, U units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vigilia.evaluation.intervals import ConfidenceInterval, bootstrap

__all__ = ["Unit", "accuracy", "balanced_accuracy", "bouts", "memoryless_accuracy", "tally"]

RESAMPLES = 500


@dataclass(frozen=True)
class Unit:
    """Answers that belong together.

    Attributes:
        name: the recording, or the number of the bout.
        label: number of its class.
        right: answers that are right.
        clips: answers.
    """

    name: str
    label: int
    right: int
    clips: int


def tally(
    names: Sequence[str], numbers: np.ndarray, labels: np.ndarray, right: np.ndarray
) -> list[dict[str, Any]]:
    """Counts right answers by unit, as plain values for a file.

    Args:
        names: of the U units.
        numbers: (n,) the unit of each answer; -1 is left out.
        labels: (n,) the truth.
        right: (n,) bool.
    """
    units = []
    for number in np.unique(numbers[numbers >= 0]).tolist():
        held = numbers == number
        label = int(labels[held][0])
        units.append(Unit(names[number], label, int(right[held].sum()), int(held.sum())))
    return [asdict(unit) for unit in units]


def bouts(labels: np.ndarray) -> np.ndarray:
    """(S,) truth in time order -> (S,) number of the bout; -1 where nothing is scored."""
    runs = np.cumsum(np.diff(labels, prepend=labels[:1]) != 0)
    return np.where(labels < 0, -1, runs)


def accuracy(seeds: Sequence[Sequence[dict[str, Any]]]) -> ConfidenceInterval | None:
    """Share of right answers, a mean over units, its interval from resampling them.

    Every unit counts the same: a few long gaps behind one recording would outweigh all others.

    Args:
        seeds: for each seed what `tally` returned; units of one name are the same unit.
    """
    _, right, clips = _together(seeds)
    if not len(clips):
        return None
    share = right / clips
    return bootstrap(lambda chosen: [share[chosen].mean()], len(share), resamples=RESAMPLES)[0]


def memoryless_accuracy(shown: np.ndarray, asked: np.ndarray, labels: np.ndarray) -> float:
    """`accuracy` of the best function of the present clip, fitted to these very answers.

    With few of them it lies well above what that function would reach on fresh streams, which is
    chance wherever the present says nothing of the past.

    Args:
        shown: (n,) what the present clip shows.
        asked: (n,) the unit that is asked about.
        labels: (n,) the truth.
    """
    _, counts = np.unique(asked, return_counts=True)
    units = np.unique(asked, return_inverse=True)[1]
    gain = np.zeros((shown.max() + 1, labels.max() + 1))
    np.add.at(gain, (shown, labels), 1 / counts[units])
    return float(gain.max(axis=1).sum() / len(counts))


def balanced_accuracy(seeds: Sequence[Sequence[dict[str, Any]]]) -> ConfidenceInterval | None:
    """Mean over classes of the share of right answers; units are resampled class by class.

    Otherwise a resample could lack a class, and the figure would mean something else in it. A class
    of a single unit then does not vary at all: with few units the interval is too narrow.
    """
    labels, right, clips = _together(seeds)
    if not len(clips):
        return None
    random = np.random.default_rng(0)
    values, draws = [], []
    for label in np.unique(labels):
        held = labels == label
        chosen = random.integers(held.sum(), size=(RESAMPLES, held.sum()))
        values.append(right[held].sum() / clips[held].sum())
        draws.append(right[held][chosen].sum(axis=1) / clips[held][chosen].sum(axis=1))
    value = float(np.mean(values))
    if len(clips) == len(values):
        return ConfidenceInterval(value, None, None)
    low, high = np.percentile(np.mean(draws, axis=0), [2.5, 97.5])
    return ConfidenceInterval(value, float(low), float(high))


def _together(
    seeds: Sequence[Sequence[dict[str, Any]]],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, right answers and answers of every unit, summed over seeds."""
    found: dict[str, list[int]] = {}
    for units in seeds:
        for unit in units:
            sums = found.setdefault(unit["name"], [unit["label"], 0, 0])
            sums[1] += unit["right"]
            sums[2] += unit["clips"]
    columns = np.array(list(found.values()), np.int64).reshape(-1, 3).T
    return columns[0], columns[1], columns[2]
