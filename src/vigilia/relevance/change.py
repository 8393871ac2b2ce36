"""How much a clip's new frames change the picture: eight numbers, in units of the camera's noise.

The input of the learned gate: cheap beside a backbone, and the same for a quiet and a noisy camera.

Needs numpy only. Letters: G cells a side, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vigilia.relevance.gate import GateOptions, GateState, init_gate, keep_noise, watch

__all__ = [
    "FEATURES",
    "ChangeState",
    "after_hole",
    "change_features",
    "end_clip",
    "init_change",
    "watch_change",
]

QUANTILES = (1.0, 0.98, 0.9, 0.5)
FEATURES = 2 * len(QUANTILES)
"""Quantiles over cells: of the greatest change between two frames, then of the net change."""

Floats = NDArray[np.float32]


def _nothing() -> Floats:
    return np.zeros(len(QUANTILES), np.float32)


@dataclass(frozen=True, eq=False)
class ChangeState:
    """What is known of one camera.

    Attributes:
        gate: of the sensor-noise gate, which also measures the noise.
        ended: (G, G) the last frame of the last clip; None before the first.
        peaks: greatest change between two frames since then, by quantile, in units of the noise.
        evidence: of the learned gate: what has added up since the last step.
    """

    gate: GateState = field(default_factory=init_gate)
    ended: Floats | None = None
    peaks: Floats = field(default_factory=_nothing)
    evidence: float = 0.0


def init_change() -> ChangeState:
    """A camera of which nothing is known."""
    return ChangeState()


def after_hole(state: ChangeState) -> ChangeState:
    """Everything but the camera's noise is forgotten, so the next clip is stepped."""
    return ChangeState(gate=keep_noise(state.gate))


def watch_change(
    state: ChangeState, pixels: NDArray[np.uint8], *, clip_frames: int, options: GateOptions
) -> ChangeState:
    """Takes the next frame; the arguments are those of `vigilia.relevance.gate.watch`."""
    before = state.gate.previous
    gate = watch(state.gate, pixels, clip_frames=clip_frames, options=options)
    assert gate.previous is not None
    if before is None:
        return replace(state, gate=gate, ended=gate.previous)
    found = _quantiles(gate.previous - before, gate.noise_levels)
    return replace(state, gate=gate, peaks=np.maximum(state.peaks, found))


def change_features(state: ChangeState) -> Floats:
    """(8,) what the clip that ends now brought: logarithms of 1 + change, without unit."""
    if state.ended is None or state.gate.previous is None or state.gate.noise_levels == 0:
        return np.zeros(FEATURES, np.float32)
    net = _quantiles(state.gate.previous - state.ended, state.gate.noise_levels)
    return np.log1p(np.concatenate([state.peaks, net]))


def end_clip(state: ChangeState) -> ChangeState:
    """Begins the next clip's account; call it behind `change_features`."""
    return replace(state, ended=state.gate.previous, peaks=_nothing())


def _quantiles(change: Floats, noise: float) -> Floats:
    return np.quantile(np.abs(change), QUANTILES).astype(np.float32) / max(noise, 1e-6)
