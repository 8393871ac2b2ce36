"""A simulated animal pen: sleep states of real mice, acted out by a drawn animal.

For demonstrations, benchmarks and tests that need a long video whose truth is known, and in which a
short clip does not tell the state but the history does. It is no evidence about real animals.
"""

from __future__ import annotations

from vigilia.simulate.behaviour import (
    MARKS,
    PenEvent,
    PenRecording,
    clip_ambiguity,
    plan_pen,
    state_by_marks,
)
from vigilia.simulate.hypnogram import (
    STATES,
    HypnogramModel,
    fit_hypnogram,
    load_hypnogram_model,
    sample_hypnogram,
)
from vigilia.simulate.pen import draw_pen, render_pen
from vigilia.simulate.record import plan_recording, simulate_recording

__all__ = [
    "MARKS",
    "STATES",
    "HypnogramModel",
    "PenEvent",
    "PenRecording",
    "clip_ambiguity",
    "draw_pen",
    "fit_hypnogram",
    "load_hypnogram_model",
    "plan_pen",
    "plan_recording",
    "render_pen",
    "sample_hypnogram",
    "simulate_recording",
    "state_by_marks",
]
