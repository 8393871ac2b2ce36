"""`vigilia pretrain`: recordings that nobody labelled in, a backbone to start training from out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from vigilia.cli.pretrain_display import pretraining_shown
from vigilia.cli.show import output

__all__ = ["pretrain"]

MODEL = "The model"
COURSE = "The course"
MASKED = "With --method mae"
PAIRS = "With --method contrastive"
CHANGES = "Changes of the picture, each clip's own"
MACHINE = "The machine and the files"


def _option(panel: str, told: str, **more: Any) -> Any:
    return typer.Option(help=told, rich_help_panel=panel, **more)


def _number(panel: str, told: str, **limits: Any) -> Any:
    return _option(panel, told, metavar="N", **limits)


def pretrain(
    videos: Annotated[
        list[str],
        typer.Argument(metavar="VIDEO...", help="Files, folders of recordings, or patterns."),
    ],
    out: Annotated[Path, _option(MODEL, "The model file to write (.safetensors).")],
    method: Annotated[str, _option(COURSE, "mae or contrastive.")] = "mae",
    model: Annotated[
        str, _option(MODEL, "A backbone such as swin3d_nano, or a model file to go on from.")
    ] = "swin3d_nano",
    weights: Annotated[str | None, _option(MODEL, "kinetics400, with swin3d_t, _s, _b.")] = None,
    fps: Annotated[float, _number(MODEL, "Samples per second.", min=0.01)] = 4.0,
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
        float, _number(MODEL, "How much of what does not move is kept.", min=0, max=1)
    ] = 1.0,
    drop_path: Annotated[float, _number(MODEL, "Stochastic depth.", min=0, max=1)] = 0.0,
    epochs: Annotated[int, _number(COURSE, "Passes over all clips.", min=1)] = 50,
    rows: Annotated[int, _number(COURSE, "Clips, or pairs of them, of an update.", min=1)] = 16,
    steps: Annotated[
        int, _number(COURSE, "Streaming backbones: steps in a row that make a clip.", min=1)
    ] = 4,
    learning_rate: Annotated[float, _number(COURSE, "AdamW's, at its peak.")] = 0.001,
    weight_decay: Annotated[float, _number(COURSE, "Of weight matrices.", min=0)] = 0.05,
    seed: Annotated[int, _number(COURSE, "Of everything random.", min=0)] = 0,
    mask: Annotated[
        float, _number(MASKED, "Share of the picture that is hidden.", min=0, max=1)
    ] = 0.75,
    side: Annotated[
        int,
        _number(MASKED, "Side of a hidden square, pixels. [default: an eighth, or a patch]", min=0),
    ] = 0,
    decoder_dim: Annotated[int, _number(MASKED, "Width of the decoder.", min=24)] = 96,
    decoder_depth: Annotated[int, _number(MASKED, "Its blocks.", min=1)] = 2,
    near_seconds: Annotated[
        float, _number(PAIRS, "Clips of a pair end at most so far apart.")
    ] = 10.0,
    far_seconds: Annotated[
        float,
        _number(PAIRS, "Clips of one recording so far apart are different, too; 0 never.", min=0),
    ] = 0.0,
    temperature: Annotated[float, _number(PAIRS, "Of the softmax over similarities.")] = 0.1,
    mirror: Annotated[bool, _option(CHANGES, "Mirror at random.")] = True,
    quarter_turns: Annotated[
        bool, typer.Option("--quarter-turns", help="Turn at random.", rich_help_panel=CHANGES)
    ] = False,
    zoom: Annotated[float, _number(CHANGES, "Zoom and shift at random.", min=0, max=1)] = 0.3,
    brightness: Annotated[float, _number(CHANGES, "Change light at random.", min=0, max=1)] = 0.3,
    colour: Annotated[float, _number(CHANGES, "Change each colour at random.", min=0, max=1)] = 0.2,
    device: Annotated[str, _option(MACHINE, "cpu, cuda, cuda:1, mps.")] = "cpu",
    precision: Annotated[str, _option(MACHINE, "32, or bf16.")] = "32",
    cache: Annotated[
        Path | None, _option(MACHINE, "Folder for decoded frames. [default: OUT.frames]")
    ] = None,
    restart: Annotated[
        bool,
        typer.Option(
            "--restart",
            help="Forget an interrupted run instead of going on.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
) -> None:
    """Teach a backbone from recordings that nobody labelled.

    mae hides three quarters of the picture and predicts what was there; contrastive tells clips
    that are near in time from those of other recordings. OUT is no model to run yet: `vigilia train
    --model OUT` starts from it, with fam unless another memory is asked for. Killed and started
    again, it goes on where it was.

    Examples:

        vigilia pretrain barn/ --method mae --out barn.pre.safetensors

        vigilia train barn/night1.mp4 barn.csv --model barn.pre.safetensors --out sow.safetensors
    """
    from vigilia.errors import OptionError
    from vigilia.pretraining import PretrainOptions, pretrain_recordings

    if not 0 <= drop_path < 1:
        raise OptionError(f"drop_path must lie in 0..1, got {drop_path}")
    options = PretrainOptions(
        method=method,
        epochs=epochs,
        rows=rows,
        steps=steps,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        mask=mask,
        side=side,
        decoder_dim=decoder_dim,
        decoder_depth=decoder_depth,
        near_seconds=near_seconds,
        far_seconds=far_seconds,
        temperature=temperature,
        mirror=mirror,
        quarter_turns=quarter_turns,
        zoom=zoom,
        brightness=brightness,
        colour=colour,
        seed=seed,
    )
    began = time.monotonic()
    with pretraining_shown() as shown:
        history = pretrain_recordings(
            videos,
            out=out,
            options=options,
            model=model,
            weights=weights,
            fps=fps,
            clip_frames=clip_frames,
            stride_frames=stride_frames,
            size=size,
            background=background,
            drop_path=drop_path,
            device=device,
            precision=precision,
            cache=cache,
            restart=restart,
            on_frame=shown.on_frame,
            on_update=shown.on_update,
        )
    figures = ", ".join(
        f"{name} {value:.3f}" for name, value in history[-1].items() if name != "epoch"
    )
    output.print(
        f"{out}: {len(history)} epochs in {time.monotonic() - began:.0f} s, last {figures}; "
        f"go on with `vigilia train VIDEO... LABELS --model {out}`"
    )
