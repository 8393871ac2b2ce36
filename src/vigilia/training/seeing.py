"""What a frozen backbone sees of a recording, clip by clip, kept once.

Letters: S clips, T H W token grid, D features, E pooled features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor

from vigilia.backbones import Backbone, StreamingBackbone
from vigilia.stream import StreamClassifier
from vigilia.training.augment import Look, apply_look
from vigilia.training.recordings import Recording

__all__ = ["SeenRecording", "Tokens", "see_clips", "see_recording", "used_stages"]


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
        elif model.hears and recording.sound is not None:
            heard = np.asarray(recording.sound[first : numbers.stop], np.float32)
            features = backbone(clip, audio=torch.from_numpy(heard).to(clip))
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
