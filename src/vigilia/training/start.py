"""From annotated recordings to a trained model file: what `vigilia train` calls."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.backbones import BACKBONES, fetch_kinetics400
from vigilia.checkpoint import load_model
from vigilia.errors import LabelError, OptionError, OutputError
from vigilia.models import load_backbone_weights, usable_device
from vigilia.stream import StreamClassifier, build_model, create_model
from vigilia.timeline import check_labels
from vigilia.timeline.timeline import UNOBSERVED
from vigilia.training.loop import TrainingUpdate, train_model
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording, prepare_recording
from vigilia.training.sources import Annotated, split_validation

__all__ = ["train_recordings"]


def train_recordings(
    annotated: Sequence[Annotated],
    *,
    out: Path,
    options: TrainOptions,
    model: str | Path = "swin3d_nano",
    weights: str | None = None,
    memory: str | None = None,
    memory_options: Mapping[str, Any] | None = None,
    classes: tuple[str, ...] | None = None,
    validation: Sequence[str] = (),
    fps: float = 4.0,
    clip_frames: int = 32,
    stride_frames: int = 8,
    size: int | None = None,
    drop_path: float = 0.0,
    device: str = "cpu",
    cache: Path | None = None,
    restart: bool = False,
    on_frame: Callable[[str, float, float | None], None] | None = None,
    on_update: Callable[[TrainingUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Decodes the recordings, builds the model, trains it, writes it.

    Args:
        annotated: recordings and labels, see `read_annotated`.
        out: the model file.
        options: how to train.
        model: a backbone's name, or a model file to start from. A file brings its preprocessing
            and backbone, its memory unless another is asked for, its head if the classes are the
            same.
        weights: "kinetics400" for a backbone that has them.
        memory: a key of `MEMORIES`; by default the model file's, or "fam".
        memory_options: options of that memory.
        classes: their order; by default those in the labels, sorted.
        validation: names of recordings to keep apart.
        fps: with a backbone's name: samples per second.
        clip_frames: likewise, T.
        stride_frames: likewise, frames from one step to the next.
        size: likewise, height and width.
        drop_path: likewise, stochastic depth.
        device: where to train.
        cache: folder for decoded frames; by default beside `out`.
        restart: forget an interrupted run.
        on_frame: called while decoding with the recording, seconds, and its duration if known.
        on_update: called after every update.

    Returns:
        One entry per epoch.

    Raises:
        VigiliaError: see `prepare_recording`, `resolve_model` and `train_model`.
    """
    learn, apart = split_validation(annotated, validation)
    found = sorted({label for one in annotated for label in one.labels.classes})
    names = classes or tuple(found)
    if not names:
        raise LabelError(
            f"{annotated[0].labels.path}: nothing is labelled, so nothing can be learned"
        )
    if not 0 < fps < math.inf:
        raise OptionError(f"fps must be a positive number, got {fps}")
    for name in names:
        if name in ("", UNOBSERVED) or names.count(name) > 1:
            raise OptionError(
                f"classes must be different names, none of them empty or {UNOBSERVED!r}, "
                f"got {list(names)}"
            )
    for one in annotated:
        check_labels(one.labels, classes=names)  # before hours of decoding, not after
    _check_place(out)
    place = usable_device(device)
    net = _model(
        model,
        weights,
        names,
        memory=memory,
        memory_options=dict(memory_options or {}),
        fps=fps,
        clip_frames=clip_frames,
        stride_frames=stride_frames,
        size=size,
        drop_path=drop_path,
        seed=options.seed,
    ).to(place)
    folder = cache or out.with_name(out.name + ".frames")

    def prepared(one: Annotated) -> Recording:
        def progress(seconds: float, duration: float | None) -> None:
            if on_frame is not None:
                on_frame(one.video.name, seconds, duration)

        return prepare_recording(
            one.video,
            one.labels,
            classes=names,
            preprocessing=net.preprocessing,
            cache=folder,
            on_frame=progress,
        )

    recordings, kept_apart = [prepared(one) for one in learn], [prepared(one) for one in apart]
    return train_model(
        net,
        recordings,
        options=options,
        out=out,
        validation=kept_apart,
        restart=restart,
        card=_card(net, recordings, kept_apart, options, started_from=str(weights or model)),
        on_update=on_update,
    )


def _check_place(out: Path) -> None:
    """Finds out before the training, not behind its first epoch, whether `out` can be written."""
    if out.is_dir():
        raise OptionError(f"{out}: is a folder; name the model file to write in it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent}: cannot be made ({error.strerror})") from error
    if not os.access(out.parent, os.W_OK):
        raise OutputError(f"{out}: no permission to write there; name another place with --out")


def _model(
    model: str | Path,
    weights: str | None,
    classes: tuple[str, ...],
    *,
    memory: str | None,
    memory_options: dict[str, Any],
    fps: float,
    clip_frames: int,
    stride_frames: int,
    size: int | None,
    drop_path: float,
    seed: int,
) -> StreamClassifier:
    torch.manual_seed(seed)
    name = str(model)
    if name in BACKBONES:
        pixels = size or (64 if name == "swin3d_nano" else 224)
        net = create_model(
            name,
            classes=classes,
            memory=memory or "fam",
            fps=fps,
            clip_frames=clip_frames,
            stride_frames=stride_frames,
            height=pixels,
            width=pixels,
            drop_path=drop_path,
            checkpoint_activations=name != "swin3d_nano",
            **memory_options,
        )
        if weights == "kinetics400":
            load_backbone_weights(net, fetch_kinetics400(name))
        elif weights is not None:
            raise OptionError(f"weights must be 'kinetics400', got {weights!r}")
        return net
    if weights is not None:
        raise OptionError(f"{name}: a model file brings its own weights, --weights is for names")
    if not Path(name).exists() and Path(name).suffix == "":
        known = ", ".join(BACKBONES)
        raise OptionError(f"no backbone named {name!r}, and no such file; there are {known}")
    start = load_model(model)
    spec = dataclasses.replace(start.spec, classes=classes)
    if memory is not None or memory_options:
        spec = dataclasses.replace(
            spec, memory=memory or spec.memory, memory_options=memory_options
        )
    net = build_model(spec)
    fitting = {
        name: tensor
        for name, tensor in start.state_dict().items()
        if (tensor.shape == net.state_dict()[name].shape if name in net.state_dict() else False)
        and (start.classes == classes or not name.startswith("head."))
    }
    net.load_state_dict(fitting, strict=False)
    return net


def _card(
    model: StreamClassifier,
    recordings: list[Recording],
    validation: list[Recording],
    options: TrainOptions,
    *,
    started_from: str,
) -> dict[str, Any]:
    labels = np.concatenate([recording.labels for recording in recordings])
    hours = sum(float(r.end_seconds[-1] - r.start_seconds[0]) for r in recordings) / 3600
    counts = {name: int((labels == index).sum()) for index, name in enumerate(model.classes)}
    return {
        "trained_on": f"{len(recordings)} recordings, {hours:.2f} hours: "
        + ", ".join(recording.name for recording in recordings[:4])
        + (", ..." if len(recordings) > 4 else ""),
        "started_from": started_from,
        "clips": counts,
        "unscored_clips": int((labels < 0).sum()),
        "recordings": [recording.name for recording in recordings],
        "validation": [recording.name for recording in validation],
        "options": dataclasses.asdict(options),
    }
