"""What `vigilia train` does otherwise with recordings of an event camera."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

__all__ = ["event_training", "for_events"]

VIDEO_ONLY = (
    "weights",
    "slots",
    "summary_tokens",
    "feedback_tokens",
    "clip_frames",
    "stride_frames",
    "background",
    "drop_path",
    "incremental",
    "cache_features",
    "brightness",
)


def for_events(model: str) -> dict[str, Any]:
    """How recordings are found for a model of events, as an argument; empty for one of video."""
    from vigilia.running.event_model import is_event_model

    return {"find": _files} if is_event_model(model) else {}


def event_training(context: typer.Context) -> tuple[float, int, float]:
    """fps, chunk_clips and learning_rate: as given, else what suits bins.

    Raises:
        OptionError: an option was given that is for video.
    """
    from vigilia.errors import OptionError
    from vigilia.training.event_start import EVENT_DEFAULTS

    def given(name: str) -> bool:
        source = context.get_parameter_source(name)
        return source is not None and source.name == "COMMANDLINE"

    for name in VIDEO_ONLY:
        if given(name):
            raise OptionError(f"--{name.replace('_', '-')} is for video, the model is of events")
    values = {
        name: context.params[name] if given(name) else usual
        for name, usual in EVENT_DEFAULTS.items()
    }
    return values["fps"], values["chunk_clips"], values["learning_rate"]


def _files(name: str | Path) -> list[Path]:
    """Event files of that name: a file, or all that can be read in a folder."""
    from vigilia.errors import InputError
    from vigilia.events import detect

    path = Path(name)
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if not path.is_dir():
        return [path]
    found = []
    for one in sorted(path.iterdir()):
        try:
            detect(one)
        except (InputError, OSError):
            continue
        found.append(one)
    return found
