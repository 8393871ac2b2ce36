"""Either gate behind one set of functions: that of the camera's noise, and that of spikes.

What cuts a stream into clips knows only these. `GateOptions` stands for the gate of `gate.py`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vigilia.fingerprints import add_weights
from vigilia.relevance.gate import (
    GateOptions,
    GateState,
    decide,
    init_gate,
    keep_noise,
    watch,
)
from vigilia.relevance.spiking_gate import SpikingGate, SpikingGateState

__all__ = [
    "AnyGate",
    "AnyGateState",
    "decide_clip",
    "fresh_gate",
    "gate_after_hole",
    "gate_identity",
    "gate_with_arrays",
    "watch_sample",
]

AnyGate = GateOptions | SpikingGate
AnyGateState = GateState | SpikingGateState


def fresh_gate(gate: AnyGate | None) -> AnyGateState | None:
    """A camera of which nothing is known; None without a gate."""
    if gate is None:
        return None
    return gate.init_state() if isinstance(gate, SpikingGate) else init_gate()


def watch_sample(
    gate: AnyGate,
    state: AnyGateState | None,
    pixels: NDArray[np.uint8],
    *,
    seconds: float,
    clip_frames: int,
) -> AnyGateState:
    """Takes the next frame.

    Args:
        gate: which.
        state: as returned by the call before; None at the beginning.
        pixels: (H, W, 3) uint8.
        seconds: when it was taken.
        clip_frames: T of a clip.
    """
    state = fresh_gate(gate) if state is None else state
    if isinstance(gate, SpikingGate):
        assert isinstance(state, SpikingGateState)
        return gate.watch(state, pixels, seconds=seconds, clip_frames=clip_frames)
    assert isinstance(state, GateState)
    return watch(state, pixels, clip_frames=clip_frames, options=gate)


def decide_clip(
    gate: AnyGate, state: AnyGateState, *, clip_frames: int, end_seconds: float
) -> tuple[AnyGateState, bool]:
    """Whether the clip that ends now is to be stepped, and the next state."""
    if isinstance(gate, SpikingGate):
        assert isinstance(state, SpikingGateState)
        return gate.decide(state, clip_frames=clip_frames, end_seconds=end_seconds)
    assert isinstance(state, GateState)
    return decide(state, clip_frames=clip_frames, end_seconds=end_seconds, options=gate)


def gate_after_hole(gate: AnyGate | None, state: AnyGateState) -> AnyGateState:
    """After a hole in the recording the next clip is stepped; a camera's noise is still its own."""
    if isinstance(gate, SpikingGate):
        return gate.init_state()
    return keep_noise(state) if isinstance(state, GateState) else state


def gate_identity(gate: AnyGate | None) -> dict[str, Any] | None:
    """What tells gates apart, as JSON: a run goes on only with the one that it began with."""
    if not isinstance(gate, SpikingGate):
        return None if gate is None else dataclasses.asdict(gate)
    digest = hashlib.sha256()
    add_weights(digest, gate.model)
    return {
        "spiking": digest.hexdigest(),
        "wakes": gate.wakes,
        **dataclasses.asdict(gate.options),
    }


def gate_with_arrays(
    fresh: AnyGateState | None, arrays: dict[str, np.ndarray]
) -> AnyGateState | None:
    """A saved state, to the last bit; None where there are no arrays.

    Args:
        fresh: of the same gate; None for the one of noise.
        arrays: of `to_arrays`.

    Raises:
        KeyError, ValueError: the arrays are no saved state of that gate.
    """
    if not arrays:
        return None
    if isinstance(fresh, SpikingGateState):
        return fresh.with_arrays(arrays)
    return GateState.from_arrays(arrays)
