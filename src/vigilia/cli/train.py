"""`vigilia train`: one's own recordings and annotations in, a model file out."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from vigilia.cli.command_line import as_typed, whole_numbers
from vigilia.cli.event_options import event_training, for_events
from vigilia.cli.label_options import (
    EpochSeconds,
    LabelColumn,
    LabelFps,
    Recording,
    Scorer,
    Subject,
    warnings_as_lines,
)
from vigilia.cli.show import output
from vigilia.cli.train_display import training_shown

__all__ = ["train"]

DATA = "The recordings"
MODEL = "The model"
COURSE = "The course of training"
TEACHER = "A teacher"
BACKBONE = "The backbone"
CHANGES = "Changes of the picture, the same for a whole stretch"
MACHINE = "The machine and the files"
EVENTS = "Recordings of an event camera"


def _option(panel: str, told: str, *, flag: str | None = None, **more: Any) -> Any:
    names = [flag] if flag else []
    return typer.Option(*names, help=told, rich_help_panel=panel, **more)


def _number(panel: str, told: str, **limits: Any) -> Any:
    return _option(panel, told, metavar="N", **limits)


def train(
    context: typer.Context,
    videos: Annotated[
        list[str],
        typer.Argument(metavar="VIDEO...", help="Files, folders of recordings, or patterns."),
    ],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS",
            help="One file that names the videos, of any format; or a folder with a file called "
            "STEM.csv, STEM.eaf ... for each video.",
        ),
    ],
    out: Annotated[Path, _option(DATA, "The model file to write (.safetensors).")],
    model: Annotated[
        str,
        _option(
            MODEL,
            "A backbone such as swin3d_nano, a model file to start from; neuro_svt_nano, _ti, _s, "
            "_b for events.",
        ),
    ] = "swin3d_nano",
    weights: Annotated[str | None, _option(MODEL, "kinetics400, with swin3d_t, _s, _b.")] = None,
    incremental: Annotated[
        bool,
        _option(
            MODEL,
            "Take a clip model's file on into incremental mode, a quarter of the work.",
            flag="--incremental",
        ),
    ] = False,
    memory: Annotated[
        str | None,
        _option(MODEL, "fam, memvit, pilot, gru or none. [default: the model file's, or fam]"),
    ] = None,
    slots: Annotated[int | None, _number(MODEL, "Slots of fam and pilot.")] = None,
    summary_tokens: Annotated[int | None, _number(MODEL, "Tokens of a slot.")] = None,
    feedback_tokens: Annotated[int | None, _number(MODEL, "Feedback tokens of fam.")] = None,
    classes: Annotated[
        str | None,
        _option(DATA, "Comma-separated, in the order wanted. [default: those in the labels]"),
    ] = None,
    validation: Annotated[
        list[str] | None,
        _option(DATA, "A recording (its name or stem) to keep apart; may be repeated."),
    ] = None,
    label_fps: LabelFps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    fps: Annotated[
        float, _number(MODEL, "Samples per second; for events 30 bins.", min=0.01)
    ] = 4.0,
    clip_frames: Annotated[
        int | None,
        _number(MODEL, "Frames of a clip. [default: 32, incremental models 8]", min=2),
    ] = None,
    stride_frames: Annotated[
        int | None, _number(MODEL, "Frames between clips. [default: 8]", min=1)
    ] = None,
    size: Annotated[
        int | None, _number(MODEL, "Height and width. [default: 224, nano 64]", min=8)
    ] = None,
    background: Annotated[
        float,
        _number(
            MODEL,
            "How much of what does not move is kept: less than 1 for small models and cameras "
            "that stand still.",
            min=0,
            max=1,
        ),
    ] = 1.0,
    epochs: Annotated[int, _number(COURSE, "Passes over all clips.", min=1)] = 20,
    rows: Annotated[int, _number(COURSE, "Recordings side by side.", min=1)] = 4,
    chunk_clips: Annotated[
        int, _number(COURSE, "Clips through which gradient flows back; for events 32 bins.", min=1)
    ] = 8,
    carry_probability: Annotated[
        float, _number(COURSE, "Chance that a row plays on from chunk to chunk.", min=0, max=1)
    ] = 0.8,
    curriculum: Annotated[
        str | None,
        _option(
            COURSE, "Chunk clips that grow over the epochs, such as 8,16,32,64.", metavar="N,N,..."
        ),
    ] = None,
    curriculum_recent: Annotated[
        bool,
        _option(
            COURSE,
            "Until its last part, score only clips whose state began within a chunk.",
            flag="--curriculum-recent",
        ),
    ] = False,
    burn_in_clips: Annotated[
        int, _number(COURSE, "Clips without loss after a jump into a recording.", min=0)
    ] = 0,
    balance: Annotated[
        float, _number(COURSE, "Loss: 0 every clip the same, 1 every class the same.", min=0, max=1)
    ] = 0.5,
    balanced_sampling: Annotated[
        float,
        _number(COURSE, "Rows jump: 0 anywhere alike, 1 to every class as often.", min=0, max=1),
    ] = 0.0,
    learning_rate: Annotated[
        float, _number(COURSE, "AdamW's, at its peak; for events 0.002.")
    ] = 0.0003,
    weight_decay: Annotated[float, _number(COURSE, "Of weight matrices.", min=0)] = 0.05,
    clip_norm: Annotated[float, _number(COURSE, "Greatest norm of a gradient.")] = 1.0,
    label_smoothing: Annotated[
        float, _number(COURSE, "Share of the target spread over all classes.", min=0, max=1)
    ] = 0.0,
    coherence: Annotated[
        float,
        _number(COURSE, "Loss: answers to neighbouring clips lie close together.", min=0),
    ] = 0.0,
    slow_features: Annotated[
        float,
        _number(COURSE, "Loss: the same in units of how much each answer varies.", min=0),
    ] = 0.0,
    teacher: Annotated[
        str | None,
        _option(TEACHER, "A larger trained model: its file, or the name of a bundled one."),
    ] = None,
    teach: Annotated[
        float, _number(TEACHER, "Weight of what it says of each clip, labelled or not.", min=0)
    ] = 1.0,
    teach_memory: Annotated[
        float, _number(TEACHER, "Weight of which clips its memory reads alike.", min=0)
    ] = 1.0,
    teach_temperature: Annotated[
        float, _number(TEACHER, "Softens what both say before it is compared.")
    ] = 2.0,
    label_weight: Annotated[
        float, _number(TEACHER, "Weight of the labels beside it.", min=0)
    ] = 1.0,
    patience: Annotated[
        int,
        _number(
            COURSE, "Stop after so many epochs without a better validation figure; 0 never.", min=0
        ),
    ] = 0,
    metric: Annotated[
        str, _option(COURSE, "That figure: balanced_accuracy, accuracy or kappa.")
    ] = "balanced_accuracy",
    seed: Annotated[int, _number(COURSE, "Of everything random.", min=0)] = 0,
    freeze_backbone: Annotated[
        bool, _option(BACKBONE, "Train memory and head alone.", flag="--freeze-backbone")
    ] = False,
    frozen_stages: Annotated[
        int, _number(BACKBONE, "Leave the backbone's first N stages as they are.", min=0)
    ] = 0,
    backbone_rate: Annotated[
        float, _number(BACKBONE, "Factor on the backbone's learning rate.", min=0)
    ] = 1.0,
    cache_features: Annotated[
        bool,
        _option(
            BACKBONE,
            "See every clip once, then train memory and head alone: minutes on a CPU.",
            flag="--cache-features",
        ),
    ] = False,
    drop_path: Annotated[float, _number(BACKBONE, "Stochastic depth.", min=0, max=1)] = 0.0,
    mirror: Annotated[bool, _option(CHANGES, "Mirror recordings at random.")] = True,
    quarter_turns: Annotated[
        bool, _option(CHANGES, "Turn at random: for views from above.", flag="--quarter-turns")
    ] = False,
    zoom: Annotated[float, _number(CHANGES, "Zoom and shift at random.", min=0, max=1)] = 0.0,
    brightness: Annotated[float, _number(CHANGES, "Change light at random.", min=0, max=1)] = 0.1,
    temporal_jitter: Annotated[
        int, _number(CHANGES, "Show frames up to N samples late.", min=0)
    ] = 0,
    frame_drop: Annotated[float, _number(CHANGES, "Share of frames lost.", min=0, max=1)] = 0.0,
    tube_mask: Annotated[
        float, _number(CHANGES, "Share of the picture hidden for a whole stretch.", min=0, max=1)
    ] = 0.0,
    sound_drop: Annotated[
        float,
        _number(CHANGES, "Share of stretches in which nothing is heard.", min=0, max=1),
    ] = 0.1,
    feature_noise: Annotated[
        float,
        _number(CHANGES, "Noise on kept features, in standard deviations of each.", min=0),
    ] = 0.0,
    mixup: Annotated[
        float,
        _number(CHANGES, "Let a second recording shine through: shape of its Beta; 0 none.", min=0),
    ] = 0.0,
    cutmix: Annotated[
        float,
        _number(CHANGES, "Paste a box of a second recording: shape of its Beta; 0 none.", min=0),
    ] = 0.0,
    device: Annotated[str, _option(MACHINE, "cpu, cuda, cuda:1, mps.")] = "cpu",
    precision: Annotated[str, _option(MACHINE, "32, or bf16.")] = "32",
    accumulate: Annotated[
        int, _number(MACHINE, "Parts of the rows that run one after another.", min=1)
    ] = 1,
    checkpoint_activations: Annotated[
        bool,
        _option(MACHINE, "Half the memory for half more time.", flag="--checkpoint-activations"),
    ] = False,
    cache: Annotated[
        Path | None,
        _option(
            MACHINE, "Folder for decoded frames and features. [default: OUT.frames, OUT.features]"
        ),
    ] = None,
    longest_gap: Annotated[
        int, _number(EVENTS, "Hide up to N bins of a stretch, more as training goes on.", min=0)
    ] = 30,
    quiet: Annotated[
        float, _number(EVENTS, "Cost of spikes in bins that show nothing.", min=0)
    ] = 0.1,
    tensorboard: Annotated[
        Path | None, _option(MACHINE, "Folder for TensorBoard's curves.")
    ] = None,
    restart: Annotated[
        bool, _option(MACHINE, "Forget an interrupted run instead of going on.", flag="--restart")
    ] = False,
) -> None:
    """Train a model on annotated recordings.

    Each recording is streamed in order with its own memory, several side by side; gradient flows
    back through the memory. Killed and started again, training goes on where it was. Beside OUT
    lies its model card, OUT.card.md.

    Examples:

        vigilia train barn/*.mp4 barn.csv --out sow.safetensors --validation night3.mp4

        vigilia train videos/ labels/ --model swin3d_t --weights kinetics400 --cache-features
        --curriculum 8,16,32,64 --out cow.safetensors

        vigilia train barn/*.mp4 barn.csv --model swin3d_nano --teacher sow.safetensors --size 64
        --out small.safetensors

        vigilia train barn/*.mp4 barn.csv --model sow.safetensors --incremental --epochs 80
        --out live.safetensors

        vigilia train nights/*.raw nights.csv --model neuro_svt_ti --fps 30
        --out pen.safetensors
    """
    from vigilia.errors import OptionError
    from vigilia.timeline import LabelOptions
    from vigilia.training import TrainOptions, train_recordings
    from vigilia.training.event_start import train_event_recordings
    from vigilia.training.event_view import EventTeaching
    from vigilia.training.progress import tensorboard_curves
    from vigilia.training.sources import read_annotated
    from vigilia.training.worker import is_first

    wanted_labels = LabelOptions(label_fps, epoch_seconds, label_column, recording, subject, scorer)
    of_events = for_events(model)
    if of_events and teacher is not None:
        raise OptionError(
            "--teacher goes with models of video, not with one of events; leave it out"
        )
    if of_events:
        fps, chunk_clips, learning_rate = event_training(context)
    with warnings_as_lines():
        annotated = read_annotated(videos, labels, wanted_labels, **of_events)
    wanted = tuple(name.strip() for name in classes.split(",")) if classes else None
    options = TrainOptions(
        epochs=epochs,
        rows=rows,
        chunk_clips=chunk_clips,
        carry_probability=carry_probability,
        curriculum=whole_numbers("curriculum", curriculum),
        curriculum_recent=curriculum_recent,
        burn_in_clips=burn_in_clips,
        freeze_backbone=freeze_backbone,
        frozen_stages=frozen_stages,
        backbone_rate=backbone_rate,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        label_smoothing=label_smoothing,
        coherence=coherence,
        slow_features=slow_features,
        label_weight=label_weight,
        teach=teach,
        teach_memory=teach_memory,
        teach_temperature=teach_temperature,
        balance=balance,
        balanced_sampling=balanced_sampling,
        precision=precision,
        accumulate=accumulate,
        checkpoint_activations=checkpoint_activations,
        mirror=mirror,
        quarter_turns=quarter_turns,
        zoom=zoom,
        brightness=brightness,
        temporal_jitter=temporal_jitter,
        frame_drop=frame_drop,
        tube_mask=tube_mask,
        sound_drop=sound_drop,
        feature_noise=feature_noise,
        mixup=mixup,
        cutmix=cutmix,
        patience=patience,
        metric=metric,
        seed=seed,
    )
    memory_options = {
        name: value
        for name, value in (
            ("slots", slots),
            ("summary_tokens", summary_tokens),
            ("feedback_tokens", feedback_tokens),
        )
        if value is not None
    }
    if seed >= 2**63:
        raise OptionError(f"seed must lie below 2**63, got {seed}")
    if not 0 <= drop_path < 1:
        raise OptionError(f"drop_path must lie in 0..1, got {drop_path}")
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        curves = None
        if tensorboard is not None and is_first():
            curves = stack.enter_context(tensorboard_curves(tensorboard))
        shown = stack.enter_context(training_shown(metric, curves))
        common: dict[str, Any] = {
            "out": out,
            "options": options,
            "model": model,
            "memory": memory,
            "classes": wanted,
            "validation": tuple(validation or ()),
            "fps": fps,
            "size": size,
            "device": device,
            "cache": cache,
            "restart": restart,
            "command": as_typed(context),
            "on_frame": shown.on_frame,
            "on_update": shown.on_update,
        }
        if of_events:
            history = train_event_recordings(
                annotated,
                teaching=EventTeaching(longest_gap=longest_gap, quiet_weight=quiet),
                **common,
            )
        else:
            history = train_recordings(
                annotated,
                weights=weights,
                memory_options=memory_options,
                clip_frames=clip_frames,
                stride_frames=stride_frames,
                background=background,
                drop_path=drop_path,
                incremental=incremental,
                cache_features=cache_features,
                teacher=teacher,
                on_feature=shown.on_feature,
                **common,
            )
    if is_first():
        output.print(
            f"{out}: {len(history)} epochs in {time.monotonic() - began:.0f} s, "
            f"last loss {history[-1]['loss']:.3f}"
        )
