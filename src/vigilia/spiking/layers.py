"""The two parts everything else is made of: neurons that fire, and weights that spikes pick from.

Every layer takes whole sequences, (T, B, ...); a streaming step is a sequence of one. Nothing here
has a bias or a shift: zero in, zero out.

Letters: T steps, B streams, N tokens, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.spiking.neurons import check_tau, decay_weight, lif_sequence, parametric_lif_sequence
from vigilia.spiking.surrogate import ATAN, Surrogate, spike

__all__ = [
    "RATE",
    "Homeostasis",
    "Neurons",
    "SpikeConv",
    "SpikeLinear",
    "count_scale",
    "silent",
    "working_gain",
]

RATE = 0.15
"""Share of spiking inputs that fresh weights are scaled for: with it, currents have spread one."""


def working_gain(tau: float | None) -> float:
    """Spread of currents at which membranes spread by one, so that about a sixth of them fire."""
    return 1.0 if tau is None else math.sqrt(2 * tau - 1)


def count_scale(features: int, tokens: int) -> float:
    """What brings the counts of Q (K^T V) to about one half, at `RATE`.

    A power of two, so that scaling a count is exact, and a shift on hardware.

    Args:
        features: d of a head.
        tokens: N that were stored.
    """
    return 2.0 ** -max(0, round(math.log2(2 * features * tokens * RATE**3)))


def silent(spikes: Tensor) -> bool:
    """Whether there is nothing to compute. Never, while gradients or graphs are recorded."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or spikes.device.type != "cpu":
        return False
    return not bool(spikes.any())


class Neurons(nn.Module):
    """A layer of leaky integrate-and-fire neurons.

    Args:
        tau: time constant in steps; None keeps no membrane: a neuron then fires on what comes in
            now, and its state has no bytes.
        threshold: a membrane that reaches it fires.
        reset: one of `vigilia.spiking.neurons.RESETS`.
        learns_tau: one learned time constant for the layer, starting at `tau`.
        surrogate: the spike's derivative.

    Raises:
        OptionError: tau is not above 1.
    """

    def __init__(
        self,
        tau: float | None,
        *,
        threshold: float = 1.0,
        reset: str = "hard",
        learns_tau: bool = False,
        surrogate: Surrogate = ATAN,
    ) -> None:
        super().__init__()
        self.tau = None if tau is None else check_tau(tau)
        self.threshold = threshold
        self.reset = reset
        self.surrogate = surrogate
        learned = learns_tau and tau is not None
        self.decay = nn.Parameter(torch.tensor(decay_weight(tau))) if learned and tau else None

    def rest(self, *shape: int, device: torch.device, dtype: torch.dtype) -> Tensor:
        """Membranes at rest for streams of that shape (B, ...); (B, 0) where none are kept."""
        size = shape if self.tau is not None else (shape[0], 0)
        return torch.zeros(size, device=device, dtype=dtype)

    def forward(self, currents: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor]:
        """currents: (T, B, ...), membrane: (B, ...) -> spikes (T, B, ...), membrane (B, ...)."""
        if self.tau is None:
            return spike(currents - self.threshold, self.surrogate), membrane
        before = membrane.to(currents.dtype)
        if self.decay is not None:
            spikes, after = parametric_lif_sequence(
                currents,
                before,
                self.decay,
                threshold=self.threshold,
                reset=self.reset,
                surrogate=self.surrogate,
            )
        else:
            spikes, after = lif_sequence(
                currents,
                before,
                tau=self.tau,
                threshold=self.threshold,
                reset=self.reset,
                surrogate=self.surrogate,
            )
        return spikes, after.to(membrane.dtype)

    def extra_repr(self) -> str:
        """Shown by `print(model)`."""
        return f"tau={self.tau}, threshold={self.threshold}, reset={self.reset!r}"


class Homeostasis(nn.Module):
    """Keeps the currents of each feature at a spread its neurons can work with.

    In training it follows the root mean square of every feature, over the places where there is any
    current at all, and divides by it; afterwards it is a constant. There is no shift, so a blank
    bin stays blank. To a neuron it is a threshold of its own, which costs no operation.

    Args:
        features: how many.
        gain: spread at first; learned.
    """

    MOMENTUM = 0.1
    LEAST = 0.1
    ENOUGH = 4096

    spread: Tensor

    def __init__(self, features: int, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((features,), gain))
        self.register_buffer("spread", torch.ones(features))

    def forward(self, currents: Tensor, axis: int = -1) -> Tensor:
        """currents: (...), with the features on `axis` -> the same shape."""
        if self.training and torch.is_grad_enabled():
            self._follow(currents.detach().movedim(axis, -1).flatten(0, -2))
        factor = self.gain / self.spread.clamp_min(self.LEAST)
        return currents * (factor if axis == -1 else factor.view(-1, *[1] * (-axis - 1)))

    def _follow(self, currents: Tensor) -> None:
        # A few thousand places tell; an odd step, so that all tokens of a picture are among them.
        currents = currents[:: (len(currents) // self.ENOUGH) | 1]
        places = (currents != 0).any(-1).sum()
        now = (currents.square().sum(0) / places.clamp_min(1)).sqrt()
        moved = torch.lerp(self.spread, now.to(self.spread.dtype), self.MOMENTUM)
        # A new tensor: an earlier step's gradient may still need the old one.
        self.spread = torch.where(places > 0, moved, self.spread)


class SpikeLinear(nn.Module):
    """Synapses from D neurons to others, without a bias: spikes choose the weights that add up.

    Args:
        inputs: D.
        outputs: features that come out.
        gain: spread of the currents, kept by `Homeostasis`; None leaves them as they come.
    """

    def __init__(self, inputs: int, outputs: int, *, gain: float | None = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.weight, std=1 / math.sqrt(RATE * inputs))
        self.homeostasis = None if gain is None else Homeostasis(outputs, gain)

    def forward(self, spikes: Tensor) -> Tensor:
        """spikes: (..., D) -> currents (..., outputs)."""
        if silent(spikes):
            return spikes.new_zeros(*spikes.shape[:-1], len(self.weight))
        currents = F.linear(spikes, self.weight)
        return currents if self.homeostasis is None else self.homeostasis(currents)


class SpikeConv(nn.Module):
    """Convolution without a bias.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of the kernel in pixels, odd.
        stride: step in pixels.
        gain: spread of the currents, kept by `Homeostasis`.
    """

    def __init__(
        self, inputs: int, outputs: int, *, kernel: int, stride: int, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.normal_(self.weight, std=1 / math.sqrt(RATE * inputs * kernel * kernel))
        self.homeostasis = Homeostasis(outputs, gain)

    def forward(self, spikes: Tensor) -> Tensor:
        """spikes: (T, B, C, H, W) -> currents (T, B, outputs, H', W')."""
        steps, rows, _, height, width = spikes.shape
        if silent(spikes):
            size = [-(-side // self.stride) for side in (height, width)]
            return spikes.new_zeros(steps, rows, len(self.weight), *size)
        # Pictures of all steps together: to a convolution, T and B are one axis.
        currents = F.conv2d(
            spikes.flatten(0, 1), self.weight, stride=self.stride, padding=self.padding
        )
        return self.homeostasis(currents, -3).unflatten(0, (steps, rows))
