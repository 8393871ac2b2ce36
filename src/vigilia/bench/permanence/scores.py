"""What the benchmark's figures are: shares of right answers with an interval, and what is retained.

Letters: N scenes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Share", "retention", "wilson"]

Z95 = 1.959963984540054


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


def retention(hidden: float, visible: float, chance: float) -> float:
    """What is left above chance: 1 where hiding costs nothing, 0 at chance; nan if never above it.

    Args:
        hidden: share of right answers while hidden.
        visible: share before.
        chance: share that guessing reaches.
    """
    return (hidden - chance) / (visible - chance) if visible > chance else float("nan")
