"""The loss of a stretch of clips, whether they are seen as pixels or as features kept before.

Letters: B rows, K clips of a stretch; in `class_weights` also classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from vigilia.errors import InputError
from vigilia.state import reset
from vigilia.stream import Precision, StreamClassifier, StreamState
from vigilia.training.augment import apply_look, apply_mix, draw_look, draw_mix
from vigilia.training.frames import load_frames
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch
from vigilia.training.sound import load_sound
from vigilia.training.temporal import Temporal, joined

__all__ = [
    "CarryingView",
    "StretchView",
    "TeachingView",
    "View",
    "class_weights",
    "pixel_view",
    "stretch_loss",
    "weight_of",
]

View = Callable[[Batch, StreamState], tuple[Tensor, StreamState]]
"""Shows a model one clip of each row: (batch, state) -> (logits, state)."""


@runtime_checkable
class StretchView(Protocol):
    """A view that can also show a whole stretch at once, which is faster."""

    def __call__(self, batch: Batch, state: StreamState) -> tuple[Tensor, StreamState]:
        """As any view."""
        ...

    def stretch(
        self, batches: Sequence[Batch], state: StreamState
    ) -> tuple[list[Tensor], StreamState]:
        """Shows K clips; empties the rows that start anew. Returns the logits of every clip."""
        ...


@runtime_checkable
class TeachingView(Protocol):
    """A view with a loss of its own beside that of the labels, which may change over the course."""

    def __call__(self, batch: Batch, state: StreamState) -> tuple[Tensor, StreamState]:
        """As any view."""
        ...

    def at(self, course: float) -> View:
        """The view when so much of the course, from 0 to 1, is over."""
        ...

    def taught(
        self, batches: Sequence[Batch], state: StreamState
    ) -> tuple[list[Tensor], Tensor, StreamState]:
        """As `StretchView.stretch`, with a loss (), a mean over the stretch, in between."""
        ...


@runtime_checkable
class CarryingView(Protocol):
    """A view that carries more from clip to clip than the model's own state.

    Attributes:
        identity: what a run that goes on must have in common with it.
    """

    identity: str

    def __call__(self, batch: Batch, state: Any) -> tuple[Tensor, Any]:
        """As any view."""
        ...

    def init_state(self, batch_size: int) -> Any:
        """What is carried by streams that have seen nothing: all zeros."""
        ...


def pixel_view(
    model: StreamClassifier,
    recordings: Sequence[Recording],
    options: TrainOptions | None = None,
    *,
    autocast: Precision | None = None,
) -> View:
    """The model sees pixels; with options, changed as training wants them.

    Args:
        model: is called.
        recordings: what batches point into.
        options: of training; None shows every clip as it is.
        autocast: the precision of the backbone; None for that of its weights.
    """
    precision = nullcontext if autocast is None else autocast
    if model.streams and not (options is not None and options.checkpoint_activations):
        return _PixelStretches(model, recordings, options, precision)
    return _PixelView(model, recordings, options, precision)


@dataclass(frozen=True)
class _PixelView:
    """Clip by clip."""

    model: StreamClassifier
    recordings: Sequence[Recording]
    options: TrainOptions | None
    precision: Precision

    def __call__(self, batch: Batch, state: StreamState) -> tuple[Tensor, StreamState]:
        clip, seconds = self.clip(batch)
        heard = self.heard(batch)
        if self.options is not None and self.options.checkpoint_activations:
            return checkpoint(self._step, clip, state, seconds, heard, use_reentrant=False)
        return self._step(clip, state, seconds, heard)

    def _step(
        self, clip: Tensor, state: StreamState, seconds: Tensor, heard: Tensor | None
    ) -> tuple[Tensor, StreamState]:
        return self.model.step(clip, state, seconds=seconds, audio=heard, precision=self.precision)

    def heard(self, batch: Batch) -> Tensor | None:
        """What the model is to hear of a batch, (B, F, M); None if it does not hear.

        Of a recording that is mixed in nothing is heard.
        """
        if not self.model.hears or self.recordings[0].sound is None:
            return None
        sound = load_sound(
            self.recordings, batch.recordings, batch.clips, batch.plays, self.options
        )
        return torch.from_numpy(sound).to(self.model.head.weight.device)

    def clip(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the model is to see of a batch: (B, C, T, H, W), and when it ended, (B,)."""
        options = self.options
        clip = self._load(batch.recordings, batch.clips, batch.plays)
        seconds = torch.from_numpy(batch.seconds).to(clip.device)
        if options is None:
            return clip, seconds
        if (mixed := batch.partners >= 0).any():
            # A row without a partner is mixed with nothing, so it does not matter whose clip it is.
            partners = np.where(mixed, batch.partners, batch.recordings)
            clips = np.where(mixed, batch.partner_clips, batch.clips)
            size = clip.shape[-2:]
            mixes = [draw_mix(options, int(play), *size) for play in batch.plays]
            clip = apply_mix(clip, self._load(partners, clips, batch.plays), mixes)
        return apply_look(clip, draw_look(options, batch.plays.tolist())), seconds

    def _load(self, which: np.ndarray, clips: np.ndarray, plays: np.ndarray) -> Tensor:
        frames = load_frames(self.recordings, which, clips, plays, self.options)
        device = self.model.head.weight.device
        return self.model.preprocessing.to_clip(torch.from_numpy(frames).to(device))


@dataclass(frozen=True)
class _PixelStretches(_PixelView):
    """Clip by clip, or all clips of a stretch at once: for streaming backbones."""

    def stretch(
        self, batches: Sequence[Batch], state: StreamState
    ) -> tuple[list[Tensor], StreamState]:
        clips, seconds = zip(*(self.clip(batch) for batch in batches), strict=True)
        starts = np.stack([batch.starts for batch in batches], axis=1)  # (B, K)
        return self.model.steps(
            torch.stack(clips, dim=1),
            state,
            starts=torch.from_numpy(starts).to(clips[0].device),
            seconds=torch.stack(seconds, dim=1),
            precision=self.precision,
        )


def stretch_loss(
    view: View,
    batches: Sequence[Batch],
    state: StreamState,
    weights: Tensor,
    *,
    label_smoothing: float = 0.0,
    label_weight: float = 1.0,
    temporal: Temporal | None = None,
    amount: float = 1.0,
) -> tuple[Tensor, StreamState]:
    """The weighted sum of the losses of consecutive clips, and the state behind them.

    Args:
        view: how the model sees a clip.
        batches: K of them.
        state: before the first; rows that start anew are emptied here.
        weights: (classes,) of the loss.
        label_smoothing: share of the target spread over all classes.
        label_weight: factor on the losses of the labels.
        temporal: a loss of neighbouring clips, added as it is; see `temporal_loss`.
        amount: factor on the loss that a view has of its own.
    """
    device = weights.device
    answers = []
    loss = torch.zeros((), device=device)
    shown: Iterable[Tensor | None] = [None] * len(batches)
    if isinstance(view, TeachingView):
        shown, own, state = view.taught(batches, state)
        loss = loss + amount * own
    elif isinstance(view, StretchView):
        shown, state = view.stretch(batches, state)
    for batch, logits in zip(batches, shown, strict=True):
        if logits is None:
            if batch.starts.any():  # a state is large, and a reset is a copy of it
                state = reset(state, torch.from_numpy(batch.starts))
            logits, state = view(batch, state)
        answers.append(logits)
        for labels, shares in _targets(batch):
            losses = F.cross_entropy(
                logits,
                torch.from_numpy(labels).to(device),
                weight=weights,
                ignore_index=-1,
                reduction="none",
                label_smoothing=label_smoothing,
            )
            loss = loss + label_weight * (losses @ torch.from_numpy(shares).to(losses))
    if temporal is not None:
        loss = loss + temporal(torch.stack(answers, dim=1), joined(batches).to(device))
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
