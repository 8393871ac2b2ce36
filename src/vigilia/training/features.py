"""Training memory and head on what a frozen backbone saw once: minutes on a CPU, not hours.

The backbone's tokens of every clip are computed once and kept; then only the memory and the head
run, over stretches far longer than backpropagation through pixels could afford. Reading inside the
backbone's blocks is not trained this way, since it would change what was kept: the memory is read
by the pooled embedding alone, and the gates inside the blocks stay as they are.

Letters: S clips, B rows, K clips of a stretch, T H W token grid, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones import Backbone
from vigilia.errors import InputError, OptionError
from vigilia.stream import StreamClassifier
from vigilia.training.augment import Look, apply_look
from vigilia.training.loop import class_weights
from vigilia.training.optimiser import learning_rate_at, make_optimiser
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording

__all__ = ["SeenRecording", "calibrate_memory", "see_recording", "train_on_features"]


@dataclass(frozen=True)
class SeenRecording:
    """A recording as a backbone saw it.

    Attributes:
        recording: where it comes from.
        features: by stage, (S, T, H, W, D) float16; (S, 0) for a stage the memory does not use.
        pooled: (S, D) float32.
    """

    recording: Recording
    features: tuple[Tensor, ...]
    pooled: Tensor


@torch.inference_mode()
def see_recording(
    model: StreamClassifier, recording: Recording, *, look: Look | None = None, batch: int = 16
) -> SeenRecording:
    """Runs the backbone over every clip of a recording, without memory.

    Args:
        model: its backbone is used, in evaluation mode.
        recording: to be seen.
        look: of one row; how the picture is changed.
        batch: clips at a time.
    """
    backbone = cast(Backbone, model.backbone.eval())
    used = getattr(model.memory, "stage_numbers", ())
    device = model.head.weight.device
    kept: list[tuple[Tensor, ...]] = []
    pooled = []
    for first in range(0, len(recording), batch):
        frames = torch.from_numpy(recording.frames[recording.clips[first : first + batch]])
        clip = model.preprocessing.to_clip(frames.to(device))
        if look is not None:
            clip = torch.cat([apply_look(one[None], look) for one in clip])
        features = backbone(clip)
        pooled.append(backbone.pool(features).float().cpu())
        kept.append(
            tuple(
                tokens.half().cpu() if number in used else tokens.new_empty(len(tokens), 0).cpu()
                for number, tokens in enumerate(features, start=1)
            )
        )
    return SeenRecording(
        recording=recording,
        features=tuple(torch.cat(stage) for stage in zip(*kept, strict=True)),
        pooled=torch.cat(pooled),
    )


@torch.no_grad()
def calibrate_memory(model: StreamClassifier, seen: Sequence[SeenRecording]) -> None:
    """Starts the norms at the memory's entrance so that each feature varies as much as any other.

    What tells an event from a quiet second is a small change on top of a large constant, in tokens
    and in the pooled embedding alike; the norms' gains and offsets take that constant away.

    Args:
        model: its memory is changed in place; one without tiers is left as it is.
        seen: what its backbone saw; a part of it is looked at.
    """
    pooled = torch.cat([one.pooled[::7] for one in seen[::3]])
    numbers = getattr(model.memory, "stage_numbers", ())
    for number, stage in zip(numbers, getattr(model.memory, "stages", ()), strict=True):
        tokens = torch.cat([one.features[number - 1][::25] for one in seen[::3]]).float()
        if stage.writer is not None:
            _standardise(stage.writer.norm, tokens)
        if stage.feedback is not None:
            _standardise(stage.feedback.norm_clip, tokens)
            _standardise(stage.feedback.norm_summary, pooled)
        if stage.embedding_reader is not None:
            _standardise(stage.embedding_reader.norm, pooled)


def _standardise(norm: nn.LayerNorm, x: Tensor) -> None:
    plain = F.layer_norm(x, x.shape[-1:]).flatten(0, -2)  # (N, D)
    deviation, mean = plain.std(dim=0) + 1e-3, plain.mean(dim=0)
    norm.weight.copy_(1 / deviation)
    norm.bias.copy_(-mean / deviation)


def train_on_features(
    model: StreamClassifier,
    seen: Sequence[SeenRecording],
    *,
    options: TrainOptions,
    updates: int,
    on_update: Callable[[int, float], None] | None = None,
) -> None:
    """Trains memory and head in place, on stretches of `chunk_clips` clips that start empty.

    Args:
        model: whose backbone saw the recordings.
        seen: by `see_recording`.
        options: rows, chunk_clips, learning rate and the like; epochs and looks do not apply.
        updates: how many.
        on_update: called with the update and its loss.

    Raises:
        InputError: nothing is labelled.
        OptionError: every recording is shorter than a stretch.
    """
    model.backbone.requires_grad_(False)
    model.train()
    model.backbone.eval()
    length = options.chunk_clips
    long_enough = [one for one in seen if len(one.pooled) >= length]
    if not long_enough:
        raise OptionError(f"no recording has {length} clips; lower chunk_clips")
    recordings = [one.recording for one in long_enough]
    weights = class_weights(recordings, len(model.classes), options.balance)
    weights = weights.to(model.head.weight.device)
    optimiser = make_optimiser(model, options)
    random = np.random.default_rng([options.seed, 6])
    shares = np.array([len(recording) for recording in recordings], dtype=float)
    shares /= shares.sum()
    torch.manual_seed(options.seed)
    for update in range(updates):
        for group in optimiser.param_groups:
            rate = learning_rate_at(update, updates, options)
            group["lr"] = rate * group.get("rate", 1.0)
        rows = [long_enough[index] for index in random.choice(len(shares), options.rows, p=shares)]
        starts = [int(random.integers(len(one.pooled) - length + 1)) for one in rows]
        loss = _stretch_loss(model, rows, starts, length, weights, options)
        if not torch.isfinite(loss):
            raise InputError(f"the loss is not a number at update {update}; lower the rate")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if on_update is not None:
            on_update(update + 1, float(loss.detach()))
    model.backbone.requires_grad_(True)


def _stretch_loss(
    model: StreamClassifier,
    rows: list[SeenRecording],
    starts: list[int],
    length: int,
    weights: Tensor,
    options: TrainOptions,
) -> Tensor:
    device = weights.device
    state = model.init_state(len(rows))
    loss = torch.zeros((), device=device)
    total = torch.zeros((), device=device)
    pairs = list(zip(rows, starts, strict=True))
    for step in range(length):
        features = tuple(
            torch.stack([one.features[stage][start + step] for one, start in pairs])
            .to(device)
            .float()
            for stage in range(len(rows[0].features))
        )
        pooled = torch.stack([one.pooled[start + step] for one, start in pairs]).to(device)
        ended = [one.recording.end_seconds[start + step] for one, start in pairs]
        labels = [int(one.recording.labels[start + step]) for one, start in pairs]
        seconds = torch.tensor(ended, dtype=torch.float64, device=device)
        truth = torch.tensor(labels, device=device)
        logits, state = model.step_features(features, pooled, state, seconds=seconds)
        loss = loss + F.cross_entropy(
            logits,
            truth,
            weight=weights,
            ignore_index=-1,
            reduction="sum",
            label_smoothing=options.label_smoothing,
        )
        total = total + weights[truth.clamp(min=0)][truth >= 0].sum()
    return loss / total.clamp(min=1e-6)
