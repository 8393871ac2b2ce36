"""Where a stream goes on after a kill: its state in one file, replaced in one step.

The file holds what the model remembers, the partly filled clip, the place in the video, the hash of
the model, and up to where the journal reached when it was written. It is written after the journal,
so what the journal has beyond it is computed again, to the same bits, and not kept twice. A file
that cannot be used is passed over: the recording is then read from its beginning, and a camera's
memory starts empty; what the journal has stays.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigilia.checkpoint import read_tensors, save_tensors
from vigilia.engine import Place
from vigilia.errors import CheckpointError
from vigilia.relevance import gate_with_arrays
from vigilia.state import named_tensors, with_tensors
from vigilia.stream import StreamState
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.video import Position
from vigilia.video.clips import ClipWindow

__all__ = ["Snapshot", "load_snapshot", "save_snapshot"]

FORMAT = "vigilia-stream-1"

_STATE, _GATE = "state.", "gate."


@dataclass(frozen=True)
class Snapshot:
    """A stream between two clips.

    Attributes:
        state: what the model remembers, B = 1.
        place: where the frames stand.
        until_seconds: up to where the journal had labelled it.
    """

    state: StreamState
    place: Place
    until_seconds: float


def save_snapshot(path: Path, snapshot: Snapshot, *, model_hash: str) -> None:
    """Writes a snapshot whole or not at all.

    Raises:
        OutputError: the disk is full or the folder may not be written to.
    """
    window, position = snapshot.place.window, snapshot.place.position
    gate = {} if snapshot.place.gate is None else snapshot.place.gate.to_arrays()
    tensors = {_STATE + name: tensor for name, tensor in named_tensors(snapshot.state).items()}
    tensors |= {_GATE + name: torch.from_numpy(array) for name, array in gate.items()}
    if window.frames:
        tensors["frames"] = torch.from_numpy(np.stack(window.frames))
    place = {
        "until_seconds": snapshot.until_seconds,
        "position": None if position is None else dataclasses.asdict(position),
        "fresh": window.fresh,
        "start_seconds": window.start_seconds,
        "last_seconds": window.last_seconds,
    }
    header = {"format": FORMAT, "model": model_hash, "place": json.dumps(place)}
    save_tensors(path, tensors, header)


def load_snapshot(
    path: Path,
    *,
    fresh: StreamState,
    window: ClipWindow,
    model_hash: str,
    until_seconds: float | None,
) -> Snapshot | None:
    """Reads a snapshot; None if there is none, or it is ahead of the journal.

    Args:
        path: the file.
        fresh: a state of the model that has seen nothing, B = 1.
        window: the model's empty clip.
        model_hash: of the model that is to go on.
        until_seconds: up to where the journal has labelled the stream.

    Raises:
        CheckpointError: the file is damaged, or another model's.
    """
    if not path.exists():
        return None
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT or header.get("model") != model_hash:
        raise CheckpointError(f"{path}: is a snapshot of another model or version")
    try:
        place = json.loads(header["place"])
        if until_seconds is None or place["until_seconds"] > until_seconds + ROUNDING_SECONDS:
            return None
        return _snapshot(fresh, window, tensors, place)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        brief = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{path}: is damaged ({brief})") from error


def _snapshot(
    fresh: StreamState, window: ClipWindow, tensors: dict[str, Tensor], place: dict[str, Any]
) -> Snapshot:
    def under(prefix: str) -> dict[str, Tensor]:
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    gate = {name: tensor.numpy() for name, tensor in under(_GATE).items()}
    frames = tuple(tensors["frames"].numpy()) if "frames" in tensors else ()
    return Snapshot(
        state=with_tensors(fresh, under(_STATE)),
        place=Place(
            window=replace(
                window,
                frames=frames,
                fresh=place["fresh"],
                start_seconds=place["start_seconds"],
                last_seconds=place["last_seconds"],
            ),
            position=None if place["position"] is None else Position(**place["position"]),
            gate=gate_with_arrays(None, gate),
        ),
        until_seconds=place["until_seconds"],
    )
