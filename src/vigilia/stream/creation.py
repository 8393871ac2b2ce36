"""Models made from names, specs and other models.

A name of `BACKBONES` makes a model of clips, one of `SPIKING_SIZES` a model of events.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Literal, cast, overload

import torch
from torch import nn

from vigilia.backbones import (
    BACKBONES,
    IncrementalSwin3D,
    StreamingBackbone,
)
from vigilia.errors import OptionError
from vigilia.memory import MEMORIES
from vigilia.preprocessing import Preprocessing
from vigilia.relevance.multiscale import multiscale
from vigilia.spiking import (
    SPIKING_SIZES,
    NeuroSvt,
    SpikingSpec,
    build_spiking_model,
    create_spiking_model,
)
from vigilia.stream.classifier import StreamClassifier
from vigilia.stream.values import ModelSpec

__all__ = ["build_model", "create_model", "incremental", "nearest_names", "prepared", "resampled"]

CHOICES: dict[str, Callable[..., Any]] = {**MEMORIES, "multiscale": multiscale}
"""What a model may remember with: the memories, and relevance at three scales in their place."""

SpikingName = Literal["neuro_svt_nano", "neuro_svt_ti", "neuro_svt_s", "neuro_svt_b"]


def prepared(model: StreamClassifier, dtype: torch.dtype | None = None) -> StreamClassifier:
    """A copy for watching alone: what depends on weights alone is computed once.

    Args:
        model: is left as it is; its results are the copy's, to the bit, unless `dtype` lowers them.
        dtype: of the backbone, nearly all of the work; None keeps the model's. Memory and head cost
            little, and what is rounded there adds up over hours: they stay as they are. On a CPU,
            bfloat16 pays where `lscpu` shows avx512_bf16 or amx_bf16.
    """
    other = copy.deepcopy(model).eval().requires_grad_(False)
    if dtype is not None:
        other.backbone.to(dtype)
    if isinstance(other.backbone, IncrementalSwin3D):
        with torch.no_grad():
            other.backbone.fold(model.preprocessing.height, model.preprocessing.width)
    return other


def incremental(model: StreamClassifier) -> StreamClassifier:
    """A clip model's weights in incremental mode, to be fine-tuned.

    Backbone, memory and head have the same shapes in both modes; what the blocks see differs, since
    no token sees later steps' tokens and time is not shifted.

    Raises:
        OptionError: its backbone has no incremental form.
    """
    name = f"{model.spec.name}_incremental"
    if name not in BACKBONES:
        known = ", ".join(key.removesuffix("_incremental") for key in BACKBONES if "_incr" in key)
        raise OptionError(f"{model.spec.name} has no incremental form; {known} have")
    frames, stride = _frames_of(_build_backbone(name, model.spec.backbone_options))
    preprocessing = replace(model.preprocessing, clip_frames=frames, stride_frames=stride)
    other = build_model(replace(model.spec, name=name, preprocessing=preprocessing))
    other.load_state_dict(model.state_dict())
    trained_on = model.card.get("trained_on", "not said")
    other.card = {"trained_on": f"{trained_on}; as a clip model, not yet in incremental mode"}
    device = model.head.weight.device
    return other.to(device).train(model.training)


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
    _check_frames(model.backbone, model.spec.name, preprocessing)
    other = copy.copy(model)  # shares the parameters
    other.spec = replace(model.spec, preprocessing=preprocessing)
    return other


@overload
def create_model(name: SpikingName, **options: Any) -> NeuroSvt: ...
@overload
def create_model(name: str, **options: Any) -> StreamClassifier: ...
def create_model(
    name: str,
    *,
    num_classes: int | None = None,
    memory: str | None = None,
    classes: Iterable[str] | None = None,
    fps: float | None = None,
    clip_frames: int | None = None,
    stride_frames: int | None = None,
    height: int | None = None,
    width: int | None = None,
    background: float = 1.0,
    drop_path: float = 0.0,
    checkpoint_activations: bool = False,
    **options: Any,
) -> StreamClassifier | NeuroSvt:
    """Builds a model with fresh weights.

    Args:
        name: a key of `vigilia.backbones.BACKBONES`, such as "swin3d_t"; or one of
            `vigilia.spiking.SPIKING_SIZES`, such as "neuro_svt_ti", for an event camera.
        num_classes: K; may be left out when `classes` is given.
        memory: a key of `vigilia.memory.MEMORIES`: "fam" (default), "pilot", "gru", "none" or
            "memvit"; or "multiscale", see `vigilia.relevance.multiscale`; of a spiking model one
            of `SPIKING_MEMORIES`, by default "event".
        classes: names of the K classes; by default "0", "1", ...
        fps: samples per second the model expects, 4 by default; of a spiking model bins, 30.
        clip_frames: T; by default 32, or what a streaming backbone takes.
        stride_frames: frames from one step to the next; by default 8, or likewise.
        height: H in pixels; 224, or 128 of a spiking model.
        width: W in pixels, likewise.
        background: how much of what does not move is kept; see `Preprocessing`.
        drop_path: greatest probability of dropping a block in training.
        checkpoint_activations: trade time for memory in training.
        **options: of the memory's function, such as `slots=30`; of a spiking model those of
            `NeuroSvt`.

    Raises:
        OptionError: an unknown name or a value that cannot work.
    """
    if name in SPIKING_SIZES:
        of_clips = {
            "clip_frames": clip_frames is not None,
            "stride_frames": stride_frames is not None,
            "background": background != 1.0,
            "drop_path": drop_path != 0.0,
            "checkpoint_activations": checkpoint_activations,
        }
        for option in (option for option, given in of_clips.items() if given):
            raise OptionError(f"{name} takes one bin of events a step; it has no {option}")
        if fps is not None:
            options["bin_seconds"] = 1 / fps if fps > 0 else 0.0
        chosen = {"memory": memory, "height": height, "width": width}
        options |= {option: value for option, value in chosen.items() if value is not None}
        return create_spiking_model(name, num_classes=num_classes, classes=classes, **options)
    names = tuple(classes) if classes is not None else None
    if names is None:
        if num_classes is None or num_classes < 1:
            raise OptionError(f"num_classes must be at least 1, got {num_classes}")
        names = tuple(str(index) for index in range(num_classes))
    if num_classes is not None and num_classes != len(names):
        raise OptionError(f"num_classes is {num_classes}, but classes has {len(names)} names")
    if not names or len(set(names)) != len(names):
        raise OptionError(f"classes must be different names, at least one, got {list(names)}")
    backbone_options = {
        "drop_path": drop_path,
        "checkpoint_activations": checkpoint_activations,
    }
    backbone = _build_backbone(name, backbone_options)
    frames, stride = _frames_of(backbone)
    spec = ModelSpec(
        name=name,
        memory="fam" if memory is None else memory,
        classes=names,
        preprocessing=Preprocessing(
            fps=4.0 if fps is None else fps,
            clip_frames=frames if clip_frames is None else clip_frames,
            stride_frames=stride if stride_frames is None else stride_frames,
            height=224 if height is None else height,
            width=224 if width is None else width,
            background=background,
        ),
        memory_options=dict(options),
        backbone_options=backbone_options,
    )
    return _join(backbone, spec)


@overload
def build_model(spec: ModelSpec) -> StreamClassifier: ...
@overload
def build_model(spec: SpikingSpec) -> NeuroSvt: ...
def build_model(spec: ModelSpec | SpikingSpec) -> StreamClassifier | NeuroSvt:
    """Builds the model that a spec describes, with fresh weights."""
    if isinstance(spec, SpikingSpec):
        return build_spiking_model(spec)
    return _join(_build_backbone(spec.name, spec.backbone_options), spec)


def _build_backbone(name: str, options: Mapping[str, Any]) -> nn.Module:
    if name not in BACKBONES:
        raise OptionError(f"no model named {name!r}; {nearest_names(name)}")
    return cast(nn.Module, BACKBONES[name](**options))


def nearest_names(name: str) -> str:
    """The end of a message about a name that does not exist."""
    near = get_close_matches(name, [*BACKBONES, *SPIKING_SIZES], n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return f"{meant}`vigilia models` lists what there is"


def _frames_of(backbone: nn.Module) -> tuple[int, int]:
    """Frames of a clip and from one to the next, unless somebody asks for others."""
    if isinstance(backbone, StreamingBackbone):
        return backbone.step_frames, backbone.step_frames
    return Preprocessing.clip_frames, Preprocessing.stride_frames


def _check_frames(backbone: nn.Module, name: str, preprocessing: Preprocessing) -> None:
    """Refuses clips that a streaming backbone cannot take."""
    if not isinstance(backbone, StreamingBackbone):
        return
    frames = (preprocessing.clip_frames, preprocessing.stride_frames)
    if frames != (backbone.step_frames, backbone.step_frames):
        raise OptionError(
            f"{name} takes {backbone.step_frames} new frames a step, so clip_frames and "
            f"stride_frames must both be {backbone.step_frames}, got {frames[0]} and {frames[1]}"
        )


def _join(backbone: nn.Module, spec: ModelSpec) -> StreamClassifier:
    """Memory and head for a backbone."""
    _check_frames(backbone, spec.name, spec.preprocessing)
    if spec.memory not in CHOICES:
        raise OptionError(f"no memory named {spec.memory!r}; there are {', '.join(CHOICES)}")
    make_memory = CHOICES[spec.memory]
    known = list(inspect.signature(make_memory).parameters)[1:]
    for option in spec.memory_options:
        if option not in known:
            raise OptionError(
                f"memory {spec.memory!r} has no option {option!r}; "
                f"it has {', '.join(known) if known else 'none'}"
            )
    return StreamClassifier(backbone, make_memory(backbone, **spec.memory_options), spec=spec)
