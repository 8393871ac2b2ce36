"""Synapses: weights that spikes pick from, between the neurons of `neuron_layer.py`.

Every layer takes whole sequences, (T, B, ...); a streaming step is a sequence of one. Nothing here
has a bias or a shift: zero in, zero out.

Letters: T steps, B streams, N tokens, D features.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.spiking.neuron_layer import FRESH

__all__ = ["RATE", "Homeostasis", "SpikeConv", "SpikeLinear", "count_scale", "silent"]

RATE = 0.15
"""Share of spiking inputs that fresh weights are scaled for: with it, currents have spread one."""


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


class Homeostasis(nn.Module):
    """Keeps the currents of each feature at a spread that a store can work with.

    In training it follows the root mean square of every feature, over the places where there is any
    current at all, and divides by it; afterwards it is a constant. There is no shift, so a blank
    bin stays blank. To a membrane it is a gain of its synapses, which costs no operation.

    Args:
        features: how many.
        gain: spread at first; learned.
    """

    MOMENTUM = 0.1
    LEAST = 0.1

    spread: Tensor

    def __init__(self, features: int, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.full((features,), gain))
        self.register_buffer("spread", torch.ones(features))

    @property
    def factor(self) -> Tensor:
        """(features,) what currents are multiplied by."""
        return self.gain / self.spread.clamp_min(self.LEAST)

    def follow(self, currents: Tensor) -> None:
        """Takes note of currents (..., features), already multiplied by `factor`."""
        with torch.no_grad():
            currents = currents.flatten(0, -2)
            driven = (currents != 0).any(-1).sum()
            now = (currents.square().sum(0) / driven.clamp_min(1)).sqrt()
            now = now / self.factor.abs().clamp_min(1e-6)
            moved = torch.lerp(self.spread, now.to(self.spread.dtype), self.MOMENTUM)
            # A new tensor: an earlier step's gradient may still need the old one.
            self.spread = torch.where(driven > 0, moved, self.spread)


class SpikeLinear(nn.Module):
    """Synapses from D neurons to others, without a bias: spikes choose the weights that add up.

    Args:
        inputs: D.
        outputs: features that come out.
        gain: spread of the currents, kept by `Homeostasis`; None leaves them as they come, for
            neurons that find their own thresholds, or for answers.
        spread: of the currents of fresh weights.
    """

    def __init__(
        self, inputs: int, outputs: int, *, gain: float | None = None, spread: float = FRESH
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        nn.init.normal_(self.weight, std=spread / math.sqrt(RATE * inputs))
        self.homeostasis = None if gain is None else Homeostasis(outputs, gain)

    def forward(self, spikes: Tensor) -> Tensor:
        """spikes: (..., D) -> currents (..., outputs)."""
        if silent(spikes):
            return spikes.new_zeros(*spikes.shape[:-1], len(self.weight))
        if self.homeostasis is None:
            return F.linear(spikes, self.weight)
        if not (self.training and torch.is_grad_enabled()):
            return F.linear(spikes, self.weight) * self.homeostasis.factor
        with self.unrolled() as layer:
            return layer(spikes)

    @contextmanager
    def unrolled(self) -> Iterator[Callable[[Tensor], Tensor]]:
        """The layer for many steps, one after the other, of one training sequence.

        Weights are scaled once, and the currents of all steps are taken note of together.
        """
        if self.homeostasis is None or not (self.training and torch.is_grad_enabled()):
            yield self
            return
        weight, currents = self.weight * self.homeostasis.factor[:, None], []

        def step(spikes: Tensor) -> Tensor:
            currents.append(F.linear(spikes, weight))
            return currents[-1]

        yield step
        self.homeostasis.follow(torch.stack(currents))


class SpikeConv(nn.Module):
    """Convolution without a bias, for neurons that find their own thresholds.

    Args:
        inputs: channels that come in.
        outputs: channels that go out.
        kernel: side of the kernel in pixels, odd.
        stride: step in pixels.
    """

    def __init__(self, inputs: int, outputs: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.padding = kernel // 2
        self.weight = nn.Parameter(torch.empty(outputs, inputs, kernel, kernel))
        nn.init.normal_(self.weight, std=FRESH / math.sqrt(RATE * inputs * kernel * kernel))

    def forward(self, spikes: Tensor) -> Tensor:
        """spikes: (T, B, C, H, W) -> currents (T, B, outputs, H', W')."""
        steps, rows, _, height, width = spikes.shape
        if silent(spikes):
            size = [-(-side // self.stride) for side in (height, width)]
            return spikes.new_zeros(steps, rows, len(self.weight), *size)
        # Pictures of all steps together: to a convolution, T and B are one axis. Channels last, as
        # tokens have them: in training that is twice as fast on a processor.
        pictures = spikes.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        currents = F.conv2d(pictures, self.weight, stride=self.stride, padding=self.padding)
        return currents.unflatten(0, (steps, rows))
