"""The baseline that any memory has to be above: a linear model of the pixels of single frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

__all__ = ["fit_linear", "small_grey"]

DECAY = 0.01
CELLS = 24


def small_grey(frames: np.ndarray) -> np.ndarray:
    """(n, H, W, 3) uint8 -> (n, 576) float32 grey from 0 to 1, means over 24 x 24 squares."""
    grey = torch.from_numpy(np.asarray(frames, np.float32).mean(axis=-1) / 255)
    return F.adaptive_avg_pool2d(grey[:, None], CELLS).flatten(1).numpy()


def fit_linear(
    x: np.ndarray, labels: np.ndarray, classes: int
) -> Callable[[np.ndarray], np.ndarray]:
    """Multinomial logistic regression in which every class counts the same.

    Args:
        x: (n, D) features.
        labels: (n,) int64; -1 is left out.
        classes: K.

    Returns:
        A function (m, D) -> (m,) int64.
    """
    mean, deviation = x.mean(axis=0), x.std(axis=0) + 1e-3
    held = labels >= 0
    inputs = torch.from_numpy((x[held] - mean) / deviation)
    truth = torch.from_numpy(labels[held])
    counts = torch.bincount(truth, minlength=classes).clamp(min=1)
    weight = len(truth) / (classes * counts)
    parameters = torch.zeros(classes, x.shape[1] + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([parameters], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ parameters[:, :-1].T + parameters[:, -1]
        total = (
            F.cross_entropy(logits, truth, weight=weight)
            + DECAY * parameters[:, :-1].square().sum()
        )
        total.backward()
        return total

    optimiser.step(loss)
    found = parameters.detach().numpy()
    # A class that was never seen is never said.
    found[np.bincount(labels[held], minlength=classes) == 0, -1] = -np.inf

    def said(other: np.ndarray) -> np.ndarray:
        scores = (other - mean) / deviation @ found[:, :-1].T + found[:, -1]
        return np.asarray(scores.argmax(axis=1))

    return said
