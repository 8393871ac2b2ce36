"""Leaky integrate-and-fire neurons as pure functions: `(input, membrane) -> (spikes, membrane)`.

A step charges the membrane, `h = v + (x - (v - reset_value)) / tau`, fires where h reaches the
threshold, and resets. The parametric neuron learns its time constant, 1 / tau = sigmoid(w) (Fang et
al., "Incorporating learnable membrane time constant to enhance learning of spiking neural
networks", ICCV 2021). A step is a sequence of one, so that both forms, and any cutting of a
sequence into chunks, agree bit for bit. SpikingJelly 2 is the oracle in the tests.

Letters: T steps.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from vigilia.errors import OptionError
from vigilia.spiking.sequence import Rule, through_time
from vigilia.spiking.surrogate import ATAN, Surrogate

__all__ = [
    "RESETS",
    "check_tau",
    "decay_weight",
    "lif_sequence",
    "lif_step",
    "parametric_lif_sequence",
    "parametric_lif_step",
]

RESETS = ("hard", "soft", "none")
"""After a spike: to the reset value, down by one threshold, or not at all."""


def check_tau(tau: float, name: str = "tau") -> float:
    """A time constant as a float.

    Args:
        tau: in steps; an integer is fine.
        name: how the message calls it.

    Raises:
        OptionError: it is not a finite number above 1.
    """
    number = isinstance(tau, int | float) and not isinstance(tau, bool)
    if not number or not 1 < tau < math.inf:  # which a NaN is not, and a compiler can follow
        raise OptionError(
            f"{name} must be a finite number above 1 (a membrane keeps 1 - 1/{name} of itself in "
            f"each step), got {tau!r}"
        )
    return float(tau)


def decay_weight(tau: float) -> float:
    """The w with which a parametric neuron starts at `tau`: sigmoid(w) = 1 / tau."""
    return -math.log(check_tau(tau) - 1)


def lif_step(
    current: Tensor,
    membrane: Tensor,
    *,
    tau: float = 2.0,
    threshold: float = 1.0,
    reset: str = "hard",
    reset_value: float = 0.0,
    surrogate: Surrogate = ATAN,
    detach_reset: bool = False,
) -> tuple[Tensor, Tensor]:
    """One step of leaky integrate-and-fire neurons.

    current: (...), membrane: (...) -> spikes (...) in {0, 1}, membrane (...).

    The arguments are those of `lif_sequence`.
    """
    spikes, membrane = lif_sequence(
        current[None],
        membrane,
        tau=tau,
        threshold=threshold,
        reset=reset,
        reset_value=reset_value,
        surrogate=surrogate,
        detach_reset=detach_reset,
    )
    return spikes[0], membrane


def lif_sequence(
    currents: Tensor,
    membrane: Tensor,
    *,
    tau: float = 2.0,
    threshold: float = 1.0,
    reset: str = "hard",
    reset_value: float = 0.0,
    surrogate: Surrogate = ATAN,
    detach_reset: bool = False,
) -> tuple[Tensor, Tensor]:
    """A sequence of steps of leaky integrate-and-fire neurons.

    currents: (T, ...), membrane: (...) -> spikes (T, ...) in {0, 1}, membrane (...) after the last.

    Args:
        currents: input of each step.
        membrane: before the first step; zeros for neurons at rest.
        tau: time constant in steps, above 1.
        threshold: a membrane that reaches it fires.
        reset: one of `RESETS`.
        reset_value: where a hard reset leads, and where the leak leads.
        surrogate: the spike's derivative.
        detach_reset: gradient does not flow through the spike that resets.

    Raises:
        OptionError: a value that cannot work.
    """
    tau = check_tau(tau)
    return _sequence(
        currents, membrane, None, tau, threshold, reset, reset_value, surrogate, detach_reset
    )


def parametric_lif_step(
    current: Tensor, membrane: Tensor, weight: Tensor, **options: Any
) -> tuple[Tensor, Tensor]:
    """One step of neurons with a learned time constant; see `parametric_lif_sequence`."""
    spikes, membrane = parametric_lif_sequence(current[None], membrane, weight, **options)
    return spikes[0], membrane


def parametric_lif_sequence(
    currents: Tensor,
    membrane: Tensor,
    weight: Tensor,
    *,
    threshold: float = 1.0,
    reset: str = "hard",
    reset_value: float = 0.0,
    surrogate: Surrogate = ATAN,
    detach_reset: bool = False,
) -> tuple[Tensor, Tensor]:
    """A sequence of steps of neurons whose time constant is learned: 1 / tau = sigmoid(weight).

    currents: (T, ...), membrane: (...) -> spikes (T, ...) in {0, 1}, membrane (...) after the last.

    Args:
        weight: () or anything that broadcasts to a membrane; start it with `decay_weight`.

    The other arguments are those of `lif_sequence`.
    """
    share = torch.sigmoid(weight)
    return _sequence(
        currents, membrane, share, 0.0, threshold, reset, reset_value, surrogate, detach_reset
    )


def _sequence(
    currents: Tensor,
    membrane: Tensor,
    share: Tensor | None,
    tau: float,
    threshold: float,
    reset: str,
    reset_value: float,
    surrogate: Surrogate,
    detach_reset: bool,
) -> tuple[Tensor, Tensor]:
    if reset not in RESETS:
        raise OptionError(f"reset must be one of {', '.join(RESETS)}, got {reset!r}")
    if currents.ndim != membrane.ndim + 1 or currents.shape[1:] != membrane.shape:
        raise OptionError(
            f"currents must be (T, ...) with one membrane (...) for all steps, got "
            f"{tuple(currents.shape)} and {tuple(membrane.shape)}"
        )
    rule = Rule(tau, threshold, reset, reset_value, surrogate, detach_reset)
    return through_time(currents, membrane, share, rule)
