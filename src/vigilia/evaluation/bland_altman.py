"""Bias and limits of agreement between two ways to measure the same quantity.

Statistical methods for assessing agreement between two methods of clinical measurement, Bland and
Altman 1986.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vigilia.errors import OptionError

__all__ = ["BlandAltman", "bland_altman"]


@dataclass(frozen=True)
class BlandAltman:
    """Prediction minus truth over animals or recordings.

    Attributes:
        quantity: what was measured.
        bias: mean difference.
        lower_limit: bias - 1.96 standard deviations; None with fewer than two.
        upper_limit: bias + 1.96 standard deviations; None with fewer than two.
        names: of the animals or recordings.
        truths: what each had by the truth.
        predictions: what each had by the prediction.
    """

    quantity: str
    bias: float
    lower_limit: float | None
    upper_limit: float | None
    names: tuple[str, ...]
    truths: tuple[float, ...]
    predictions: tuple[float, ...]

    @property
    def means(self) -> tuple[float, ...]:
        return tuple((a + b) / 2 for a, b in zip(self.truths, self.predictions, strict=True))

    @property
    def differences(self) -> tuple[float, ...]:
        return tuple(b - a for a, b in zip(self.truths, self.predictions, strict=True))


def bland_altman(
    quantity: str,
    names: Sequence[str],
    truths: Sequence[float | None],
    predictions: Sequence[float | None],
) -> BlandAltman | None:
    """Compares (N,) truths with (N,) predictions; pairs that hold a None are left out.

    Returns:
        None where no pair is left.

    Raises:
        OptionError: lengths differ.
    """
    if not len(names) == len(truths) == len(predictions):
        raise OptionError(
            f"names, truths and predictions must be equally many, got {len(names)}, "
            f"{len(truths)} and {len(predictions)}"
        )
    pairs = [
        (name, float(a), float(b))
        for name, a, b in zip(names, truths, predictions, strict=True)
        if a is not None and b is not None
    ]
    if not pairs:
        return None
    differences = np.array([b - a for _, a, b in pairs])
    bias = float(differences.mean())
    spread = 1.96 * float(differences.std(ddof=1)) if len(pairs) > 1 else None
    return BlandAltman(
        quantity=quantity,
        bias=bias,
        lower_limit=None if spread is None else bias - spread,
        upper_limit=None if spread is None else bias + spread,
        names=tuple(name for name, _, _ in pairs),
        truths=tuple(a for _, a, _ in pairs),
        predictions=tuple(b for _, _, b in pairs),
    )
