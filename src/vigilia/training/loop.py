"""Training: truncated backpropagation through the memory, many recordings side by side.

Letters: B rows, K clips of a chunk (and, in `labels`, classes), T frames, H W pixels.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.checkpoint import save_model
from vigilia.errors import InputError, OptionError, VigiliaError
from vigilia.evaluation.agreement import balanced_accuracy, cohen_kappa
from vigilia.state import detach, reset
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training.augment import apply_look, draw_look
from vigilia.training.optimiser import learning_rate_at, make_optimiser
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Cursor, first_cursor, jump, next_batch, place_of
from vigilia.training.saving import Progress, load_progress, save_progress

__all__ = [
    "Figures",
    "TrainingUpdate",
    "class_weights",
    "evaluate_clips",
    "train_chunk",
    "train_model",
]


@dataclass(frozen=True)
class TrainingUpdate:
    """What happened in one update, for progress bars and logs."""

    update: int
    total: int
    epoch: int
    loss: float
    learning_rate: float
    figures: Figures | None = None


@dataclass(frozen=True)
class Figures:
    """How well clips are classified, streaming through whole recordings.

    Attributes:
        accuracy: share of scored clips that are right.
        balanced_accuracy: mean over classes of the share that is right.
        kappa: Cohen's kappa, agreement beyond chance.
        confusion: (K, K) counts, truth by row.
    """

    accuracy: float
    balanced_accuracy: float
    kappa: float
    confusion: np.ndarray

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**dataclasses.asdict(self), "confusion": self.confusion.tolist()}


def train_model(
    model: StreamClassifier,
    recordings: list[Recording],
    *,
    options: TrainOptions,
    out: Path,
    validation: list[Recording] | None = None,
    restart: bool = False,
    save_every_seconds: float = 60.0,
    card: dict[str, Any] | None = None,
    on_update: Callable[[TrainingUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Trains a model in place and writes it to `out`; goes on where a killed run stopped.

    With validation recordings, `out` holds the epoch of highest balanced accuracy on them;
    without, the last epoch. `OUT.training` holds the run itself until it is finished.

    Args:
        model: with fresh or pretrained weights.
        recordings: to learn from.
        options: how.
        out: the model file.
        validation: recordings kept apart, streamed through after every epoch.
        restart: forget an interrupted run.
        save_every_seconds: at most this much work is lost when the process is killed.
        card: written into the model file with the history.
        on_update: called after every update.

    Returns:
        One entry per epoch.

    Raises:
        InputError: nothing is labelled.
        OptionError: quarter turns of pictures that are not square.
        CheckpointError: an interrupted run lies at `OUT.training`, but with other arguments.
        OutputError: the model cannot be written.
        VigiliaError: the loss or its gradient is not a number.
    """
    height, width = model.preprocessing.height, model.preprocessing.width
    if options.quarter_turns and height != width:
        raise OptionError(f"quarter_turns needs square pictures, got {height} by {width}")
    device = model.head.weight.device
    weights = class_weights(recordings, len(model.classes), options.balance).to(device)
    model.backbone.requires_grad_(not options.freeze_backbone)
    optimiser = make_optimiser(model, options)
    fresh = model.init_state(options.rows)
    per_epoch = max(1, sum(map(len, recordings)) // (options.rows * options.chunk_clips))
    total = per_epoch * options.epochs
    identity = {
        "options": dataclasses.asdict(options),
        "model": dataclasses.asdict(model.spec),
        "recordings": [[recording.name, len(recording)] for recording in recordings],
        "validation": [[recording.name, len(recording)] for recording in validation or []],
    }
    saved_run = out.with_name(out.name + ".training")
    cursor = first_cursor(recordings, rows=options.rows, seed=options.seed)
    progress = Progress(update=0, cursor=cursor, state=fresh)
    if saved_run.exists() and not restart:
        progress = load_progress(saved_run, model, optimiser, fresh, identity)

    saved_at = time.monotonic()
    for update in range(progress.update, total):
        rate = learning_rate_at(update, total, options)
        for group in optimiser.param_groups:
            group["lr"] = rate * group.get("rate", 1.0)
        model.train()
        if options.freeze_backbone:
            model.backbone.eval()
        loss, state, cursor = train_chunk(
            model, recordings, progress.state, progress.cursor, options, update, weights
        )
        norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm))
        if not (np.isfinite(loss) and np.isfinite(norm)):
            what = "gradient" if np.isfinite(loss) else "loss"
            raise VigiliaError(
                f"the {what} is {norm if np.isfinite(loss) else loss} at update {update} "
                f"(recordings {', '.join(_playing(recordings, progress.cursor, options))}); "
                "lower the learning rate and start anew"
                + (" with --restart" if saved_run.exists() else "")
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        losses = (*progress.losses, loss)

        figures, history, best = None, progress.history, progress.best
        epoch = update // per_epoch
        if (update + 1) % per_epoch == 0:
            entry: dict[str, Any] = {"epoch": epoch, "loss": float(np.mean(losses))}
            losses = ()
            score = None
            if validation:
                figures = evaluate_clips(model, validation)
                entry |= figures.as_dict()
                score = figures.balanced_accuracy
            history = (*history, entry)
            if score is None or best is None or score > best:
                best = score
                save_model(
                    model, out, card={**(card or {}), "best": entry, "epochs": list(history)}
                )
        progress = Progress(update + 1, cursor, state, losses, history, best)
        done = update + 1 == total
        if done or figures or time.monotonic() - saved_at > save_every_seconds:
            save_progress(saved_run, progress, model, optimiser, identity)
            saved_at = time.monotonic()
        if on_update is not None:
            on_update(TrainingUpdate(update + 1, total, epoch, loss, rate, figures))
    saved_run.unlink(missing_ok=True)
    return list(progress.history)


def train_chunk(
    model: StreamClassifier,
    recordings: list[Recording],
    state: StreamState,
    cursor: Cursor,
    options: TrainOptions,
    update: int,
    weights: Tensor,
) -> tuple[float, StreamState, Cursor]:
    """Forward and backward over K consecutive clips of every row; leaves gradients behind.

    Args:
        model: in training mode.
        recordings: what the cursor points into.
        state: of the B rows; gradient does not reach beyond it.
        cursor: where the rows stand.
        options: how.
        update: number of this update, from 0.
        weights: (classes,) of the loss.

    Returns:
        The loss, the state behind the chunk (cut off from the gradient), and the new cursor.
    """
    device = weights.device
    torch.manual_seed(_seed_of(options.seed, update))  # DropPath
    random = np.random.default_rng([options.seed, 4, update])
    leaves = random.random(options.rows) >= options.carry_probability
    cursor = jump(recordings, cursor, leaves & ~np.array(cursor.starts), seed=options.seed)
    loss = torch.zeros((), device=device)
    total_weight = torch.zeros((), device=device)
    for _ in range(options.chunk_clips):
        batch, cursor = next_batch(recordings, cursor, seed=options.seed)
        state = reset(state, torch.from_numpy(batch.starts))
        frames = torch.from_numpy(batch.frames).to(device)
        clip = model.preprocessing.to_clip(frames)
        clip = apply_look(clip, draw_look(options, batch.plays))
        seconds = torch.from_numpy(batch.seconds).to(device)
        logits, state = model.step(clip, state, seconds=seconds)
        labels = torch.from_numpy(batch.labels).to(device)
        loss = loss + F.cross_entropy(
            logits,
            labels,
            weight=weights,
            ignore_index=-1,
            reduction="sum",
            label_smoothing=options.label_smoothing,
        )
        total_weight = total_weight + weights[labels.clamp(min=0)][labels >= 0].sum()
    loss = loss / total_weight.clamp(min=1e-6)
    loss.backward()
    return float(loss.detach()), detach(state), cursor


@torch.no_grad()
def evaluate_clips(model: StreamClassifier, recordings: list[Recording]) -> Figures:
    """Streams through whole recordings, one after another, as `vigilia run` would."""
    device = model.head.weight.device
    was_training = model.training
    model.eval()
    size = len(model.classes)
    confusion = np.zeros((size, size), dtype=np.int64)
    for recording in recordings:
        state = model.init_state(1)
        for clip, end, label in zip(
            recording.clips, recording.end_seconds, recording.labels, strict=True
        ):
            frames = torch.from_numpy(recording.frames[clip])[None].to(device)
            seconds = torch.tensor([end], dtype=torch.float64, device=device)
            logits, state = model.step(model.preprocessing.to_clip(frames), state, seconds=seconds)
            if label >= 0:
                confusion[label, int(logits.argmax())] += 1
    model.train(was_training)
    return Figures(
        accuracy=float(np.trace(confusion) / max(1, confusion.sum())),
        balanced_accuracy=balanced_accuracy(confusion),
        kappa=cohen_kappa(confusion),
        confusion=confusion,
    )


def class_weights(recordings: list[Recording], classes: int, balance: float) -> Tensor:
    """(classes,) loss weights: frequency to the power of -balance, 1 on average over clips.

    Raises:
        InputError: no clip is labelled.
    """
    labels = np.concatenate([recording.labels for recording in recordings])
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    if counts.sum() == 0:
        raise InputError("no clip of any recording is labelled; do the label files fit the videos?")
    weights = np.where(counts > 0, np.maximum(counts, 1.0) ** -balance, 0.0)
    return torch.from_numpy(weights / (weights @ counts / counts.sum())).float()


def _seed_of(seed: int, update: int) -> int:
    return int(np.random.default_rng([seed, 5, update]).integers(2**62))


def _playing(recordings: list[Recording], cursor: Cursor, options: TrainOptions) -> list[str]:
    places = (place_of(recordings, play, options.seed) for play in cursor.plays)
    return sorted({recordings[index].name for index, _ in places})
