"""The loss of a stretch of clips, whether they are seen as pixels or as features kept before.

Letters: B rows, K clips of a stretch; in `class_weights` also classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vigilia.backbones import Backbone
from vigilia.errors import InputError
from vigilia.memory import Memory
from vigilia.state import reset
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training.augment import apply_look, apply_mix, draw_look, draw_mix
from vigilia.training.frames import load_frames
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch

__all__ = ["View", "class_weights", "pixel_view", "stretch_loss", "weight_of"]

View = Callable[[Batch, StreamState], tuple[Tensor, StreamState]]
"""Shows a model one clip of each row: (batch, state) -> (logits, state)."""


def pixel_view(
    model: StreamClassifier,
    recordings: Sequence[Recording],
    options: TrainOptions | None = None,
    *,
    autocast: Callable[[], AbstractContextManager[Any]] | None = None,
) -> View:
    """The model sees pixels; with options, changed as training wants them.

    Args:
        model: is called.
        recordings: what batches point into.
        options: of training; None shows every clip as it is.
        autocast: the precision of the backbone; None for that of its weights.
    """
    device = model.head.weight.device

    def step(clip: Tensor, state: StreamState, seconds: Tensor) -> tuple[Tensor, StreamState]:
        if autocast is None:
            return model.step(clip, state, seconds=seconds)
        return _mixed_step(model, clip, state, seconds, autocast)

    def clip_of(which: np.ndarray, clips: np.ndarray, plays: np.ndarray) -> Tensor:
        frames = load_frames(recordings, which, clips, plays, options)
        return model.preprocessing.to_clip(torch.from_numpy(frames).to(device))

    def view(batch: Batch, state: StreamState) -> tuple[Tensor, StreamState]:
        clip = clip_of(batch.recordings, batch.clips, batch.plays)
        seconds = torch.from_numpy(batch.seconds).to(device)
        if options is None:
            return step(clip, state, seconds)
        if (mixed := batch.partners >= 0).any():
            # A row without a partner is mixed with nothing, so it does not matter whose clip it is.
            partners = np.where(mixed, batch.partners, batch.recordings)
            clips = np.where(mixed, batch.partner_clips, batch.clips)
            size = clip.shape[-2:]
            mixes = [draw_mix(options, int(play), *size) for play in batch.plays]
            clip = apply_mix(clip, clip_of(partners, clips, batch.plays), mixes)
        clip = apply_look(clip, draw_look(options, batch.plays.tolist()))
        if options.checkpoint_activations:
            return checkpoint(step, clip, state, seconds, use_reentrant=False)
        return step(clip, state, seconds)

    return view


def _mixed_step(
    model: StreamClassifier,
    clip: Tensor,
    state: StreamState,
    seconds: Tensor,
    autocast: Callable[[], AbstractContextManager[Any]],
) -> tuple[Tensor, StreamState]:
    """`model.step` with the backbone, nearly all of the work, in lower precision.

    Memory and head stay in float32: they cost little, and what is rounded there adds up over hours.
    """
    backbone, memory = cast(Backbone, model.backbone), cast(Memory, model.memory)
    readers = memory.readers(state.memory, seconds=seconds, clips=state.clips)
    with autocast():
        features = backbone(clip, readers)
        pooled = backbone.pool(features)
    tokens = tuple(stage.float() for stage in features)
    return model.step_features(tokens, pooled.float(), state, seconds=seconds)


def stretch_loss(
    view: View,
    batches: Sequence[Batch],
    state: StreamState,
    weights: Tensor,
    *,
    label_smoothing: float = 0.0,
) -> tuple[Tensor, StreamState]:
    """The weighted sum of the losses of consecutive clips, and the state behind them.

    Args:
        view: how the model sees a clip.
        batches: K of them.
        state: before the first; rows that start anew are emptied here.
        weights: (classes,) of the loss.
        label_smoothing: share of the target spread over all classes.
    """
    device = weights.device
    loss = torch.zeros((), device=device)
    for batch in batches:
        if batch.starts.any():  # a state is large, and a reset is a copy of it
            state = reset(state, torch.from_numpy(batch.starts))
        logits, state = view(batch, state)
        for labels, shares in _targets(batch):
            losses = F.cross_entropy(
                logits,
                torch.from_numpy(labels).to(device),
                weight=weights,
                ignore_index=-1,
                reduction="none",
                label_smoothing=label_smoothing,
            )
            loss = loss + losses @ torch.from_numpy(shares).to(losses)
    return loss, state


def weight_of(batches: Sequence[Batch], weights: Tensor) -> float:
    """What the loss of these clips is to be divided by: the weights of all that is scored."""
    each = weights.double().cpu().numpy()
    total = 0.0
    for batch in batches:
        for labels, shares in _targets(batch):
            scored = labels >= 0
            total += float(each[labels[scored]] @ shares[scored])
    return max(total, 1e-6)


def _targets(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
    own = (batch.labels, batch.shares)
    if (batch.partners < 0).all():
        return [own]
    return [own, (batch.partner_labels, 1 - batch.shares)]


def class_weights(recordings: Sequence[Recording], classes: int, balance: float) -> Tensor:
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
