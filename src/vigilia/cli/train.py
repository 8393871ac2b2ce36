"""`vigilia train`: one's own recordings and annotations in, a model file out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import errors, output, progress_bar

__all__ = ["train"]


def train(
    videos: Annotated[
        list[str],
        typer.Argument(metavar="VIDEO...", help="Files, folders of recordings, or patterns."),
    ],
    labels: Annotated[
        Path,
        typer.Argument(
            metavar="LABELS.csv",
            help="One table with a video column; or a folder with one STEM.csv for each video.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The model file to write (.safetensors).")],
    model: Annotated[
        str, typer.Option(help="A backbone such as swin3d_nano, or a model file to start from.")
    ] = "swin3d_nano",
    weights: Annotated[str | None, typer.Option(help="kinetics400, with swin3d_t, _s, _b.")] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="fam, pilot, gru or none. [default: the model file's, or fam]"),
    ] = None,
    slots: Annotated[int | None, typer.Option(metavar="N", help="Slots of fam and pilot.")] = None,
    summary_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Tokens of a slot.")
    ] = None,
    feedback_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Feedback tokens of fam.")
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Comma-separated, in the order wanted. [default: those in the labels]"),
    ] = None,
    validation: Annotated[
        list[str] | None,
        typer.Option(help="A recording (its name or stem) to keep apart; may be repeated."),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Column of the label, if it is not called label or state.")
    ] = None,
    label_fps: Annotated[
        float | None, typer.Option(metavar="N", help="Frames a second, if the labels count frames.")
    ] = None,
    fps: Annotated[float, typer.Option(metavar="N", min=0.01, help="Samples per second.")] = 4.0,
    clip_frames: Annotated[int, typer.Option(metavar="N", min=2, help="Frames of a clip.")] = 32,
    stride_frames: Annotated[
        int, typer.Option(metavar="N", min=1, help="Frames between clips.")
    ] = 8,
    size: Annotated[
        int | None,
        typer.Option(metavar="N", min=8, help="Height and width. [default: 224, nano 64]"),
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Passes over all clips.")] = 20,
    rows: Annotated[int, typer.Option(metavar="N", min=1, help="Recordings side by side.")] = 4,
    chunk_clips: Annotated[
        int, typer.Option(metavar="N", min=1, help="Clips through which gradient flows back.")
    ] = 8,
    carry_probability: Annotated[
        float,
        typer.Option(
            metavar="N", min=0, max=1, help="Chance that a row plays on from chunk to chunk."
        ),
    ] = 0.8,
    freeze_backbone: Annotated[
        bool, typer.Option("--freeze-backbone", help="Train memory and head alone.")
    ] = False,
    learning_rate: Annotated[float, typer.Option(metavar="N", help="AdamW's, at its peak.")] = 3e-4,
    drop_path: Annotated[
        float, typer.Option(metavar="N", min=0, max=1, help="Stochastic depth.")
    ] = 0.0,
    mirror: Annotated[bool, typer.Option(help="Mirror recordings at random.")] = True,
    quarter_turns: Annotated[
        bool, typer.Option("--quarter-turns", help="Turn at random: for views from above.")
    ] = False,
    zoom: Annotated[
        float, typer.Option(metavar="N", min=0, max=1, help="Zoom and shift at random.")
    ] = 0.0,
    brightness: Annotated[
        float, typer.Option(metavar="N", min=0, max=1, help="Change light at random.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    cache: Annotated[
        Path | None,
        typer.Option(help="Folder for decoded frames. [default: OUT.frames]"),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an interrupted run instead of going on.")
    ] = False,
) -> None:
    """Train a model on annotated recordings.

    Each recording is streamed in order with its own memory, several side by side; gradient flows
    back through the memory. Killed and started again, training goes on where it was.

    Examples:

        vigilia train barn/*.mp4 barn.csv --out sow.safetensors --validation night3.mp4

        vigilia train videos/ labels/ --model swin3d_t --weights kinetics400 --out cow.safetensors
    """
    from vigilia.errors import OptionError
    from vigilia.training import TrainingUpdate, TrainOptions, train_recordings
    from vigilia.training.sources import read_annotated

    annotated = read_annotated(videos, labels, label_column=label_column, label_fps=label_fps)
    wanted = tuple(name.strip() for name in classes.split(",")) if classes else None
    options = TrainOptions(
        epochs=epochs,
        rows=rows,
        chunk_clips=chunk_clips,
        carry_probability=carry_probability,
        freeze_backbone=freeze_backbone,
        learning_rate=learning_rate,
        mirror=mirror,
        quarter_turns=quarter_turns,
        zoom=zoom,
        brightness=brightness,
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
    with progress_bar("{task.fields[figures]}") as bar:
        decoding = bar.add_task("decoding", total=None, figures="")
        training = bar.add_task("training", total=None, figures="", visible=False)

        def on_frame(name: str, seconds: float, duration: float | None) -> None:
            bar.update(decoding, description=name, completed=seconds, total=duration)

        def on_update(update: TrainingUpdate) -> None:
            bar.update(decoding, visible=False)
            bar.update(
                training,
                visible=True,
                completed=update.update,
                total=update.total,
                figures=f"epoch {update.epoch + 1}  loss {update.loss:.3f}",
            )
            if update.figures is not None:
                figures = update.figures
                errors.print(
                    f"epoch {update.epoch + 1}: validation accuracy {figures.accuracy:.3f}, "
                    f"balanced {figures.balanced_accuracy:.3f}, kappa {figures.kappa:.3f}"
                )

        history = train_recordings(
            annotated,
            out=out,
            options=options,
            model=model,
            weights=weights,
            memory=memory,
            memory_options=memory_options,
            classes=wanted,
            validation=tuple(validation or ()),
            fps=fps,
            clip_frames=clip_frames,
            stride_frames=stride_frames,
            size=size,
            drop_path=drop_path,
            device=device,
            cache=cache,
            restart=restart,
            on_frame=on_frame,
            on_update=on_update,
        )
    output.print(
        f"{out}: {len(history)} epochs in {time.monotonic() - began:.0f} s, "
        f"last loss {history[-1]['loss']:.3f}"
    )
