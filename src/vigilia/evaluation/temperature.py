"""Temperature calibration: one number that makes probabilities mean what they say.

Logits are divided by T before the softmax (Guo et al., "On calibration of modern neural networks",
ICML 2017). No answer changes, only how sure it is. The T that fits labelled clips best, that the
model did not learn from, is found exactly: the loss is convex in 1 / T. Needs numpy only.

Letters: N clips, K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import InputError, OptionError

__all__ = ["apply_temperature", "fit_temperature", "log_loss"]

COLDEST, HOTTEST = 0.05, 20.0


def apply_temperature(logits: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """logits: (N, K) -> probabilities (N, K).

    Logits may be the logarithms of probabilities.

    Raises:
        OptionError: the temperature is not positive.
    """
    if not temperature > 0:
        raise OptionError(f"temperature must be positive, got {temperature}")
    scaled = np.asarray(logits, np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def log_loss(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """Mean surprise at the truth in nats; labels (N,), -1 is left out."""
    p, truth = np.asarray(probabilities, np.float64), np.asarray(labels, np.int64)
    scored = truth >= 0
    return float(-np.log(np.maximum(p[scored, truth[scored]], 1e-300)).mean())


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature, 0.05 to 20, with the least log loss. Above 1: the model was too sure.

    Args:
        logits: (N, K) of clips that the model did not learn from.
        labels: (N,) of classes, -1 is left out.

    Raises:
        InputError: nothing is labelled, or the shapes do not fit.
    """
    x, truth = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if x.ndim != 2 or truth.shape != (len(x),):
        raise InputError(f"logits must be (N, K) and labels (N,), got {x.shape} and {truth.shape}")
    scored = truth >= 0
    if not scored.any():
        raise InputError("no clip is labelled; a temperature needs labelled recordings")
    x, truth = x[scored], truth[scored]
    at_truth = x[np.arange(len(x)), truth]
    low, high = 1 / HOTTEST, 1 / COLDEST
    for _ in range(60):
        middle = (low + high) / 2
        # The slope of the loss in 1 / T: what is expected of the logit minus what is true.
        slope = ((apply_temperature(x, 1 / middle) * x).sum(axis=1) - at_truth).mean()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return float(2 / (low + high))
