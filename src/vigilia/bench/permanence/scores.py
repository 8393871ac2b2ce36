"""What the benchmark's figures are: shares of right answers with an interval, and what is retained.

Letters: N scenes, S seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Difference", "Share", "difference", "retention", "wilson"]

Z95 = 1.959963984540054
DRAWS = 2000


@dataclass(frozen=True)
class Difference:
    """How much larger one share is than another, with its 95 % interval.

    Attributes:
        value: from -1 to 1.
        low95: lower end.
        high95: upper end.
    """

    value: float
    low95: float
    high95: float


@dataclass(frozen=True)
class Share:
    """A share of N with its 95 % interval.

    Attributes:
        right: how many.
        of: N.
        low95: lower end.
        high95: upper end.
    """

    right: int
    of: int
    low95: float
    high95: float

    @property
    def value(self) -> float:
        """right / N; nan without any."""
        return self.right / self.of if self.of else float("nan")


def wilson(right: int, of: int) -> Share:
    """A share with Wilson's interval, which holds near 0 and 1 too.

    Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        right: successes.
        of: trials.
    """
    if of == 0:
        return Share(0, 0, float("nan"), float("nan"))
    share, z2 = right / of, Z95 * Z95
    middle = share + z2 / (2 * of)
    half = Z95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    whole = 1 + z2 / of
    return Share(right, of, max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole))


def difference(mine: NDArray[np.bool_], other: NDArray[np.bool_]) -> Difference:
    """The share of right answers less another's, about the same N things.

    The interval is of a paired bootstrap: it says what other things of the kind might have given,
    not what other seeds might. Efron and Tibshirani, "An introduction to the bootstrap", 1993.

    Args:
        mine: (S, N), a row for each seed.
        other: (S', N).
    """
    each = mine.mean(0) - other.mean(0)
    random = np.random.default_rng(0)
    drawn = [each[random.integers(len(each), size=len(each))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Difference(float(each.mean()), float(low), float(high))


def retention(hidden: float, visible: float, chance: float) -> float:
    """What is left above chance: 1 where hiding costs nothing, 0 at chance; nan if never above it.

    Args:
        hidden: share of right answers while hidden.
        visible: share before.
        chance: share that guessing reaches.
    """
    return (hidden - chance) / (visible - chance) if visible > chance else float("nan")
