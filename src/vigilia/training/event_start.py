"""From annotated recordings of an event camera to a model file: `vigilia train --model neuro_svt`.

The course, its options, its checkpoints and its card are those of video; see `loop.py`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from vigilia.errors import LabelError, OptionError
from vigilia.models import usable_device
from vigilia.running.event_model import load_event_model
from vigilia.spiking import SPIKING_MEMORIES, SPIKING_SIZES, NeuroSvt, create_spiking_model
from vigilia.timeline import check_labels
from vigilia.training.card import describe_training
from vigilia.training.event_recordings import prepare_event_recording
from vigilia.training.event_view import EventTeaching, EventView
from vigilia.training.loop import TrainingUpdate, train_model
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.sources import Annotated, split_validation
from vigilia.training.worker import make_worker

__all__ = ["EVENT_DEFAULTS", "train_event_recordings"]

EVENT_DEFAULTS: Mapping[str, Any] = {"fps": 30.0, "chunk_clips": 32, "learning_rate": 2e-3}
"""What suits bins where an option of video training was not given."""

FOR_VIDEO = (
    "freeze_backbone",
    "frozen_stages",
    "backbone_rate",
    "checkpoint_activations",
    "quarter_turns",
    "zoom",
    "temporal_jitter",
    "frame_drop",
    "tube_mask",
    "feature_noise",
    "mixup",
    "cutmix",
)


def train_event_recordings(
    annotated: Sequence[Annotated],
    *,
    out: Path,
    options: TrainOptions,
    teaching: EventTeaching | None = None,
    model: str | Path = "neuro_svt_nano",
    memory: str | None = None,
    classes: tuple[str, ...] | None = None,
    validation: Sequence[str] = (),
    fps: float = 30.0,
    size: int | None = None,
    device: str = "cpu",
    cache: Path | None = None,
    restart: bool = False,
    command: str | None = None,
    on_frame: Callable[[str, float, float | None], None] | None = None,
    on_update: Callable[[TrainingUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Bins the recordings, builds the model, trains it, writes it.

    Args:
        annotated: event files and labels, see `read_annotated`.
        out: the model file.
        options: how to train; a clip is a bin.
        teaching: what is added to the loss of labels; its mirror and seed are those of `options`.
        model: a key of `SPIKING_SIZES`, or a model file of events to start from, which brings its
            size, its bins and its classes.
        memory: with a name: a key of `SPIKING_MEMORIES`; by default "event".
        classes: their order; by default those in the labels, sorted.
        validation: names of recordings to keep apart.
        fps: with a name: bins a second.
        size: likewise, height and width; by default 32 for nano and 128 for the others.
        device: where to train.
        cache: folder for bins; by default beside `out`.
        restart: forget an interrupted run.
        command: what the user typed, for the model card.
        on_frame: called while binning with the recording, seconds, and None.
        on_update: called after every update.

    Returns:
        One entry per epoch.

    Raises:
        VigiliaError: see `prepare_event_recording` and `train_model`.
    """
    usual = TrainOptions()
    for name in FOR_VIDEO:
        if getattr(options, name) != getattr(usual, name):
            raise OptionError(f"{name} is for video; {model} is trained on events")
    if options.precision != "32":
        raise OptionError(f"precision must be 32 for events, got {options.precision!r}")
    teaching = dataclasses.replace(
        teaching or EventTeaching(), mirror=options.mirror, seed=options.seed
    )
    names = classes or tuple(sorted({label for one in annotated for label in one.labels.classes}))
    if not names:
        raise LabelError(
            f"{annotated[0].labels.path}: nothing is labelled, so nothing can be learned"
        )
    learn, apart = split_validation(annotated, validation)
    for one in annotated:
        check_labels(one.labels, classes=names)
    worker = make_worker(usable_device(device), rows=options.rows)
    if worker.size > 1:
        raise OptionError("events are trained on in one process; start it without torchrun")
    net = _build(model, names, memory, fps, size, options.seed).to(worker.device)

    def prepared(one: Annotated) -> Recording:
        def progress(seconds: float, duration: float | None) -> None:
            if on_frame is not None:
                on_frame(one.video.name, seconds, duration)

        folder = cache or out.with_name(out.name + ".bins")
        return prepare_event_recording(
            one.video, one.labels, spec=net.spec, cache=folder, on_frame=progress
        )

    recordings, kept_apart = [prepared(one) for one in learn], [prepared(one) for one in apart]
    card = describe_training(net, recordings, kept_apart, options, started_from=str(model))
    return train_model(
        net,
        recordings,
        options=options,
        out=out,
        validation=kept_apart,
        restart=restart,
        card={**card, "teaching": dataclasses.asdict(teaching)},
        command=command,
        on_update=on_update,
        view=EventView(net, recordings, teaching),
        validation_view=EventView(net, kept_apart),
        worker=worker,
    )


def _build(
    model: str | Path,
    classes: tuple[str, ...],
    memory: str | None,
    fps: float,
    size: int | None,
    seed: int,
) -> NeuroSvt:
    torch.manual_seed(seed)
    if str(model) in SPIKING_SIZES:
        if not 0 < fps < float("inf"):
            raise OptionError(f"fps must be a positive number, got {fps}")
        pixels = size or (32 if str(model).endswith("nano") else 128)
        preset = memory or "event"
        if preset not in SPIKING_MEMORIES:
            raise OptionError(
                f"{model} has no memory named {preset!r}; there are {', '.join(SPIKING_MEMORIES)}"
            )
        return create_spiking_model(
            str(model),
            classes=classes,
            memory=preset,
            height=pixels,
            width=pixels,
            bin_seconds=1 / fps,
            objects=0,  # labels tell no places
        )
    net = load_event_model(model)
    assert net is not None, "callers ask for a model of events"
    if memory is not None or size is not None:
        raise OptionError(f"{model}: a model file brings its own memory and size")
    if net.classes != classes:
        raise OptionError(
            f"{model}: knows {', '.join(net.classes)}, the labels have {', '.join(classes)}; "
            "name the same classes with --classes"
        )
    return net
