"""Whether a model is one of events, found from its name or its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vigilia.checkpoint import load_model
from vigilia.spiking import SPIKING_SIZES, NeuroSvt

__all__ = ["is_event_model", "load_event_model"]


def is_event_model(model: Any) -> bool:
    """Whether `model`, an object, a name or a file, takes events."""
    if not isinstance(model, str | Path):
        return isinstance(model, NeuroSvt)
    return str(model) in SPIKING_SIZES or _is_event_file(Path(model))


def load_event_model(model: Any, *, device: str = "cpu") -> NeuroSvt | None:
    """The model of events that is meant, in evaluation mode; None where that is none.

    Raises:
        CheckpointError: the file cannot be used.
    """
    if isinstance(model, NeuroSvt):
        return model.to(device).eval()
    if not isinstance(model, str | Path) or not _is_event_file(Path(model)):
        return None
    found = load_model(model, device=device)
    assert isinstance(found, NeuroSvt)
    return found


def _is_event_file(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as file:
            return (file.metadata() or {}).get("kind") == "events"
    except (SafetensorError, OSError):
        return False  # whoever loads it says what is wrong
