"""Is this recording like those the model learned from? Distance, energy and doubt, clip by clip.

A model names a state of whatever it is shown. These figures tell when it should not be believed:

- *distance*: how far a clip's pooled embedding lies from those of the training recordings, as
  Mahalanobis's distance (Lee et al., "A simple unified framework for detecting out-of-distribution
  samples and adversarial attacks", NeurIPS 2018) under a probabilistic principal component model
  (Tipping and Bishop, 1999), which a few hundred clips can fit whatever D is;
- *energy*: minus the logarithm of the sum of exponentials of the logits (Liu et al., "Energy-based
  out-of-distribution detection", NeurIPS 2020); higher where no class speaks up;
- *doubt*: entropy of the probabilities over its greatest value, 0 to 1.

Clips of one recording are alike, so what is usual is measured on recordings left out of the fit,
one after another, never on clips that were in it. Needs numpy only.

Letters: R recordings, S clips, D features, A axes, K classes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import CheckpointError, InputError, OptionError

__all__ = ["Familiarity", "Verdict", "distances", "doubt", "energy", "fit_familiarity", "judge"]

Floats = NDArray[np.float64]
USUAL_QUANTILE = 0.95
STRANGE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Familiarity:
    """What the training recordings looked like to the backbone.

    Attributes:
        mean: (D,) of the pooled embeddings.
        axes: (A, D) directions of greatest variance, of length 1.
        variances: (A,) along them.
        rest: variance along every other direction.
        limit: distance that 95 % of the clips of a left-out training recording stay within; of the
            recordings, the greatest.
        recordings: R.
    """

    mean: Floats
    axes: Floats
    variances: Floats
    rest: float
    limit: float
    recordings: int

    def as_card(self) -> dict[str, Any]:
        """For a model card: JSON, arrays as base64 of little-endian float32."""
        arrays = {"mean": self.mean, "axes": self.axes, "variances": self.variances}
        packed = {
            name: base64.b64encode(array.astype("<f4").tobytes()).decode()
            for name, array in arrays.items()
        }
        return {
            **packed,
            "rest": self.rest,
            "limit": self.limit,
            "recordings": self.recordings,
        }

    @staticmethod
    def from_card(card: Mapping[str, Any]) -> Familiarity:
        """Reads `as_card`.

        Raises:
            CheckpointError: it is damaged.
        """
        try:
            mean, axes, variances = (
                np.frombuffer(base64.b64decode(card[name], validate=True), "<f4").astype(np.float64)
                for name in ("mean", "axes", "variances")
            )
            return Familiarity(
                mean=mean,
                axes=axes.reshape(len(variances), len(mean)),
                variances=variances,
                rest=float(card["rest"]),
                limit=float(card["limit"]),
                recordings=int(card["recordings"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"what the card says of familiar recordings is damaged ({error}); fit it again"
            ) from error


@dataclass(frozen=True)
class Verdict:
    """Whether a recording is like the training ones.

    Attributes:
        share_beyond: share of its clips beyond the limit; about 0.05 or less is usual.
        median_distance: of its clips, in units of the limit.
        unfamiliar: more than half of its clips lie beyond.
    """

    share_beyond: float
    median_distance: float
    unfamiliar: bool


def fit_familiarity(recordings: Sequence[ArrayLike], *, axes: int = 32) -> Familiarity:
    """Fits to the pooled embeddings of training recordings.

    Args:
        recordings: R times (S, D); two or more, so that one can be left out.
        axes: A; fewer where there are fewer clips.

    Raises:
        InputError: fewer than two recordings, or embeddings that do not fit each other.
        OptionError: `axes` is less than 1.
    """
    if axes < 1:
        raise OptionError(f"axes must be at least 1, got {axes}")
    pooled = [np.asarray(one, np.float64) for one in recordings]
    if len(pooled) < 2:
        raise InputError(
            f"familiarity needs two recordings or more, to leave one out; got {len(pooled)}"
        )
    for one in pooled:
        if one.ndim != 2 or one.shape[1] != pooled[0].shape[1] or len(one) < 2:
            raise InputError(
                f"each recording must be (S, D={pooled[0].shape[-1]}) with two clips or more, "
                f"got {one.shape}"
            )
    limits = []
    for index, left_out in enumerate(pooled):
        others = [one for number, one in enumerate(pooled) if number != index]
        limits.append(np.quantile(distances(_fit(others, axes, 1.0), left_out), USUAL_QUANTILE))
    return _fit(pooled, axes, float(max(limits)))


def _fit(pooled: Sequence[Floats], axes: int, limit: float) -> Familiarity:
    # Each recording counts the same, however long it is.
    weights = np.concatenate([np.full(len(one), 1 / len(one) / len(pooled)) for one in pooled])
    together = np.concatenate(pooled)
    mean = weights @ together
    centred = (together - mean) * np.sqrt(weights)[:, None]
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2
    kept = min(axes, len(variances), together.shape[1])
    total = float(variances.sum())
    others = together.shape[1] - kept
    rest = (total - float(variances[:kept].sum())) / others if others else 0.0
    # Never so small that rounding is taken for something strange.
    floor = max(total / together.shape[1] * 1e-3, 1e-12)
    return Familiarity(
        mean=mean,
        axes=directions[:kept],
        variances=np.maximum(variances[:kept], floor),
        rest=max(rest, floor),
        limit=limit,
        recordings=len(pooled),
    )


def distances(known: Familiarity, pooled: ArrayLike) -> Floats:
    """pooled: (S, D) -> (S,) Mahalanobis's distance over the root of D, about 1 in the training.

    Raises:
        InputError: another D.
    """
    x = np.asarray(pooled, np.float64)
    if x.ndim != 2 or x.shape[1] != len(known.mean):
        raise InputError(f"pooled must be (S, D={len(known.mean)}), got {x.shape}")
    centred = x - known.mean
    along = centred @ known.axes.T  # (S, A)
    beside = np.maximum((centred**2).sum(axis=1) - (along**2).sum(axis=1), 0)
    squares = (along**2 / known.variances).sum(axis=1) + beside / known.rest
    return np.sqrt(squares / x.shape[1])


def judge(known: Familiarity, pooled: ArrayLike) -> Verdict:
    """Says whether a recording is like those of the training. pooled: (S, D).

    Raises:
        InputError: another D, or no clip.
    """
    found = distances(known, pooled)
    if not len(found):
        raise InputError("a recording without clips cannot be judged")
    share = float((found > known.limit).mean())
    return Verdict(share, float(np.median(found) / known.limit), share > STRANGE_SHARE)


def energy(logits: ArrayLike, *, temperature: float = 1.0) -> Floats:
    """logits: (S, K) -> (S,) in nats; higher where the model knows nothing to say.

    Of logits 0, 0 it is -log 2; of 10, 0 about -10.

    Raises:
        OptionError: the temperature is not positive.
    """
    if not temperature > 0:
        raise OptionError(f"temperature must be positive, got {temperature}")
    scaled = np.asarray(logits, np.float64) / temperature
    top = scaled.max(axis=1, keepdims=True)
    return -temperature * (top[:, 0] + np.log(np.exp(scaled - top).sum(axis=1)))


def doubt(probabilities: ArrayLike) -> Floats:
    """probabilities: (S, K) -> (S,) entropy over log K: 0 is sure, 1 all classes alike.

    Of a single class there is never any doubt.
    """
    p = np.asarray(probabilities, np.float64)
    if p.shape[1] < 2:
        return np.zeros(len(p))
    logs = np.log(np.where(p > 0, p, 1.0))
    return np.clip(-(p * logs).sum(axis=1) / np.log(p.shape[1]), 0, 1)
