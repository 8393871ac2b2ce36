"""Training memory and head on what a frozen backbone saw once: minutes on a CPU, not hours.

The backbone's tokens of every clip are computed once and kept; then only the memory and the head
run, over stretches far longer than backpropagation through pixels could afford. Reading inside the
backbone's blocks is not trained this way, since it would change what was kept: the memory is read
by the pooled embedding alone, and the gates inside the blocks stay as they are.

Letters: S clips, B rows, K clips of a stretch, T H W token grid, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vigilia.backbones import Backbone, StreamingBackbone
from vigilia.errors import InputError, OptionError
from vigilia.memory.gru import GruMemory
from vigilia.relevance import TemporalRelevance
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training.augment import Look, apply_look
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch
from vigilia.training.schedule import chunk_clips_at
from vigilia.training.stretch import View, class_weights, stretch_loss, weight_of
from vigilia.training.temporal import temporal_loss

__all__ = [
    "SeenRecording",
    "Tokens",
    "calibrate_memory",
    "feature_view",
    "make_readable",
    "see_clips",
    "see_recording",
    "standardise_entrance",
    "train_on_features",
    "used_stages",
]


class Tokens(Protocol):
    """What was kept of each clip: a tensor (S, ...), or shards on disk that look like one."""

    def __len__(self) -> int:
        """S."""
        ...

    def __getitem__(self, index: int | slice) -> Tensor:
        """One clip (...), or some of them (S', ...)."""
        ...


@dataclass(frozen=True)
class SeenRecording:
    """A recording as a backbone saw it.

    Attributes:
        recording: where it comes from.
        features: by stage, (S, T, H, W, D) float16; (S, 0) for a stage the memory does not use.
        pooled: (S, D) float32.
    """

    recording: Recording
    features: tuple[Tokens, ...]
    pooled: Tensor

    def __len__(self) -> int:
        return len(self.pooled)


def used_stages(model: StreamClassifier) -> tuple[int, ...]:
    """Numbers of the stages whose tokens the memory writes."""
    return tuple(getattr(model.memory, "stage_numbers", ()))


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
    parts = list(see_clips(model, recording, range(len(recording)), look=look, batch=batch))
    *features, pooled = (torch.cat(column) for column in zip(*parts, strict=True))
    return SeenRecording(recording=recording, features=tuple(features), pooled=pooled)


@torch.inference_mode()
def see_clips(
    model: StreamClassifier,
    recording: Recording,
    clips: range,
    *,
    look: Look | None = None,
    batch: int = 16,
) -> Iterator[tuple[Tensor, ...]]:
    """The same for some clips, `batch` at a time: tokens of each stage, then the pooled ones."""
    backbone = model.backbone.eval()
    used = used_stages(model)
    device = model.head.weight.device
    start, state = clips.start, None
    if isinstance(backbone, StreamingBackbone):
        # What earlier clips left in its state matters as far as it reaches.
        start = max(0, start - (backbone.receptive_frames // backbone.step_frames - 1))
        state = model.init_state(1).backbone
    for first in range(start, clips.stop, batch):
        numbers = range(first, min(first + batch, clips.stop))
        shown = torch.from_numpy(recording.frames[recording.clips[first : numbers.stop]])
        clip = model.preprocessing.to_clip(shown.to(device))
        if look is not None:
            clip = torch.cat([apply_look(one[None], look) for one in clip])
        if isinstance(backbone, StreamingBackbone):
            assert state is not None
            starts = _starts(model, recording, numbers).to(device)
            sequence = clip.transpose(0, 1).flatten(1, 2)[None]  # (1, C, S * T, H, W)
            whole, state = backbone.run_stages(sequence, state, starts=starts)
            features = tuple(tokens[0].unflatten(0, (len(clip), -1)) for tokens in whole)
        else:
            features = backbone(clip)
        pooled = cast(Backbone, backbone).pool(features)
        new = slice(max(0, clips.start - first), None)
        kept = (
            tokens[new].half().cpu()
            if number in used
            else tokens.new_empty(len(tokens[new]), 0).cpu()
            for number, tokens in enumerate(features, start=1)
        )
        if len(pooled[new]):
            yield (*kept, pooled[new].float().cpu())


def _starts(model: StreamClassifier, recording: Recording, clips: range) -> Tensor:
    """(1, S) bool: the clips in front of which a hole lies, as `StreamClassifier.step` sees it."""
    ends = recording.end_seconds[clips.start : clips.stop]
    before = recording.end_seconds[max(0, clips.start - 1) : clips.stop - 1]
    if clips.start == 0:
        before = np.concatenate([ends[:1], before])
    return torch.from_numpy(ends - before > 2 * model.preprocessing.stride_seconds)[None]


def make_readable(model: StreamClassifier) -> None:
    """Shuts the gates inside the backbone's blocks: what was kept was seen without them.

    Raises:
        OptionError: the memory is read nowhere else, so it could not learn.
    """
    stages = list(getattr(model.memory, "stages", ()))
    if stages and all(stage.embedding_reader is None for stage in stages):
        raise OptionError(
            f"memory {model.spec.memory!r} is read inside the backbone alone, so it cannot learn "
            "from features that were kept; take fam or gru, or train on pixels"
        )
    with torch.no_grad():
        for stage in stages:
            stage.reader.gate.zero_()


@torch.no_grad()
def calibrate_memory(model: StreamClassifier, seen: Sequence[SeenRecording]) -> None:
    """Starts the norms at the memory's entrance so that each feature varies as much as any other.

    What tells an event from a quiet second is a small change on top of a large constant, in tokens
    and in the pooled embedding alike; the norms' gains and offsets take that constant away.

    Args:
        model: its memory is changed in place; one without such norms is left as it is.
        seen: what its backbone saw; a part of it is looked at.
    """
    pooled = torch.cat([one.pooled[::7] for one in seen[::3]])
    every = max(25, sum(map(len, seen[::3])) // 400)  # a clip may hold megabytes of tokens
    tokens = {
        number: torch.cat([one.features[number - 1][::every] for one in seen[::3]]).float()
        for number in used_stages(model)
    }
    standardise_entrance(model.memory, tokens, pooled)


@torch.no_grad()
def standardise_entrance(memory: nn.Module, tokens: Mapping[int, Tensor], pooled: Tensor) -> None:
    """The same, from examples of what the memory is going to see.

    Args:
        memory: changed in place.
        tokens: by number of stage, (N, T, H, W, D).
        pooled: (N, E).
    """
    if isinstance(memory, (GruMemory, TemporalRelevance)):
        _standardise(memory.norm, pooled)
    if isinstance(memory, TemporalRelevance):
        _standardise(memory.norm_frames, tokens[memory.stage_numbers[0]].mean(dim=(2, 3)))
        return
    for number, stage in zip(
        getattr(memory, "stage_numbers", ()), getattr(memory, "stages", ()), strict=True
    ):
        if getattr(stage, "writer", None) is not None:
            _standardise(stage.writer.norm, tokens[number])
        if getattr(stage, "feedback", None) is not None:
            _standardise(stage.feedback.norm_clip, tokens[number])
            _standardise(stage.feedback.norm_summary, pooled)
        if getattr(stage, "embedding_reader", None) is not None:
            _standardise(stage.embedding_reader.norm, pooled)
        if getattr(getattr(stage, "readout", None), "norm", None) is not None:
            _standardise(stage.readout.norm, pooled)


def _standardise(norm: nn.LayerNorm, x: Tensor) -> None:
    plain = F.layer_norm(x, x.shape[-1:]).flatten(0, -2)  # (N, D)
    deviation, mean = plain.std(dim=0) + 1e-3, plain.mean(dim=0)
    norm.weight.copy_(1 / deviation)
    norm.bias.copy_(-mean / deviation)


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
