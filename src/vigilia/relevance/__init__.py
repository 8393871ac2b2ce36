"""Relevance: which moments are worth a model's time.

    gate.py    nothing moves: the step is skipped and the last result kept

Needs numpy only.
"""

from __future__ import annotations

from vigilia.relevance.gate import (
    GateOptions,
    GateState,
    decide,
    init_gate,
    keep_noise,
    watch,
)

__all__ = ["GateOptions", "GateState", "decide", "init_gate", "keep_noise", "watch"]
