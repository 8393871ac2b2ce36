"""An unfinished run on disk, so that a killed process loses seconds, not nights.

Two files lie in the run's folder until it is finished. `steps.bin` gets one record appended per
step; `snapshot.safetensors` holds, every so often, the stream's state, the partly filled clip, the
position in the video and the number of records that belong to it. What was appended after the
snapshot is cut off on resuming and computed again, to the same bits.

Letters: K classes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vigilia.checkpoint import read_tensors, save_tensors
from vigilia.errors import CheckpointError, OutputError
from vigilia.relevance import AnyGateState, gate_with_arrays
from vigilia.running.classify import Progress
from vigilia.state import named_tensors, with_tensors
from vigilia.video import Position

__all__ = ["Record", "SavedRun", "StepTable"]

FORMAT = "vigilia-run-1"

_GATE = "gate."


@dataclass(frozen=True)
class Record:
    """A step as it is kept: half-open seconds, probabilities (K,), None for a hole."""

    start_seconds: float
    end_seconds: float
    probabilities: np.ndarray | None


class StepTable:
    """The steps of a run as records of fixed size: 16 + 4 K bytes each, a hole all NaN."""

    def __init__(self, classes: int) -> None:
        self.dtype = np.dtype(
            [("start", "<f8"), ("end", "<f8"), ("probabilities", "<f4", (classes,))]
        )
        self._bytes = bytearray()

    def __len__(self) -> int:
        return len(self._bytes) // self.dtype.itemsize

    def __iter__(self) -> Iterator[Record]:
        for row in np.frombuffer(bytes(self._bytes), self.dtype):
            hole = bool(np.isnan(row["probabilities"]).all())
            yield Record(
                float(row["start"]), float(row["end"]), None if hole else row["probabilities"]
            )

    def append(self, record: Record) -> bytes:
        """Adds a step and returns its bytes."""
        row = np.zeros((), self.dtype)
        row["start"], row["end"] = record.start_seconds, record.end_seconds
        hole = record.probabilities is None
        row["probabilities"] = np.nan if hole else record.probabilities
        encoded = row.tobytes()
        self._bytes += encoded
        return encoded

    def extend(self, encoded: bytes) -> None:
        """Adds whole records, as read from a file."""
        self._bytes += encoded


class SavedRun:
    """The folder of an unfinished run.

    Args:
        folder: made if absent.
        identity: what the run is about; a run is only continued with the same.

    Raises:
        OutputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, identity: dict[str, Any]) -> None:
        self.folder = folder
        self.identity = identity
        self._pending = bytearray()
        self._steps = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{folder}: cannot be made ({error.strerror}); name another place with --out"
            ) from error

    @property
    def _snapshot(self) -> Path:
        return self.folder / "snapshot.safetensors"

    @property
    def _records(self) -> Path:
        return self.folder / "steps.bin"

    def load(self, fresh: Progress, table: StepTable) -> Progress:
        """Returns where the run had come, and fills `table`; `fresh` if nothing was saved.

        Raises:
            CheckpointError: the folder holds another run, or a damaged one.
        """
        if not self._snapshot.exists():
            self._records.unlink(missing_ok=True)
            return fresh
        try:
            tensors, header = read_tensors(self._snapshot)
        except CheckpointError as error:
            raise CheckpointError(f"{error}; use --restart") from error
        if header.get("format") != FORMAT:
            raise CheckpointError(f"{self._snapshot}: not a run of this version; use --restart")
        try:
            self._refuse_another(json.loads(header["identity"]))
            place = json.loads(header["place"])
            kept = self._kept(place["steps"] * table.dtype.itemsize)
            progress = _progress(fresh, tensors, place)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self._snapshot}: is damaged ({' '.join(str(error).split())[:160]}); "
                "use --restart"
            ) from error
        table.extend(kept)
        self._steps = place["steps"]
        return progress

    def _refuse_another(self, saved: dict[str, Any]) -> None:
        asked = json.loads(json.dumps(self.identity))
        if saved != asked:
            other = next(key for key in {**saved, **asked} if saved.get(key) != asked.get(key))
            raise CheckpointError(
                f"{self.folder}: an unfinished run with another {other} lies there; go on with the "
                "same arguments, name another --out, or use --restart"
            )

    def _kept(self, size: int) -> bytes:
        """The records that belong to the snapshot; what came behind them is cut off."""
        try:
            with self._records.open("r+b") as file:
                kept = file.read(size)
                if len(kept) == size:
                    file.truncate(size)
        except OSError as error:
            raise CheckpointError(
                f"{self._records}: cannot be read ({error.strerror}); use --restart"
            ) from error
        if len(kept) < size:
            raise CheckpointError(f"{self._records}: is cut short; use --restart")
        return kept

    def append(self, encoded: bytes) -> None:
        """Notes a step's record; it reaches the disk with the next snapshot."""
        self._pending += encoded
        self._steps += 1

    def save(self, progress: Progress) -> None:
        """Makes everything so far survive a kill or a power loss.

        Raises:
            OutputError: the disk is full or the folder may not be written to.
        """
        assert progress.position is not None
        window = progress.window
        filled = bool(window.frames)
        frames = np.stack(window.frames) if filled else np.zeros(1, np.uint8)
        place = {
            "steps": self._steps,
            "position": dataclasses.asdict(progress.position),
            "window": {
                "filled": filled,
                "fresh": window.fresh,
                "start_seconds": window.start_seconds,
                "last_seconds": window.last_seconds,
            },
        }
        try:
            # The records first: a snapshot never counts more of them than there are.
            with self._records.open("ab") as file:
                file.write(self._pending)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError(
                f"{self._records}: cannot be written ({error.strerror}); free some space and run "
                "the same command again: it goes on from the last snapshot"
            ) from error
        self._pending.clear()
        save_tensors(
            self._snapshot,
            {
                **named_tensors(progress.state),
                "window.frames": torch.from_numpy(frames),
                **_gate_tensors(progress.gate),
            },
            {
                "format": FORMAT,
                "identity": json.dumps(self.identity, sort_keys=True),
                "place": json.dumps(place),
            },
        )

    def remove(self) -> None:
        """Forgets the run: it is finished, or to be started anew."""
        # The snapshot first: records without a snapshot are no run.
        for path in (self._snapshot, self._records):
            path.unlink(missing_ok=True)
        for leftover in self.folder.glob(".*.tmp"):
            leftover.unlink(missing_ok=True)
        # Something of the user's may lie there too; then the folder stays.
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _progress(fresh: Progress, tensors: dict[str, Tensor], place: dict[str, Any]) -> Progress:
    frames = tensors.pop("window.frames")
    window = replace(
        fresh.window,
        frames=tuple(frames.numpy()) if place["window"]["filled"] else (),
        fresh=place["window"]["fresh"],
        start_seconds=place["window"]["start_seconds"],
        last_seconds=place["window"]["last_seconds"],
    )
    known = {
        name.removeprefix(_GATE): tensors.pop(name).numpy()
        for name in list(tensors)
        if name.startswith(_GATE)
    }
    return Progress(
        state=with_tensors(fresh.state, tensors),
        window=window,
        position=Position(**place["position"]),
        gate=gate_with_arrays(fresh.gate, known),
    )


def _gate_tensors(gate: AnyGateState | None) -> dict[str, Tensor]:
    arrays = {} if gate is None else gate.to_arrays()
    return {_GATE + name: torch.from_numpy(array) for name, array in arrays.items()}
