"""Training memory and head on what a frozen backbone saw once: minutes on a CPU, not hours.

The backbone's tokens of every clip are computed once and kept; then only the memory and the head
run, over stretches far longer than backpropagation through pixels could afford. Reading inside the
backbone's blocks is not trained this way, since it would change what was kept: the memory is read
by the pooled embedding alone, and the gates inside the blocks stay as they are.

Letters: S clips, B rows, K clips of a stretch, T H W token grid, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vigilia.errors import InputError, OptionError
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch
from vigilia.training.schedule import chunk_clips_at
from vigilia.training.seeing import SeenRecording, Tokens
from vigilia.training.stretch import View, class_weights, stretch_loss, weight_of
from vigilia.training.temporal import temporal_loss

__all__ = ["feature_view", "train_on_features"]


def _deviations(seen: Sequence[SeenRecording]) -> list[Tensor]:
    """By stage and for the pooled features: (D,), how much each varies within a recording."""
    columns = zip(*((*one.features, one.pooled) for one in seen), strict=True)
    return [
        torch.stack([_variance(kept) for kept in column]).mean(dim=0).sqrt() for column in columns
    ]


def _variance(kept: Tokens) -> Tensor:
    some = kept[
        slice(None, None, max(1, len(kept) // 50))
    ].float()  # a clip may hold megabytes of tokens
    flat = some.flatten(0, -2)
    return flat.var(dim=0) if flat.numel() else flat.new_empty(0)


def feature_view(
    model: StreamClassifier, seen: Sequence[SeenRecording], options: TrainOptions | None = None
) -> View:
    """The model sees what its backbone saw before; looks and mixing do not apply, noise does."""
    device = model.head.weight.device
    noise = 0.0 if options is None else options.feature_noise
    deviations = [x.to(device) for x in _deviations(seen)] if noise else []

    def view(batch: Batch, state: StreamState) -> tuple[Tensor, StreamState]:
        pairs = [
            (seen[index], int(clip))
            for index, clip in zip(batch.recordings, batch.clips, strict=True)
        ]
        features: Sequence[Tensor] = tuple(
            torch.stack([one.features[stage][clip] for one, clip in pairs]).to(device).float()
            for stage in range(len(seen[0].features))
        )
        pooled = torch.stack([one.pooled[clip] for one, clip in pairs]).to(device)
        if noise:
            *features, pooled = (
                x + noise * deviation * torch.randn_like(x)
                for x, deviation in zip((*features, pooled), deviations, strict=True)
            )
        seconds = torch.from_numpy(batch.seconds).to(device)
        if options is not None and options.checkpoint_activations:
            return checkpoint(
                model.step_features,
                tuple(features),
                pooled,
                state,
                seconds=seconds,
                use_reentrant=False,
            )
        return model.step_features(tuple(features), pooled, state, seconds=seconds)

    return view


def train_on_features(
    model: StreamClassifier,
    seen: Sequence[SeenRecording],
    *,
    options: TrainOptions,
    updates: int,
    on_update: Callable[[int, float], None] | None = None,
) -> None:
    """Trains memory and head in place, on stretches that start empty: the smallest such loop.

    `train_model` with `feature_view` does the same with validation, files and resume.

    Args:
        model: whose backbone saw the recordings.
        seen: by `see_recording`.
        options: rows, chunk_clips or curriculum (over equal parts of the updates), learning rate
            and the like; epochs and looks do not apply.
        updates: how many.
        on_update: called with the update and its loss.

    Raises:
        InputError: nothing is labelled.
        OptionError: every recording is shorter than a stretch.
    """
    model.backbone.requires_grad_(False)
    model.train()
    model.backbone.eval()
    longest = max(chunk_clips_at(update, updates, options) for update in range(updates))
    long_enough = [one for one in seen if len(one) >= longest]
    if not long_enough:
        raise OptionError(f"no recording has {longest} clips; lower chunk_clips")
    recordings = [one.recording for one in long_enough]
    weights = class_weights(recordings, len(model.classes), options.balance)
    weights = weights.to(model.head.weight.device)
    view = feature_view(model, long_enough, options)
    optimiser = make_optimiser(model, options)
    random = np.random.default_rng([options.seed, 6])
    shares = np.array([len(recording) for recording in recordings], dtype=float)
    shares /= shares.sum()
    torch.manual_seed(options.seed)
    for update in range(updates):
        set_learning_rate(optimiser, learning_rate_at(update, updates, options))
        length = chunk_clips_at(update, updates, options)
        rows = random.choice(len(shares), options.rows, p=shares)
        starts = [int(random.integers(len(recordings[row]) - length + 1)) for row in rows]
        batches = [_batch(recordings, rows, np.array(starts), step) for step in range(length)]
        scored = weight_of(batches, weights)
        total, _ = stretch_loss(
            view,
            batches,
            model.init_state(options.rows),
            weights,
            label_smoothing=options.label_smoothing,
            label_weight=options.label_weight,
            temporal=temporal_loss(options, amount=scored),
        )
        loss = total / scored
        if not torch.isfinite(loss):
            raise InputError(f"the loss is not a number at update {update}; lower the rate")
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if on_update is not None:
            on_update(update + 1, float(loss.detach()))
    model.backbone.requires_grad_(True)


def _batch(recordings: list[Recording], rows: np.ndarray, starts: np.ndarray, step: int) -> Batch:
    clips = starts + step
    pairs = list(zip(rows, clips, strict=True))
    nobody = np.full(len(rows), -1)
    return Batch(
        recordings=rows,
        clips=clips,
        labels=np.array([recordings[row].labels[clip] for row, clip in pairs], dtype=np.int64),
        seconds=np.array([recordings[row].end_seconds[clip] for row, clip in pairs]),
        starts=np.full(len(rows), step == 0),
        plays=np.arange(len(rows)),
        partners=nobody,
        partner_clips=nobody,
        partner_labels=nobody,
        shares=np.ones(len(rows)),
    )
