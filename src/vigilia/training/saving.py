"""A training run on disk: everything needed to go on bit for bit, in one safetensors file.

Nothing random has hidden state: every draw is a function of the seed and of the update's number.
What is saved is therefore weights, the optimiser's moments, the streams' state, and two counters.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vigilia.checkpoint import read_tensors, save_tensors
from vigilia.errors import CheckpointError
from vigilia.spiking import NeuroSvt
from vigilia.state import State, named_tensors, with_tensors
from vigilia.stream import StreamClassifier
from vigilia.training.options import TrainOptions
from vigilia.training.rows import Cursor

__all__ = [
    "Progress",
    "last_model",
    "load_progress",
    "moments_of",
    "restore_moments",
    "save_progress",
    "saved_run",
]

FORMAT = "vigilia-training-1"


def saved_run(out: Path) -> Path:
    """Where the run of a model file lies until it is finished: `OUT.training`."""
    return out.with_name(out.name + ".training")


def last_model(out: Path) -> Path:
    """Where the last epoch's model lies beside the best: `sow.last.safetensors`."""
    return out.with_name(f"{out.stem}.last{out.suffix}")


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Attributes:
        update: updates made.
        cursor: where the rows stand.
        state: what the rows remember.
        losses: of the updates of this epoch.
        history: one entry per epoch: loss and validation figures.
    """

    update: int
    cursor: Cursor
    state: State
    losses: tuple[float, ...] = ()
    history: tuple[dict[str, Any], ...] = ()


def save_progress(
    path: Path,
    progress: Progress,
    model: StreamClassifier | NeuroSvt,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> None:
    """Writes a training run, atomically.

    Raises:
        OutputError: the disk is full or the place may not be written to.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"state.{name}": tensor for name, tensor in named_tensors(progress.state).items()}
    tensors |= {f"optimiser.{name}": value for name, value in moments_of(optimiser).items()}
    header = {
        "format": FORMAT,
        "identity": json.dumps(identity, sort_keys=True),
        "counters": json.dumps(
            {
                "update": progress.update,
                "cursor": dataclasses.asdict(progress.cursor),
                "losses": progress.losses,
                "history": list(progress.history),
            }
        ),
    }
    save_tensors(path, tensors, header)


def load_progress(
    path: Path,
    model: StreamClassifier | NeuroSvt,
    optimiser: torch.optim.Optimizer,
    fresh: State,
    identity: dict[str, Any],
) -> Progress:
    """Puts a saved run back into `model` and `optimiser`, and returns how far it had come.

    Args:
        path: what `save_progress` wrote.
        model: of the same architecture.
        optimiser: of the same model.
        fresh: a state of the right shape.
        identity: what the run is about: options, recordings, architecture.

    Raises:
        CheckpointError: the file is damaged, or belongs to a run with other data or options.
    """
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a training run of this version; start with --restart")
    saved = json.loads(header["identity"])
    # A run of an earlier version had the default of every option that came later.
    saved["options"] = {**dataclasses.asdict(TrainOptions()), **saved.get("options", {})}
    # A saved identity went through JSON, so tuples have become lists there.
    asked = json.loads(json.dumps(identity))
    if saved != asked:
        other = next(key for key in {**saved, **asked} if saved.get(key) != asked.get(key))
        raise CheckpointError(
            f"{path}: the interrupted run had another {other}; go on with the same arguments, "
            "or start anew with --restart"
        )
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "state": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        group, rest = name.split(".", 1)
        groups[group][rest] = tensor
    model.load_state_dict(groups["model"])
    restore_moments(optimiser, groups["optimiser"])
    counters = json.loads(header["counters"])
    return Progress(
        update=counters["update"],
        cursor=Cursor(**{key: tuple(value) for key, value in counters["cursor"].items()}),
        state=with_tensors(fresh, groups["state"]),
        losses=tuple(counters["losses"]),
        history=tuple(counters["history"]),
    )


def moments_of(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers of each parameter, by name: `3.exp_avg`."""
    return {
        f"{index}.{name}": value
        for index, moments in optimiser.state_dict()["state"].items()
        for name, value in moments.items()
    }


def restore_moments(optimiser: torch.optim.Optimizer, saved: dict[str, Tensor]) -> None:
    """Puts back what `moments_of` returned."""
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in saved.items():
        index, kind = name.split(".", 1)
        moments.setdefault(int(index), {})[kind] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})
