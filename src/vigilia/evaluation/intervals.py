"""How sure the figures are: intervals from resampling recordings, or animals, with replacement.

Cells of one recording resemble each other, so they are never resampled on their own: an interval
from 36 000 seconds of one night would be narrow and wrong. The interval is the middle 95 % of the
figure over the resamples (percentile bootstrap; An Introduction to the Bootstrap, Efron and
Tibshirani 1993). With few recordings it is too narrow rather than too wide; with one there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError

__all__ = ["ConfidenceInterval", "bootstrap"]


@dataclass(frozen=True)
class ConfidenceInterval:
    """A figure and where it may lie.

    Attributes:
        value: the figure over all recordings.
        low: lower end; None with one recording or animal.
        high: upper end; None likewise.
    """

    value: float
    low: float | None
    high: float | None


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], ArrayLike],
    groups: Sequence[str] | int,
    *,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> list[ConfidenceInterval | None]:
    """Resamples whatever can be computed from a choice of recordings.

    Args:
        statistic: takes the numbers of recordings, some of them repeated, and returns (F,) figures,
            nan where one is not defined.
        groups: the animal, or other unit, of each recording, drawn as a whole; or the number of
            recordings, each a unit of its own.
        resamples: how often; 0 for no intervals.
        seed: the same seed gives the same intervals.
        level: share of the resamples inside.

    Returns:
        F entries; None where the figure is not defined over all recordings.

    Raises:
        OptionError: there is no recording, or an option cannot work.
    """
    names = list(range(groups)) if isinstance(groups, int) else list(groups)
    if not names:
        raise OptionError("there is no recording to resample")
    if resamples < 0 or not 0 < level < 1:
        raise OptionError(
            f"resamples must be 0 or more and level in 0 to 1, got {resamples}, {level}"
        )
    units = list(dict.fromkeys(names))
    members = [np.array([i for i, name in enumerate(names) if name == unit]) for unit in units]
    values = np.asarray(statistic(np.arange(len(names))), np.float64)
    limits = np.full((2, len(values)), np.nan)
    if len(units) > 1 and resamples:
        random = np.random.default_rng(seed)
        draws = random.integers(0, len(units), (resamples, len(units)))
        drawn = np.array(
            [statistic(np.concatenate([members[unit] for unit in draw])) for draw in draws],
            np.float64,
        )
        tail = 100 * (1 - level) / 2
        for column, figures in enumerate(drawn.T):
            if len(defined := figures[np.isfinite(figures)]):
                limits[:, column] = np.percentile(defined, [tail, 100 - tail])
    return [
        None if np.isnan(value) else ConfidenceInterval(value, *(_number(one) for one in limit))
        for value, limit in zip(values.tolist(), limits.T.tolist(), strict=True)
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
