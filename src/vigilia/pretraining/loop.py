"""Pre-training: update after update, until the course is over or somebody kills it.

Nothing random has hidden state: every draw is a function of the seed and of the update's number,
so a run that goes on ends with the weights of an unbroken one, bit for bit.

Letters: B clips, T frames.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vigilia.checkpoint import read_tensors, save_model, save_tensors
from vigilia.errors import CheckpointError, OptionError, VigiliaError
from vigilia.pretraining.contrastive import ContrastivePairs
from vigilia.pretraining.draws import Pool, draw_clips, draw_pairs, frames_of, make_pool
from vigilia.pretraining.looks import look_at
from vigilia.pretraining.masked import MaskedAutoencoder
from vigilia.pretraining.options import PretrainOptions
from vigilia.stream import StreamClassifier
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.saving import moments_of, restore_moments
from vigilia.training.worker import Worker

__all__ = ["PretrainUpdate", "pretrain_model", "saved_pretraining"]

FORMAT = "vigilia-pretraining-1"


@dataclass(frozen=True)
class PretrainUpdate:
    """What happened in one update, for progress bars and logs.

    Attributes:
        update: how many were made.
        total: how many there will be.
        epoch: from 0.
        figures: "loss" and, contrastive, "found": the share of partners that were found.
    """

    update: int
    total: int
    epoch: int
    figures: dict[str, float]


def saved_pretraining(out: Path) -> Path:
    """Where the run of a model file lies until it is finished: `OUT.pretraining`."""
    return out.with_name(out.name + ".pretraining")


def pretrain_model(
    model: StreamClassifier,
    recordings: Sequence[Recording],
    *,
    options: PretrainOptions,
    out: Path | None = None,
    restart: bool = False,
    save_every_seconds: float = 60.0,
    card: dict[str, Any] | None = None,
    worker: Worker | None = None,
    on_update: Callable[[PretrainUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Teaches a model's backbone in place, and writes the model to `out`; goes on after a kill.

    Args:
        model: its memory and head are left as they are.
        recordings: their labels are not looked at.
        options: how.
        out: the model file; None writes nothing, and there is no going on.
        restart: forget an interrupted run.
        save_every_seconds: at most this much work is lost when the process is killed.
        card: written into the model file, with the history under "pretrained".
        worker: device and precision; by default the model's device in float32.
        on_update: called after every update.

    Returns:
        One entry per epoch: the means of its figures.

    Raises:
        InputError: recordings too short, or too few to tell them apart.
        OptionError: options that do not fit the model.
        CheckpointError: an interrupted run lies at `OUT.pretraining`, but with other arguments.
        OutputError: the model cannot be written.
        VigiliaError: the loss is not a number.
    """
    worker = worker or Worker(model.head.weight.device)
    if worker.size > 1:
        raise OptionError("pre-training runs in one process; start it without torchrun")
    steps = options.steps if model.streams else 1
    stride = model.preprocessing.stride_seconds
    pool = make_pool(recordings, steps=steps, stride_seconds=stride, options=options)
    torch.manual_seed(int(np.random.default_rng([options.seed, 30]).integers(2**62)))
    pretext = _pretext(model, options, frames=steps * model.clip_frames).to(worker.device)
    usual = TrainOptions(
        learning_rate=options.learning_rate,
        weight_decay=options.weight_decay,
        warmup=options.warmup,
    )
    optimiser = make_optimiser(pretext, usual)
    each = max(1, -(-len(pool) // options.rows))
    total = options.epochs * each
    identity = {
        "options": dataclasses.asdict(options),
        "model": dataclasses.asdict(model.spec),
        "recordings": [[recording.name, len(recording)] for recording in recordings],
    }
    saved = _Saved(0, (), ())
    if out is not None and saved_pretraining(out).exists() and not restart:
        saved = _load(saved_pretraining(out), pretext, optimiser, identity)
    saved_at = time.monotonic()
    pretext.train()
    while saved.update < total:
        update = saved.update
        set_learning_rate(optimiser, learning_rate_at(update, total, usual))
        figures = _learn(model, pretext, pool, update, options, worker)
        norm = float(nn.utils.clip_grad_norm_(pretext.parameters(), options.clip_norm))
        if not (np.isfinite(figures["loss"]) and np.isfinite(norm)):
            raise VigiliaError(
                f"the loss is {figures['loss']} and its gradient {norm} at update {update}; "
                "lower the learning rate and start anew with --restart"
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        epoch, told, history = update // each, (*saved.told, figures), saved.history
        if (update + 1) % each == 0:
            means = {name: float(np.mean([one[name] for one in told])) for name in figures}
            told, history = (), (*history, {"epoch": epoch, **means})
        saved = _Saved(update + 1, told, history)
        if out is not None and time.monotonic() - saved_at > save_every_seconds:
            _save(saved_pretraining(out), saved, pretext, optimiser, identity)
            saved_at = time.monotonic()
        if on_update is not None:
            on_update(PretrainUpdate(update + 1, total, epoch, figures))
    model.eval()
    if out is not None:
        story = {"pretrained": {"options": identity["options"], "epochs": list(saved.history)}}
        save_model(model, out, card={**(card or {}), **story})
        saved_pretraining(out).unlink(missing_ok=True)
    return list(saved.history)


def _pretext(
    model: StreamClassifier, options: PretrainOptions, *, frames: int
) -> MaskedAutoencoder | ContrastivePairs:
    if options.method == "mae":
        return MaskedAutoencoder(model, options, frames=frames)
    return ContrastivePairs(model, options)


def _learn(
    model: StreamClassifier,
    pretext: MaskedAutoencoder | ContrastivePairs,
    pool: Pool,
    update: int,
    options: PretrainOptions,
    worker: Worker,
) -> dict[str, float]:
    """Forward and backward of one update; leaves gradients behind."""
    seed = np.random.default_rng([options.seed, 34, update]).integers(2**62)
    torch.manual_seed(int(seed))  # masks, stochastic depth
    draw = draw_clips if isinstance(pretext, MaskedAutoencoder) else draw_pairs
    shown = draw(pool, update, options)
    frames = torch.from_numpy(frames_of(pool, shown)).to(worker.device)
    clip = look_at(model.preprocessing.to_clip(frames), update, options)
    autocast = worker.autocast
    loss: Tensor
    if isinstance(pretext, MaskedAutoencoder):
        arguments: tuple[Tensor, ...] = (clip,)
    else:
        which, ended = torch.from_numpy(shown.recordings), torch.from_numpy(shown.seconds)
        arguments = (clip, which, ended)
    if autocast is None:
        loss, figures = pretext(*arguments)
    else:
        with autocast():
            loss, figures = pretext(*arguments)
    loss.backward()
    return figures


@dataclass(frozen=True)
class _Saved:
    """How far it has come: updates, figures of this epoch's, an entry for each epoch."""

    update: int
    told: tuple[dict[str, float], ...]
    history: tuple[dict[str, Any], ...]


def _save(
    path: Path,
    saved: _Saved,
    pretext: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in pretext.state_dict().items()}
    tensors |= {f"optimiser.{name}": value for name, value in moments_of(optimiser).items()}
    counters = {"update": saved.update, "told": saved.told, "history": saved.history}
    save_tensors(
        path,
        tensors,
        {
            "format": FORMAT,
            "identity": json.dumps(identity, sort_keys=True),
            "counters": json.dumps(counters),
        },
    )


def _load(
    path: Path,
    pretext: nn.Module,
    optimiser: torch.optim.Optimizer,
    identity: dict[str, Any],
) -> _Saved:
    tensors, header = read_tensors(path)
    if header.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a pre-training of this version; start with --restart")
    there, asked = json.loads(header["identity"]), json.loads(json.dumps(identity))
    if there != asked:
        other = next(key for key in {**there, **asked} if there.get(key) != asked.get(key))
        raise CheckpointError(
            f"{path}: the interrupted pre-training had another {other}; go on with the same "
            "arguments, or start anew with --restart"
        )
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        group, rest = name.split(".", 1)
        groups[group][rest] = tensor
    pretext.load_state_dict(groups["model"])
    restore_moments(optimiser, groups["optimiser"])
    counters = json.loads(header["counters"])
    return _Saved(counters["update"], tuple(counters["told"]), tuple(counters["history"]))
