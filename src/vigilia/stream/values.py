"""What goes into and comes out of a stream classifier, and what it is built from.

Letters: B streams, C channels, T frames, H W pixels, K classes, F frames of sound, M mel bands.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vigilia.backbones import BackboneState
from vigilia.errors import InputError
from vigilia.preprocessing import Preprocessing
from vigilia.state import State

__all__ = ["ModelSpec", "Precision", "Specified", "StreamState", "check_rows", "check_step"]

Precision = Callable[[], AbstractContextManager[Any]]
"""Makes the context in which a backbone computes, such as autocast."""


@dataclass(frozen=True)
class StreamState(State):
    """Everything a stream carries from clip to clip.

    Attributes:
        memory: the memory's own state.
        backbone: what a streaming backbone keeps of earlier frames; empty for a plain one.
        seconds: (B,) float64, when each row's last clip ended.
        clips: (B,) int64, how many clips each row has seen.
        logits: (B, K) of each row's last clip; an idle row shows them again.
    """

    memory: State
    backbone: BackboneState
    seconds: Tensor
    clips: Tensor
    logits: Tensor


@dataclass(frozen=True)
class ModelSpec:
    """The arguments that build a model: what a checkpoint records beside the weights.

    Attributes:
        name: key of `vigilia.backbones.BACKBONES`.
        memory: key of `vigilia.memory.MEMORIES`.
        classes: the K class names, in the order of the logits.
        preprocessing: how frames become clips.
        memory_options: arguments of the memory's function.
        backbone_options: arguments of the backbone's function.
    """

    name: str
    memory: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    memory_options: dict[str, Any] = field(default_factory=dict)
    backbone_options: dict[str, Any] = field(default_factory=dict)


class Specified:
    """What follows from the spec of whatever steps clips.

    Attributes:
        spec: what the model was built from.
        card: what the weights were trained on, and how well they did.
    """

    spec: ModelSpec
    card: dict[str, Any]

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.spec.classes

    @property
    def preprocessing(self) -> Preprocessing:
        """How frames become clips."""
        return self.spec.preprocessing

    @property
    def clip_frames(self) -> int:
        """T: frames that one step takes."""
        return self.preprocessing.clip_frames

    @property
    def stride_frames(self) -> int:
        """Frames from one step to the next."""
        return self.preprocessing.stride_frames


def check_step(
    clip: Tensor,
    state: StreamState,
    active: Tensor | None,
    seconds: Tensor | None,
    audio: Tensor | None,
    *,
    clip_frames: int,
    hears: bool,
) -> None:
    """Refuses what `StreamClassifier.step` cannot be called with.

    Raises:
        InputError: a shape or a type that does not fit.
    """
    if clip.ndim != 5 or clip.shape[1] != 3:
        hint = "; frames first?" if clip.ndim == 5 and clip.shape[2] == 3 else ""
        hint = "; channels last?" if clip.ndim == 5 and clip.shape[4] == 3 else hint
        raise InputError(
            f"clip must be (B, C=3, T={clip_frames}, H, W), got {tuple(clip.shape)}{hint}"
        )
    rows = len(state.clips)
    if len(clip) != rows:
        raise InputError(f"clip has {len(clip)} rows, the state has {rows} streams")
    check_rows(rows, active, seconds)
    if audio is not None and not hears:
        raise InputError("this model does not hear: leave audio out, or take an audio_visual one")
    if audio is not None and (audio.ndim != 3 or len(audio) != rows):
        raise InputError(f"audio must be (B={rows}, F, M), got {tuple(audio.shape)}")


def check_rows(rows: int, active: Tensor | None, seconds: Tensor | None) -> None:
    """Refuses values that are not one a row.

    Raises:
        InputError: a shape or a type that does not fit.
    """
    for name, value, dtype in (
        ("active", active, torch.bool),
        ("seconds", seconds, torch.float64),
    ):
        if value is not None and (value.shape != (rows,) or value.dtype != dtype):
            raise InputError(
                f"{name} must be ({rows},) {dtype}, got {tuple(value.shape)} {value.dtype}"
            )
