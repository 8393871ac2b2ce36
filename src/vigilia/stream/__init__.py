"""5. The stream classifier: one step is one clip, and what it remembers is a value."""

from __future__ import annotations

from vigilia.stream.classifier import StreamClassifier
from vigilia.stream.compiling import compiled
from vigilia.stream.creation import (
    build_model,
    create_model,
    incremental,
    nearest_names,
    prepared,
    resampled,
)
from vigilia.stream.values import ModelSpec, Precision, StreamState

__all__ = [
    "ModelSpec",
    "Precision",
    "StreamClassifier",
    "StreamState",
    "build_model",
    "compiled",
    "create_model",
    "incremental",
    "nearest_names",
    "prepared",
    "resampled",
]
