"""The model that training begins with: a backbone by name, or what a model file brings."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from vigilia.backbones import BACKBONES, NANO, fetch_kinetics400
from vigilia.checkpoint import load_classifier
from vigilia.errors import OptionError
from vigilia.models import BUNDLED, load_backbone_weights, resolve_model
from vigilia.stream import StreamClassifier, build_model, create_model, nearest_names
from vigilia.stream import incremental as to_incremental

__all__ = ["build_for_training"]


def build_for_training(
    model: str | Path,
    weights: str | None,
    classes: tuple[str, ...],
    *,
    memory: str | None,
    memory_options: dict[str, Any],
    fps: float,
    clip_frames: int | None,
    stride_frames: int | None,
    size: int | None,
    background: float,
    drop_path: float,
    seed: int,
    incremental: bool = False,
) -> tuple[StreamClassifier, bool]:
    """The model to train, and whether its memory has learned nothing yet.

    Args:
        model: a backbone's name, a bundled model or a model file; the other arguments are those
            of `train_recordings`.

    Raises:
        OptionError: no such model, or options that do not go with it.
        CheckpointError: the model file cannot be used.
    """
    torch.manual_seed(seed)
    name = str(model)
    if name in BACKBONES:
        if incremental:
            raise OptionError(
                f"--incremental takes over the weights of a model file; of fresh ones, name the "
                f"mode: --model {name.removesuffix('_incremental')}_incremental"
            )
        pixels = size or (64 if name in NANO else 224)
        net = create_model(
            name,
            classes=classes,
            memory=memory or "fam",
            fps=fps,
            clip_frames=clip_frames,
            stride_frames=stride_frames,
            height=pixels,
            width=pixels,
            background=background,
            drop_path=drop_path,
            checkpoint_activations=name not in NANO,
            **memory_options,
        )
        if weights == "kinetics400":
            load_backbone_weights(net, fetch_kinetics400(name))
        elif weights is not None:
            raise OptionError(f"weights must be 'kinetics400', got {weights!r}")
        return net, True
    if weights is not None:
        raise OptionError(f"{name}: a model file brings its own weights, --weights is for names")
    if name not in BUNDLED and not Path(name).exists() and Path(name).suffix == "":
        raise OptionError(f"no backbone named {name!r}, and no such file; {nearest_names(name)}")
    start = resolve_model(name) if name in BUNDLED else load_classifier(model)
    if incremental:
        start = to_incremental(start)
    spec = dataclasses.replace(start.spec, classes=classes)
    # A backbone that learned without labels brings no memory and no head: nobody chose "none".
    bare = "pretrained" in start.card
    if bare and memory is None:
        memory = "fam"
    if memory is not None or memory_options:
        spec = dataclasses.replace(
            spec, memory=memory or spec.memory, memory_options=memory_options
        )
    net = build_model(spec)
    fitting = {
        name: tensor
        for name, tensor in start.state_dict().items()
        if (tensor.shape == net.state_dict()[name].shape if name in net.state_dict() else False)
        and ((start.classes == classes and not bare) or not name.startswith("head."))
    }
    net.load_state_dict(fitting, strict=False)
    started = {name for name in net.state_dict() if name.startswith("memory.")} & fitting.keys()
    return net, not started
