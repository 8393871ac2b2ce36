"""A layer of neurons: with membranes or without, and with thresholds that find themselves.

A layer takes whole sequences, (T, B, ...); a streaming step is a sequence of one. Nothing in makes
nothing out.

Letters: T steps, B streams.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.spiking.neurons import check_tau, decay_weight, lif_sequence, parametric_lif_sequence
from vigilia.spiking.surrogate import ATAN, WIDE, Surrogate, spike

__all__ = ["FRESH", "Neurons", "working_gain"]

FRESH = 0.2
"""Spread of the currents of fresh weights, where neurons find their own thresholds: what neurons do
does not depend on it, but small weights turn faster at the same learning rate."""


def working_gain(tau: float | None) -> float:
    """Spread of currents at which membranes spread by one, so that about a sixth of them fire."""
    return 1.0 if tau is None else math.sqrt(2 * tau - 1)


class Neurons(nn.Module):
    """A layer of leaky integrate-and-fire neurons.

    With `features`, the neurons of each feature find a threshold of their own. It lies `height`
    spreads above the mean of what their membranes come to, so that whatever the weights do about a
    sixth of them fire; height is learned. In training mean and spread are those of the batch, and
    gradient flows through them; afterwards they are constants. (That is batch normalisation, whose
    shift is kept where it costs nothing and cannot fire on nothing: in a threshold, which stays
    above zero.) Without, nets of four layers that learn scenes at once hardly learn.

    Args:
        tau: time constant in steps; None keeps no membrane: a neuron then fires on what comes in
            now, and its state has no bytes.
        features: how many; None for one threshold for all.
        spread: with features, of the currents that fresh neurons expect.
        axis: of the features, from the end.
        threshold: without features: a membrane that reaches it fires.
        reset: one of `vigilia.spiking.neurons.RESETS`.
        learns_tau: one learned time constant for the layer, starting at `tau`.
        surrogate: the spike's derivative.

    Raises:
        OptionError: tau is not above 1.
    """

    MOMENTUM = 0.05
    LEAST = 0.1
    """Of the threshold, in spreads: what is zero stays below it."""
    SMALL = 1e-5

    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        tau: float | None,
        *,
        features: int | None = None,
        spread: float = FRESH,
        axis: int = -1,
        threshold: float = 1.0,
        reset: str = "hard",
        learns_tau: bool = False,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__()
        self.tau = None if tau is None else check_tau(tau)
        self.features = features
        self.axis = axis
        self.threshold = threshold
        self.reset = reset
        self.surrogate = surrogate or (ATAN if features is None else WIDE)
        learned = learns_tau and tau is not None
        self.decay = nn.Parameter(torch.tensor(decay_weight(tau))) if learned and tau else None
        if features is not None:
            self.height = nn.Parameter(torch.ones(features))
            self.register_buffer("mean", torch.zeros(features))
            self.register_buffer("variance", torch.full((features,), spread * spread))

    def rest(self, *shape: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Membranes at rest for streams of that shape (B, ...); (B, 0) where none are kept."""
        size = shape if self.tau is not None else (shape[0], 0)
        return torch.zeros(size, device=device, dtype=dtype)

    def forward(self, currents: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor]:
        """currents: (T, B, ...), membrane: (B, ...) -> spikes (T, B, ...), membrane (B, ...)."""
        if self.tau is None:
            return self._at_once(currents), membrane
        if self.features is not None:
            # In units of the thresholds: membranes are linear, so that comes to the same.
            currents = currents / self._aligned(self.thresholds(currents))
        threshold = self.threshold if self.features is None else 1.0
        before = membrane.to(currents.dtype)
        if self.decay is not None:
            spikes, after = parametric_lif_sequence(
                currents,
                before,
                self.decay,
                threshold=threshold,
                reset=self.reset,
                surrogate=self.surrogate,
            )
        else:
            spikes, after = lif_sequence(
                currents,
                before,
                tau=self.tau,
                threshold=threshold,
                reset=self.reset,
                surrogate=self.surrogate,
            )
        return spikes, after.to(membrane.dtype)

    def thresholds(self, currents: Tensor) -> Tensor:
        """(features,) as they are now; in training of these currents, which are taken note of."""
        mean, variance = self.mean, self.variance
        if self.training and torch.is_grad_enabled():
            flat = currents.movedim(self.axis, -1).flatten(0, -2)
            variance, mean = torch.var_mean(flat, 0, correction=0)
            with torch.no_grad():
                for known, new in ((self.mean, mean), (self.variance, variance)):
                    known.lerp_(new.to(known.dtype), self.MOMENTUM)
        spread = (variance + self.SMALL).sqrt() / working_gain(self.tau)
        return torch.maximum(mean + self.height * spread, self.LEAST * spread)

    def _at_once(self, currents: Tensor) -> Tensor:
        if self.features is None:
            return spike(currents, self.surrogate, threshold=self.threshold)
        if not (self.training and torch.is_grad_enabled()):
            levels = self._aligned(self.thresholds(currents))
            return spike(currents, self.surrogate, threshold=levels)
        # The same in units of spreads: torch's own normalisation is several times as fast.
        flat = currents.flatten(0, self.axis - 1)
        scaled = F.batch_norm(
            flat,
            self.mean,
            self.variance,
            training=True,
            momentum=self.MOMENTUM,
            eps=self.SMALL,
        ).view_as(currents)
        least = self.LEAST - self.mean / (self.variance + self.SMALL).sqrt()
        levels = self._aligned(torch.maximum(self.height, least))
        return spike(scaled, self.surrogate, threshold=levels)

    def _aligned(self, values: Tensor) -> Tensor:
        """values: (features,) -> a shape that broadcasts to currents."""
        return values.view(-1, *[1] * (-self.axis - 1))

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        own = "" if self.features is None else f", features={self.features}"
        return f"tau={self.tau}, threshold={self.threshold}, reset={self.reset!r}{own}"
