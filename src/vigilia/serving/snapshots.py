"""Where a stream goes on after a kill: its state in one file, replaced in one step.

The file holds what the model remembers, the partly filled clip, the place in the video, the hash of
the model, and up to where the journal reached when it was written. It is written after the journal,
so what the journal has beyond it is computed again, to the same bits, and not kept twice. A file
that cannot be used is passed over: the recording is then read from its beginning, and a camera's
memory starts empty; what the journal has stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigilia.checkpoint import pack_tensors, read_tensors, unpack_tensors
from vigilia.engine import Place
from vigilia.errors import CheckpointError
from vigilia.files import write_atomically
from vigilia.relevance import gate_with_arrays
from vigilia.state import named_tensors, with_tensors
from vigilia.stream import StreamState
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.video import Position
from vigilia.video.clips import ClipWindow

__all__ = ["Snapshot", "SnapshotFolder", "load_snapshot", "pack_snapshot", "unpack_snapshot"]

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


class SnapshotFolder:
    """The snapshots of all streams, a file each.

    Args:
        folder: made if absent, for its owner only: the half-filled clips are pictures.
        model_hash: of the model that is to go on.
    """

    def __init__(self, folder: Path, model_hash: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(OSError):  # not ours, or a file system without modes
            folder.chmod(0o700)
        # What a kill left of a file that was being written; nobody else writes here.
        for left in folder.glob(".*.tmp"):
            with contextlib.suppress(OSError):
                left.unlink()
        self._folder = folder
        self._model_hash = model_hash

    def path(self, name: str) -> Path:
        """Where a stream's snapshot lies."""
        return self._folder / f"{name}.safetensors"

    def load(
        self, name: str, *, fresh: StreamState, window: ClipWindow, until_seconds: float | None
    ) -> Snapshot | None:
        """See `load_snapshot`."""
        return load_snapshot(
            self.path(name),
            fresh=fresh,
            window=window,
            model_hash=self._model_hash,
            until_seconds=until_seconds,
        )

    def save(self, name: str, snapshot: Snapshot) -> None:
        """Writes a snapshot whole or not at all.

        Raises:
            OutputError: the disk is full or the folder may not be written to.
        """
        self.write(name, pack_snapshot(snapshot, model_hash=self._model_hash))

    def read(self, name: str) -> bytes | None:
        """A stream's file as it is; None if there is none that can be read."""
        try:
            return self.path(name).read_bytes()
        except OSError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Writes a stream's file, which somebody else packed; errors as in `save`."""
        write_atomically(self.path(name), data)

    def forget(self, name: str) -> None:
        """Deletes a stream's file."""
        self.path(name).unlink(missing_ok=True)


def pack_snapshot(snapshot: Snapshot, *, model_hash: str) -> bytes:
    """A snapshot as a file."""
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
    return pack_tensors(tensors, header)


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
    return _usable(str(path), tensors, header, fresh, window, model_hash, until_seconds)


def unpack_snapshot(
    data: bytes,
    name: str,
    *,
    fresh: StreamState,
    window: ClipWindow,
    model_hash: str,
    until_seconds: float | None,
) -> Snapshot | None:
    """As `load_snapshot`, from what `pack_snapshot` made; `name` is for messages.

    Raises:
        CheckpointError: likewise.
    """
    tensors, header = unpack_tensors(data, name)
    return _usable(name, tensors, header, fresh, window, model_hash, until_seconds)


def _usable(
    name: str,
    tensors: dict[str, Tensor],
    header: dict[str, str],
    fresh: StreamState,
    window: ClipWindow,
    model_hash: str,
    until_seconds: float | None,
) -> Snapshot | None:
    if header.get("format") != FORMAT or header.get("model") != model_hash:
        raise CheckpointError(f"{name}: is a snapshot of another model or version")
    try:
        place = json.loads(header["place"])
        if until_seconds is None or place["until_seconds"] > until_seconds + ROUNDING_SECONDS:
            return None
        return _snapshot(fresh, window, tensors, place)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        brief = " ".join(str(error).split())[:160]
        raise CheckpointError(f"{name}: is damaged ({brief})") from error


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
