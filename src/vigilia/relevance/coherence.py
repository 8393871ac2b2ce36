"""Losses that want what follows in time to lie close together, without collapsing to a constant.

Smoothness alone is least where nothing changes at all, so a network that is asked for it alone
forgets everything. Each loss here adds what keeps features apart: every one must vary, and no two
may be copies (the variance and covariance terms of Bardes, Ponce and LeCun, "VICReg", ICLR 2022).
Where something really happens, at the edge of an event, nothing is to be close: `joined` says so.

Slow features: Wiskott and Sejnowski, "Slow feature analysis: unsupervised learning of
invariances", Neural Computation 2002. Its constraints, unit variance and no correlation, are kept
softly. Squares of steps and of correlations have no unit; what is learned must be standardised.

Letters: B streams, S clips, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vigilia.errors import InputError

__all__ = [
    "coherence_loss",
    "correlation_penalty",
    "covariance_penalty",
    "joined_by_change",
    "mean_step",
    "slow_feature_loss",
    "spread_penalty",
]

TINY = 1e-6


def mean_step(x: Tensor, joined: Tensor | None = None) -> Tensor:
    """The mean squared step from one clip to the next, over features: least at a constant.

    x: (B, S, D) -> (). Steps 0, 1, 3 of a single feature give (1 + 4) / 2.

    Args:
        x: consecutive embeddings.
        joined: (B, S - 1) 0 to 1, how much each step counts; None for all alike. 0 where a stream
            starts anew or an event begins.

    Raises:
        InputError: a shape that does not fit.
    """
    _check(x, joined)
    steps = (x[:, 1:] - x[:, :-1]).square().mean(dim=2)  # (B, S - 1)
    if joined is None:
        return steps.mean() if steps.numel() else x.sum() * 0
    return (steps * joined).sum() / joined.sum().clamp(min=TINY)


def spread_penalty(x: Tensor, *, least: float = 1.0) -> Tensor:
    """How far the standard deviations of the features fall short of `least`, on average.

    x: (B, S, D) -> (). Over all clips of all streams; 0 where every feature varies enough.
    """
    deviations = x.flatten(0, 1).var(dim=0, correction=0).add(TINY).sqrt()  # (D,)
    return (least - deviations).clamp(min=0).mean()


def covariance_penalty(x: Tensor) -> Tensor:
    """The squared covariances between different features, summed and divided by D.

    x: (B, S, D) -> (). 0 for a single feature.
    """
    centred = x.flatten(0, 1) - x.flatten(0, 1).mean(dim=0)
    return _off_diagonal(centred.T @ centred / len(centred))


def correlation_penalty(x: Tensor) -> Tensor:
    """The same of correlations: whatever the scale of the features. x: (B, S, D) -> ()."""
    scaled = _standardised(x).flatten(0, 1)
    return _off_diagonal(scaled.T @ scaled / len(scaled))


def coherence_loss(
    x: Tensor, joined: Tensor | None = None, *, variance: float = 1.0, covariance: float = 0.04
) -> Tensor:
    """Small steps between neighbours, while every feature keeps varying and no two are copies.

    x: (B, S, D) -> ().

    Args:
        x: consecutive embeddings.
        joined: see `mean_step`.
        variance: weight of `spread_penalty`; with 0 the loss collapses.
        covariance: weight of `covariance_penalty`; VICReg's is a 25th of the others.
    """
    loss = mean_step(x, joined)
    return loss + variance * spread_penalty(x) + covariance * covariance_penalty(x)


def slow_feature_loss(
    x: Tensor, joined: Tensor | None = None, *, variance: float = 1.0, correlation: float = 1.0
) -> Tensor:
    """The slowness of each feature: its mean squared step at unit variance, 2 for white noise.

    x: (B, S, D) -> (). A feature gains nothing by growing small, for it is measured in its own
    standard deviations.

    Args:
        x: consecutive embeddings.
        joined: see `mean_step`.
        variance: weight of `spread_penalty`, which keeps the scale.
        correlation: weight of `correlation_penalty`; with 0 all features become the slowest one.
    """
    loss = mean_step(_standardised(x), joined)
    return loss + variance * spread_penalty(x) + correlation * correlation_penalty(x)


@torch.no_grad()
def joined_by_change(seen: Tensor) -> Tensor:
    """How much each step counts, by what was seen there: 1 where nothing changed.

    seen: (B, S, E) -> (B, S - 1), exp(-change / median change): a half or so on an ordinary step,
    next to nothing where an event begins. Without gradient, so that nothing learns to look away.
    """
    _check(seen, None)
    change = (seen[:, 1:] - seen[:, :-1]).square().mean(dim=2)
    usual = change.median() if change.numel() else change.sum()
    return torch.exp(-change / usual.clamp(min=TINY))


def _standardised(x: Tensor) -> Tensor:
    flat = x.flatten(0, 1)
    return (x - flat.mean(dim=0)) / flat.var(dim=0, correction=0).add(TINY).sqrt()


def _off_diagonal(matrix: Tensor) -> Tensor:
    squares = matrix.square()
    return (squares.sum() - squares.diagonal().sum()) / len(matrix)


def _check(x: Tensor, joined: Tensor | None) -> None:
    if x.ndim != 3:
        raise InputError(f"x must be (B, S, D), got {tuple(x.shape)}; batch first, then time")
    expected = (x.shape[0], x.shape[1] - 1)
    if joined is not None and tuple(joined.shape) != expected:
        raise InputError(f"joined must be (B, S - 1) = {expected}, got {tuple(joined.shape)}")
