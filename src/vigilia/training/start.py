"""From annotated recordings to a trained model file: what `vigilia train` calls."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vigilia.backbones import BACKBONES
from vigilia.errors import LabelError, OptionError, OutputError
from vigilia.models import resolve_model, usable_device
from vigilia.preprocessing import Preprocessing
from vigilia.running import fingerprint
from vigilia.stream import StreamClassifier
from vigilia.timeline import check_labels
from vigilia.timeline.timeline import UNOBSERVED
from vigilia.training.building import build_for_training
from vigilia.training.card import describe_training
from vigilia.training.distilling import distilling_view
from vigilia.training.entrance import calibrate_memory, make_readable
from vigilia.training.feature_cache import cached_features, fingerprint_of_backbone
from vigilia.training.features import feature_view
from vigilia.training.knowing import write_known
from vigilia.training.loop import TrainingUpdate, train_model
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording, prepare_recording
from vigilia.training.seeing import SeenRecording
from vigilia.training.sound import with_sound
from vigilia.training.sources import Annotated, split_validation
from vigilia.training.stretch import View
from vigilia.training.worker import Worker, make_worker

__all__ = ["check_place", "train_recordings"]


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
    clip_frames: int | None = None,
    stride_frames: int | None = None,
    size: int | None = None,
    background: float = 1.0,
    drop_path: float = 0.0,
    incremental: bool = False,
    device: str = "cpu",
    cache: Path | None = None,
    cache_features: bool = False,
    teacher: str | Path | None = None,
    restart: bool = False,
    command: str | None = None,
    on_frame: Callable[[str, float, float | None], None] | None = None,
    on_feature: Callable[[str, int, int], None] | None = None,
    on_update: Callable[[TrainingUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Decodes the recordings, builds the model, trains it, writes it.

    Started several times by torchrun, the processes share the rows of every update.

    Args:
        annotated: recordings and labels, see `read_annotated`.
        out: the model file.
        options: how to train.
        model: a backbone's name, or a model file or bundled model to start from. It brings its
            preprocessing and backbone, its memory unless another is asked for, its head if the
            classes are the same.
        weights: "kinetics400" for a backbone that has them.
        memory: a key of `MEMORIES`; by default the model file's, or "fam".
        memory_options: options of that memory.
        classes: their order; by default those in the labels, sorted.
        validation: names of recordings to keep apart.
        fps: with a backbone's name: samples per second.
        clip_frames: likewise, T; by default 32, or what a streaming backbone takes.
        stride_frames: likewise, frames from one step to the next; by default 8, or the same.
        size: likewise, height and width.
        background: likewise, how much of what does not move is kept; see `Preprocessing`.
        drop_path: likewise, stochastic depth.
        incremental: with a model file of clip mode: go on in incremental mode with its weights.
        device: where to train.
        cache: folder for decoded frames and kept features; by default beside `out`.
        cache_features: let the backbone see every clip once, keep what it saw, and train memory
            and head on that alone. The backbone must have learned before; pictures are not changed.
        teacher: a model file, or a bundled model: it teaches beside the labels; see
            `vigilia.training.distilling`.
        restart: forget an interrupted run.
        command: what the user typed, for the model card.
        on_frame: called while decoding with the recording, seconds, and its duration if known.
        on_feature: called while the backbone sees, with the recording, clips done and all clips.
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
    check_place(out)
    if cache_features:
        options = _for_features(options, untrained=str(model) in BACKBONES and weights is None)
    worker = make_worker(usable_device(device), precision=options.precision, rows=options.rows)
    net, fresh_memory = build_for_training(
        model,
        weights,
        names,
        memory=memory,
        memory_options=dict(memory_options or {}),
        fps=fps,
        clip_frames=clip_frames,
        stride_frames=stride_frames,
        size=size,
        background=background,
        drop_path=drop_path,
        seed=options.seed,
        incremental=incremental,
    )
    net = net.to(worker.device)
    master = None if teacher is None else resolve_model(teacher)
    if cache_features:
        make_readable(net)

    folder = cache or out.with_name(out.name + ".frames")

    def prepared(one: Annotated, preprocessing: Preprocessing) -> Recording:
        def progress(seconds: float, duration: float | None) -> None:
            if on_frame is not None and worker.first:
                on_frame(one.video.name, seconds, duration)

        found = prepare_recording(
            one.video,
            one.labels,
            classes=names,
            preprocessing=preprocessing,
            cache=folder,
            on_frame=progress,
        )
        return with_sound(found, one.video, net, folder) if net.hears else found

    recordings, kept_apart = worker.in_turn(
        lambda: tuple([prepared(one, net.preprocessing) for one in part] for part in (learn, apart))
    )
    view: View | None = None
    validation_view = kept = None
    if cache_features:
        seen = _see(
            [*recordings, *kept_apart],
            net,
            cache or out.with_name(out.name + ".features"),
            worker,
            on_feature,
        )
        if fresh_memory:
            calibrate_memory(net, seen[: len(recordings)])
        kept = seen[: len(recordings)]
        view = feature_view(net, seen, options)
        validation_view = feature_view(net, seen[len(recordings) :])
    card = describe_training(
        net, recordings, kept_apart, options, started_from=str(weights or model)
    )
    if master is not None:
        view = distilling_view(
            net,
            master,
            recordings,
            worker.in_turn(lambda: [prepared(one, master.preprocessing) for one in learn]),
            options,
            identity=fingerprint(master),
            kept=kept,
            autocast=worker.autocast,
        )
        card |= {"teacher": f"{teacher}: {master.spec.name}, memory {master.spec.memory}"}
    history = train_model(
        net,
        recordings,
        options=options,
        out=out,
        validation=kept_apart,
        restart=restart,
        card=card,
        command=command,
        on_update=on_update,
        view=view,
        validation_view=validation_view,
        worker=worker,
    )
    if worker.first and not net.hears:
        write_known(out, recordings, device=worker.device)
    return history


def _for_features(options: TrainOptions, *, untrained: bool) -> TrainOptions:
    """The options of training on kept features: the backbone is frozen.

    Raises:
        OptionError: options that change what the backbone sees, or a backbone that knows nothing.
    """
    if untrained:
        raise OptionError(
            "kept features need a backbone that has learned; name a model file with --model, "
            "or --weights kinetics400"
        )
    for name in ("temporal_jitter", "frame_drop", "tube_mask", "mixup", "cutmix", "frozen_stages"):
        if getattr(options, name):
            raise OptionError(
                f"{name} must be 0 with kept features: the backbone sees every clip once, "
                f"as it is; got {getattr(options, name)}"
            )
    if options.precision != "32":
        raise OptionError(
            "precision must be 32 with kept features: bf16 is for the backbone, which does not run"
        )
    return dataclasses.replace(options, freeze_backbone=True)


def _see(
    recordings: Sequence[Recording],
    model: StreamClassifier,
    folder: Path,
    worker: Worker,
    on_feature: Callable[[str, int, int], None] | None,
) -> list[SeenRecording]:
    """What the backbone sees of all recordings; several processes share the work."""
    mark = fingerprint_of_backbone(model)

    def see(one: Recording) -> SeenRecording:
        def progress(done: int, total: int) -> None:
            if on_feature is not None and worker.first:
                on_feature(one.name, done, total)

        return cached_features(model, one, folder, backbone=mark, on_clip=progress)

    for one in recordings[worker.rank :: worker.size]:
        see(one)
    worker.wait()
    return [see(one) for one in recordings]


def check_place(out: Path) -> None:
    """Finds out before the training, not behind its first epoch, whether `out` can be written."""
    if out.is_dir():
        raise OptionError(f"{out}: is a folder; name the model file to write in it")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out.parent}: cannot be made ({error.strerror})") from error
    if not os.access(out.parent, os.W_OK):
        raise OutputError(f"{out}: no permission to write there; name another place with --out")
