"""Predictive coding: what memory expects next, how wrong it was, and how much that means.

From this clip's tokens and what is remembered, the next clip's tokens are predicted. Where the
prediction fails, something happened that the past did not announce. An error counts in units of
what is usual at that place: its square is divided by a running variance of *earlier* errors, the
inverse of which is the precision (Rao and Ballard, "Predictive coding in the visual cortex", Nature
Neuroscience 1999; Feldman and Friston, "Attention, uncertainty, and free-energy", 2010). Taken from
the present error itself, precision would be upside down: twice the surprise, half the weight.

Surprise is the mean squared error in these units: about 1 for what is usual, whatever the model and
the camera. A fresh predictor says "as before", so surprise is there without any training.

Letters: B streams, N places, D features, E features of the memory's embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vigilia.errors import InputError, OptionError
from vigilia.state import State

__all__ = [
    "Prediction",
    "PredictionState",
    "TokenPredictor",
    "attention_prior",
    "places_of",
    "prediction_loss",
]

LEAST_VARIANCE = 1e-6
PRIOR_ERRORS = 4.0
"""The mean variance of a place's features counts as much as so many errors of each."""


@dataclass(frozen=True)
class PredictionState(State):
    """What is expected of the next clip.

    Attributes:
        expected: (B, N, D) its tokens.
        variance: (B, N, D) of earlier errors; 0 where there were none.
        seconds: (B,) float64, when the last clip ended.
        clips: (B,) int64, how many were seen.
    """

    expected: Tensor
    variance: Tensor
    seconds: Tensor
    clips: Tensor


@dataclass(frozen=True)
class Prediction:
    """How the clip that has just come compares with what was expected.

    Attributes:
        error: (B, N, D) seen minus expected; 0 where nothing was expected. Carries gradient.
        precision: (B, N, D) 1 over the variance of earlier errors; 0 where it is unknown.
        surprise: (B,) mean over places and features of error^2 * precision, about 1 when all is as
            usual; 0 for the first two clips, of which nothing can be said.
        places: (B, N) the same for each place.
    """

    error: Tensor
    precision: Tensor
    surprise: Tensor
    places: Tensor


class TokenPredictor(nn.Module):
    """Predicts the next clip's tokens from this one's and from memory; a fresh one says "as now".

    Works on anything: the pooled embedding is a single place, N = 1; stage tokens are averaged over
    the clip's time first, see `places_of`.

    Args:
        dim: D.
        memory_dim: E; 0 predicts from the tokens alone.
        hidden: units of the hidden layer; None for 2 D.
        half_life_seconds: of the running variance of errors.

    Raises:
        OptionError: a value that cannot work.
    """

    def __init__(
        self,
        dim: int,
        *,
        memory_dim: int = 0,
        hidden: int | None = None,
        half_life_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        if not half_life_seconds > 0:
            raise OptionError(f"half_life_seconds must be positive, got {half_life_seconds}")
        if dim < 1 or memory_dim < 0:
            raise OptionError(f"dim and memory_dim must fit, got {dim} and {memory_dim}")
        units = 2 * dim if hidden is None else hidden
        self.dim = dim
        self.half_life_seconds = half_life_seconds
        self.norm = nn.LayerNorm(dim)
        self.hear = nn.Linear(dim, units)
        self.norm_memory = nn.LayerNorm(memory_dim) if memory_dim else None
        self.recall = nn.Linear(memory_dim, units, bias=False) if memory_dim else None
        self.output = nn.Linear(units, dim)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def init_state(
        self,
        batch_size: int,
        places: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> PredictionState:
        """Nothing was seen, so nothing is expected: all zeros."""
        shape = (batch_size, places, self.dim)
        return PredictionState(
            expected=torch.zeros(shape, device=device, dtype=dtype),
            variance=torch.zeros(shape, device=device, dtype=torch.float32),
            seconds=torch.zeros(batch_size, device=device, dtype=torch.float64),
            clips=torch.zeros(batch_size, device=device, dtype=torch.int64),
        )

    def predict(self, tokens: Tensor, memory: Tensor | None = None) -> Tensor:
        """tokens: (B, N, D), memory: (B, E) -> the next clip's tokens (B, N, D)."""
        hidden = self.hear(self.norm(tokens))
        if self.recall is not None and self.norm_memory is not None:
            if memory is None:
                raise InputError("this predictor was built with memory_dim, so memory is needed")
            hidden = hidden + self.recall(self.norm_memory(memory))[:, None]
        return tokens + self.output(nn.functional.gelu(hidden))

    def forward(
        self,
        tokens: Tensor,
        state: PredictionState,
        *,
        seconds: Tensor,
        memory: Tensor | None = None,
    ) -> tuple[Prediction, PredictionState]:
        """Compares a clip with what was expected, and expects the next.

        Args:
            tokens: (B, N, D) of the clip that has just been seen.
            state: from `init_state` or the call before.
            seconds: (B,) float64, when the clip ended.
            memory: (B, E) the memory's embedding behind this clip.

        Raises:
            InputError: tokens do not have the state's shape.
        """
        if tokens.shape != state.expected.shape:
            raise InputError(
                f"tokens must be (B, N, D) = {tuple(state.expected.shape)}, "
                f"got {tuple(tokens.shape)}"
            )
        expected = state.expected.to(tokens.dtype)
        announced = (state.clips > 0).view(-1, 1, 1)
        known = (state.clips > 1).view(-1, 1, 1)
        # The target carries no gradient: features must not learn to be easy to predict.
        error = torch.where(announced, tokens.detach() - expected, torch.zeros_like(tokens))
        passed = (seconds - state.seconds).clamp(min=0).float()
        # Until a half-life is over, the plain mean of all errors so far.
        fading = 1 - torch.exp2(-passed / self.half_life_seconds)
        rate = torch.maximum(1 / state.clips.clamp(min=1).float(), fading).view(-1, 1, 1)
        # A variance of few errors is no measure: it leans on that of all features of the place.
        lean = PRIOR_ERRORS / (PRIOR_ERRORS + 1 / rate)
        all_features = state.variance.mean(dim=2, keepdim=True)
        usual = torch.lerp(state.variance, all_features.expand_as(state.variance), lean)
        usual = usual.clamp(min=LEAST_VARIANCE)
        precision = torch.where(known, 1 / usual, torch.zeros_like(usual))
        squares = error.detach().float().square()
        places = (squares * precision).mean(dim=2)
        variance = torch.where(announced, torch.lerp(state.variance, squares, rate), state.variance)
        following = PredictionState(
            expected=self.predict(tokens, memory).to(state.expected.dtype),
            variance=variance,
            seconds=seconds,
            clips=state.clips + 1,
        )
        return Prediction(error, precision, places.mean(dim=1), places), following


def places_of(tokens: Tensor) -> Tensor:
    """Stage tokens, averaged over the clip's time. (B, T, H, W, D) -> (B, N = H * W, D)."""
    return tokens.mean(dim=1).flatten(1, 2)


def prediction_loss(prediction: Prediction) -> Tensor:
    """Half the precision-weighted squared error: what a predictor learns from.

    Where the precision is not known yet the error does not count. Precision has no gradient, so
    that nothing is gained by making errors large first and calling them usual.
    """
    weighted = prediction.error.square() * prediction.precision.to(prediction.error.dtype)
    known = (prediction.precision > 0).sum().clamp(min=1)
    return 0.5 * weighted.sum() / known


def attention_prior(places: Tensor, *, strength: float = 1.0, limit: float = 4.0) -> Tensor:
    """A bias for attention scores: places that surprise draw attention before any query asks.

    places: (B, N), `Prediction.places` -> (B, 1, 1, N), to be added to scores (B, h, queries, N).

    The logarithm of the weighted error, so that after the softmax a place's weight grows in
    proportion to its surprise (to the power of `strength`): a place that surprises four times as
    much gets four times the weight. What is usual, or not known, gets 0.

    Args:
        places: about 1 where all is as usual; 0 where unknown.
        strength: exponent; 0 changes nothing.
        limit: the bias stays within -limit to limit.
    """
    bias = torch.where(places > 0, places.clamp(min=LEAST_VARIANCE).log(), 0.0)
    return (strength * bias).clamp(-limit, limit)[:, None, None]
