"""5. The stream classifier: one step is one clip, and what it remembers is a value.

    state = model.init_state(batch_size)
    logits, state = model.step(clip, state)

Training, evaluation, `vigilia run` and every later service know only this.

Letters: B streams, C channels, T frames, H W pixels, K classes, D features.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from vigilia.backbones import BACKBONES, Backbone
from vigilia.errors import InputError, OptionError
from vigilia.memory import MEMORIES, Features, Memory
from vigilia.preprocessing import Preprocessing
from vigilia.state import State, where_rows

__all__ = [
    "ModelSpec",
    "StreamClassifier",
    "StreamState",
    "build_model",
    "create_model",
    "resampled",
]


@dataclass(frozen=True)
class StreamState(State):
    """Everything a stream carries from clip to clip.

    Attributes:
        memory: the memory's own state.
        seconds: (B,) float64, when each row's last clip ended.
        clips: (B,) int64, how many clips each row has seen.
        logits: (B, K) of each row's last clip; an idle row shows them again.
    """

    memory: State
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


class StreamClassifier(nn.Module):
    """Backbone, memory and head behind `init_state` and `step`.

    Args:
        backbone: obeys `vigilia.backbones.Backbone`.
        memory: obeys `vigilia.memory.base.Memory`.
        spec: what the two were built from; holds classes and preprocessing.

    Attributes:
        card: what the weights were trained on, and how well they did; written into checkpoints.
    """

    def __init__(self, backbone: nn.Module, memory: nn.Module, *, spec: ModelSpec) -> None:
        super().__init__()
        self.backbone = backbone
        self.memory = memory
        self.head = nn.Linear(cast(Memory, memory).embedding_dim, len(spec.classes))
        self.spec = spec
        self.card: dict[str, Any] = {}
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

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

    @property
    def receptive_frames(self) -> int:
        """Frames that reach the logits without memory; what memory adds is on top."""
        return self.preprocessing.clip_frames

    @property
    def latency_frames(self) -> int:
        """Frames from an event to the end of the first clip that can show it, at most."""
        return self.preprocessing.stride_frames

    def init_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> StreamState:
        """The state of streams that have seen nothing: all zeros.

        Args:
            batch_size: B.
            device: where it lies; by default where the model lies.
            dtype: of the remembered features; by default the model's. bfloat16 halves the bytes.
        """
        if batch_size < 1:
            raise OptionError(f"batch_size must be at least 1, got {batch_size}")
        like = self.head.weight
        where = torch.device(device) if device is not None else like.device
        kind = dtype or like.dtype
        return StreamState(
            memory=cast(Memory, self.memory).init_state(batch_size, device=where, dtype=kind),
            seconds=torch.zeros(batch_size, device=where, dtype=torch.float64),
            clips=torch.zeros(batch_size, device=where, dtype=torch.int64),
            logits=torch.zeros(batch_size, len(self.classes), device=where, dtype=like.dtype),
        )

    def step(
        self,
        clip: Tensor,
        state: StreamState,
        *,
        active: Tensor | None = None,
        seconds: Tensor | None = None,
    ) -> tuple[Tensor, StreamState]:
        """Classifies one clip of each stream and remembers it.

        clip: (B, C, T, H, W) -> logits (B, K).

        Args:
            clip: normalised frames, see `Preprocessing.to_clip`.
            state: from `init_state` or the step before.
            active: (B,) bool; rows that are false are left as they were, bit for bit, and show
                their last logits again. None means all rows.
            seconds: (B,) float64, when each clip ended. None lets the nominal stride pass.

        Raises:
            InputError: a shape that does not fit.
        """
        self._check(clip, state, active, seconds)
        if seconds is None:
            seconds = state.seconds + self.preprocessing.stride_seconds
        backbone, memory = cast(Backbone, self.backbone), cast(Memory, self.memory)
        readers = memory.readers(state.memory, seconds=seconds, clips=state.clips)
        features = backbone(clip, readers)
        _, new = self.step_features(features, backbone.pool(features), state, seconds=seconds)
        if active is not None:
            new = where_rows(active, new, state)
        return new.logits, new

    def step_features(
        self, features: Features, pooled: Tensor, state: StreamState, *, seconds: Tensor
    ) -> tuple[Tensor, StreamState]:
        """The second half of `step`: what comes after the backbone.

        Args:
            features: tokens of every stage; those that the memory does not write may be empty.
            pooled: (B, D) the backbone's summary of the clip.
            state: before the clip.
            seconds: (B,) float64, when each clip ended.
        """
        embedding, remembered = cast(Memory, self.memory).update(
            features, pooled, state.memory, seconds=seconds, clips=state.clips
        )
        logits = self.head(embedding)
        return logits, StreamState(
            memory=remembered, seconds=seconds, clips=state.clips + 1, logits=logits
        )

    def _check(
        self, clip: Tensor, state: StreamState, active: Tensor | None, seconds: Tensor | None
    ) -> None:
        if clip.ndim != 5 or clip.shape[1] != 3:
            hint = "; frames first?" if clip.ndim == 5 and clip.shape[2] == 3 else ""
            hint = "; channels last?" if clip.ndim == 5 and clip.shape[4] == 3 else hint
            raise InputError(
                f"clip must be (B, C=3, T={self.clip_frames}, H, W), got {tuple(clip.shape)}{hint}"
            )
        rows = len(state.clips)
        if len(clip) != rows:
            raise InputError(f"clip has {len(clip)} rows, the state has {rows} streams")
        for name, value, dtype in (
            ("active", active, torch.bool),
            ("seconds", seconds, torch.float64),
        ):
            if value is not None and (value.shape != (rows,) or value.dtype != dtype):
                raise InputError(
                    f"{name} must be ({rows},) {dtype}, got {tuple(value.shape)} {value.dtype}"
                )


def resampled(
    model: StreamClassifier,
    *,
    fps: float | None = None,
    clip_frames: int | None = None,
    stride_frames: int | None = None,
) -> StreamClassifier:
    """The same weights at another rate of frames or of steps; None keeps what the model has.

    Memory counts in seconds, so it goes on to mean the same; the backbone was trained on the
    model's own rate and is best at it.

    Raises:
        OptionError: a value that cannot work.
    """
    trained = model.preprocessing
    preprocessing = replace(
        trained,
        fps=trained.fps if fps is None else fps,
        clip_frames=trained.clip_frames if clip_frames is None else clip_frames,
        stride_frames=trained.stride_frames if stride_frames is None else stride_frames,
    )
    other = copy.copy(model)  # shares the parameters
    other.spec = replace(model.spec, preprocessing=preprocessing)
    return other


def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    memory: str = "fam",
    classes: Iterable[str] | None = None,
    fps: float = 4.0,
    clip_frames: int = 32,
    stride_frames: int = 8,
    height: int = 224,
    width: int = 224,
    background: float = 1.0,
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
    **memory_options: Any,
) -> StreamClassifier:
    """Builds a model with fresh weights.

    Args:
        name: a key of `vigilia.backbones.BACKBONES`, such as "swin3d_t".
        num_classes: K; may be left out when `classes` is given.
        memory: a key of `vigilia.memory.MEMORIES`: "fam", "pilot", "gru", "none" or "memvit".
        classes: names of the K classes; by default "0", "1", ...
        fps: samples per second the model expects.
        clip_frames: T.
        stride_frames: frames from one step to the next.
        height: H in pixels.
        width: W in pixels.
        background: how much of what does not move is kept; see `Preprocessing`.
        drop_path: greatest probability of dropping a block in training.
        checkpoint_activations: trade time for memory in training.
        **memory_options: options of the memory's function, such as `slots=30`.

    Raises:
        OptionError: an unknown name or a value that cannot work.
    """
    names = tuple(classes) if classes is not None else None
    if names is None:
        if num_classes is None or num_classes < 1:
            raise OptionError(f"num_classes must be at least 1, got {num_classes}")
        names = tuple(str(index) for index in range(num_classes))
    if num_classes is not None and num_classes != len(names):
        raise OptionError(f"num_classes is {num_classes}, but classes has {len(names)} names")
    if not names or len(set(names)) != len(names):
        raise OptionError(f"classes must be different names, at least one, got {list(names)}")
    spec = ModelSpec(
        name=name,
        memory=memory,
        classes=names,
        preprocessing=Preprocessing(
            fps=fps,
            clip_frames=clip_frames,
            stride_frames=stride_frames,
            height=height,
            width=width,
            background=background,
        ),
        memory_options=dict(memory_options),
        backbone_options={
            "drop_path": drop_path,
            "checkpoint_activations": checkpoint_activations,
        },
    )
    return build_model(spec)


def build_model(spec: ModelSpec) -> StreamClassifier:
    """Builds the model that a spec describes, with fresh weights."""
    if spec.name not in BACKBONES:
        raise OptionError(f"no model named {spec.name!r}; there are {', '.join(BACKBONES)}")
    if spec.memory not in MEMORIES:
        raise OptionError(f"no memory named {spec.memory!r}; there are {', '.join(MEMORIES)}")
    backbone = BACKBONES[spec.name](**spec.backbone_options)
    make_memory = MEMORIES[spec.memory]
    known = list(inspect.signature(make_memory).parameters)[1:]
    for option in spec.memory_options:
        if option not in known:
            raise OptionError(
                f"memory {spec.memory!r} has no option {option!r}; "
                f"it has {', '.join(known) if known else 'none'}"
            )
    return StreamClassifier(backbone, make_memory(backbone, **spec.memory_options), spec=spec)
