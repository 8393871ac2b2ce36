"""Relevance: which moments are worth a model's time, and which of them mattered.

gate.py           nothing moves: the step is skipped and the last result kept (numpy alone)
spiking_gate.py   the spiking model on simulated events wakes the step
gates.py          either gate behind one set of functions
change.py         what a clip changed, in units of the camera's noise (numpy alone)
learned_gate.py   which clips must be stepped, learned from ungated steps
sampling.py       a clip's frames lie where the picture changes (numpy alone)
multiscale.py     weights of frames, clips and the whole sequence; a memory that shows them
moments.py        those weights over a recording, to be plotted
predictive.py     what memory expects next, and how wrong it was
surprise.py       that as a curve and as alarms
coherence.py      losses that want neighbours close and features apart
"""

from __future__ import annotations

from vigilia.relevance.change import (
    ChangeState,
    after_hole,
    change_features,
    end_clip,
    init_change,
    watch_change,
)
from vigilia.relevance.coherence import coherence_loss, joined_by_change, slow_feature_loss
from vigilia.relevance.gate import (
    GateOptions,
    GateState,
    decide,
    init_gate,
    keep_noise,
    watch,
)
from vigilia.relevance.gates import (
    AnyGate,
    AnyGateState,
    decide_clip,
    fresh_gate,
    gate_after_hole,
    gate_identity,
    gate_with_arrays,
    watch_sample,
)
from vigilia.relevance.learned_gate import LearnedGate, decide_learned, gated, train_gate
from vigilia.relevance.moments import Moments, moments_kept, moments_of
from vigilia.relevance.multiscale import (
    RelevanceState,
    TemporalRelevance,
    multiscale,
)
from vigilia.relevance.predictive import (
    Prediction,
    PredictionState,
    TokenPredictor,
    attention_prior,
    places_of,
    prediction_loss,
)
from vigilia.relevance.sampling import dense_window, frame_changes, spread_by_change, thin_clip
from vigilia.relevance.spiking_gate import SpikingGate, SpikingGateState
from vigilia.relevance.surprise import Alarm, alarms, surprise_of

__all__ = [
    "Alarm",
    "AnyGate",
    "AnyGateState",
    "ChangeState",
    "GateOptions",
    "GateState",
    "LearnedGate",
    "Moments",
    "Prediction",
    "PredictionState",
    "RelevanceState",
    "SpikingGate",
    "SpikingGateState",
    "TemporalRelevance",
    "TokenPredictor",
    "after_hole",
    "alarms",
    "attention_prior",
    "change_features",
    "coherence_loss",
    "decide",
    "decide_clip",
    "decide_learned",
    "dense_window",
    "end_clip",
    "frame_changes",
    "fresh_gate",
    "gate_after_hole",
    "gate_identity",
    "gate_with_arrays",
    "gated",
    "init_change",
    "init_gate",
    "joined_by_change",
    "keep_noise",
    "moments_kept",
    "moments_of",
    "multiscale",
    "places_of",
    "prediction_loss",
    "slow_feature_loss",
    "spread_by_change",
    "surprise_of",
    "thin_clip",
    "train_gate",
    "watch",
    "watch_change",
    "watch_sample",
]
