"""`vigilia run`: recordings in, timelines out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from vigilia.cli.label_options import (
    EpochSeconds,
    LabelColumn,
    LabelFps,
    Recording,
    Scorer,
    Subject,
)
from vigilia.cli.run_display import RecordingDisplay, print_report, summary_of
from vigilia.cli.run_familiar import appearance_watch, note_unfamiliar
from vigilia.cli.run_ray import run_spread
from vigilia.cli.run_truth import compare, read_truth
from vigilia.cli.show import errors, output, print_json, progress_bar

if TYPE_CHECKING:
    from vigilia.errors import VigiliaError
    from vigilia.export import ExportedStep
    from vigilia.running import Outcome
    from vigilia.spiking import NeuroSvt
    from vigilia.stream import StreamClassifier
    from vigilia.timeline import Timeline

__all__ = ["RunCommand", "run"]


class RunCommand(TyperCommand):
    """`--gate` may stand alone, behind the recordings."""

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Gives a `--gate` without a value its own."""
        told = []
        for index, word in enumerate(args):
            alone = index + 1 == len(args) or args[index + 1].startswith("-")
            told += ["--gate", "noise"] if word == "--gate" and alone else [word]
        return super().parse_args(ctx, told)


def run(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="A file, a folder of recorder chunks, a pattern, a camera (/dev/video0) or an "
            "address (rtsp://, http://).",
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            help="A model file, a bundled model (pen), a backbone such as swin3d_t, or an "
            "exported step (.onnx, .pt2). A model of events takes event files for VIDEO.",
        ),
    ] = "pen",
    weights: Annotated[
        str | None, typer.Option(help="With a backbone's name: kinetics400.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the timeline. [default: ./VIDEO.vigilia]"),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    fps: Annotated[
        float | None,
        typer.Option(metavar="N", min=0.01, help="Samples per second. [default: the model's]"),
    ] = None,
    clip_frames: Annotated[
        int | None,
        typer.Option(metavar="N", min=2, help="Frames of a clip. [default: the model's]"),
    ] = None,
    stride_frames: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Frames from clip to clip. [default: the model's]"),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="Of the backbone: float32, bfloat16, or auto for bfloat16 where the device has "
            "instructions for it."
        ),
    ] = "float32",
    runtime: Annotated[
        str | None,
        typer.Option(
            help="With an exported step: onnxruntime, openvino, torch. [default: by the file] "
            "With another model: compiled, by torch.compile."
        ),
    ] = None,
    smooth_seconds: Annotated[
        float,
        typer.Option(metavar="N", min=0, help="Time constant of the smoothing of probabilities."),
    ] = 0.0,
    hysteresis: Annotated[
        float,
        typer.Option(
            metavar="N", min=0, max=1, help="Lead in probability that a change of state takes."
        ),
    ] = 0.0,
    minimum_bout_seconds: Annotated[
        float, typer.Option("--min-bout", metavar="N", min=0, help="Shortest bout.")
    ] = 0.0,
    max_gap_seconds: Annotated[
        float,
        typer.Option(
            metavar="N", min=0, help="A longer time without a frame counts as unobserved."
        ),
    ] = 2.0,
    truth: Annotated[
        Path | None,
        typer.Option(help="Labels to draw above the result and to compare with (one VIDEO)."),
    ] = None,
    label_fps: LabelFps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    live: Annotated[bool, typer.Option("--live", help="Print each label as it comes.")] = False,
    gate: Annotated[
        str | None,
        typer.Option(
            "--gate",
            metavar="[GATE]",
            help="Skip steps where nothing happens, keep the last result. Without a value: where "
            "nothing moves beyond the camera's noise; svt: where a bundled spiking model sees "
            "nothing in simulated events; or a model of events of one's own, a file.",
        ),
    ] = None,
    gate_wakes: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Frames of a clip that must wake a spiking gate: more skip more. [default: 3]",
        ),
    ] = None,
    parallel: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Recordings open at once. [default: processors, 2 at least]"
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Recordings stepped together. [default: CPU 1, GPU up to 16]"
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the recordings over a Ray cluster: HOST:PORT, auto for the one of this "
            "machine, local to start one here. A folder then stands for all recordings in it.",
        ),
    ] = None,
    cpus_per_actor: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With --ray: processors of a worker; a machine gets as many workers as it has "
            "room for, with --device cuda one a GPU. [default: 1]",
        ),
    ] = None,
    ray_wait_seconds: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With --ray: give up if others have the machines for so long. [default: 600]",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an interrupted run instead of going on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> int:
    """Classify recordings, second by second.

    Writes timeline.csv, .json, .vtt and .png. Killed and started again, it goes on where it was.
    Several recordings run at once, and one that cannot be read does not stop the others.

    Examples:

        vigilia run barn.mp4 --model sow.safetensors --min-bout 10

        vigilia run night.mp4 --gate

        vigilia run night.mp4 --gate svt

        vigilia run street.mp4 --model swin3d_t --weights kinetics400 --live --fps 2

        vigilia run /archive/2026 --ray 10.0.0.1:6379 --device cuda --out /archive/results
    """
    from vigilia.errors import OptionError
    from vigilia.models import BUNDLED
    from vigilia.running import gate_named, name_of, run_many
    from vigilia.spiking import NeuroSvt
    from vigilia.timeline import LabelOptions

    if ray is not None:
        from vigilia.scale import recordings_in

        videos = recordings_in(videos)
    elif cpus_per_actor is not None:
        raise OptionError("--cpus-per-actor goes with --ray")
    elif ray_wait_seconds is not None:
        raise OptionError("--ray-wait-seconds goes with --ray")
    if truth is not None and len(videos) > 1:
        raise OptionError("--truth goes with one VIDEO, got several")
    told = LabelOptions(label_fps, epoch_seconds, label_column, recording, subject, scorer)
    if truth is None and told != LabelOptions():
        raise OptionError("options about labels go with --truth, which names their file")
    if gate is None and gate_wakes is not None:
        raise OptionError("--gate-wakes goes with --gate svt")
    folders = _folders(videos, out)
    # Over Ray this process only packs the model.
    here = device if ray is None else "cpu"
    classifier = _model(model, runtime, weights=weights, device=here)
    # Before the run, which may take a night, and not behind it.
    labels = None if truth is None else read_truth(truth, videos[0], classifier.classes, told)
    if model in BUNDLED:
        errors.print(f"note: model '{model}' knows {BUNDLED[model]}; --model names another")
    elif str(classifier.card.get("trained_on", "")).startswith("nothing"):
        errors.print(f"note: {model} without --weights has learned nothing; labels mean nothing")
    say = (errors.print if as_json else output.print) if live else None
    options: dict[str, Any] = {
        "model": classifier,
        "fps": fps,
        "clip_frames": clip_frames,
        "stride_frames": stride_frames,
        "precision": precision,
        "compiled": runtime == "compiled",
        "smooth_seconds": smooth_seconds,
        "hysteresis": hysteresis,
        "minimum_bout_seconds": minimum_bout_seconds,
        "max_gap_seconds": max_gap_seconds,
        "gate": None if gate is None else gate_named(gate, wakes=gate_wakes),
        "restart": restart,
    }
    with progress_bar("{task.fields[speed]}", "{task.fields[now]}") as bar:
        several = len(videos) > 1
        shown = [
            RecordingDisplay(
                bar, name, say=say, label=f"{name}  " if several else "", lines=ray is None
            )
            for name in map(name_of, videos)
        ]
        if ray is not None:
            outcomes = run_spread(
                videos,
                folders,
                model=model,
                runtime=runtime,
                bar=bar,
                shown=shown,
                loaded=options.pop("model"),
                address=ray,
                cpus_per_actor=cpus_per_actor or 1,
                wait_seconds=ray_wait_seconds or 600.0,
                device=device,
                batch=batch,
                parallel=parallel,
                **options,
            )
        elif several and isinstance(classifier, NeuroSvt):
            outcomes = [
                _run_one(video, folder, device, display, options)
                for video, folder, display in zip(videos, folders, shown, strict=True)
            ]
        elif several:
            outcomes = run_many(
                videos,
                outs=folders,
                device=device,
                batch=batch,
                parallel=parallel,
                on_update=lambda index, update: shown[index].update(update),
                on_done=lambda index, outcome: shown[index].finish(outcome.timeline),
                **options,
            )
        else:
            shown[0].begin()
            outcomes = [_run_one(videos[0], folders[0], device, shown[0], options)]
    failures: list[str] = []
    reports: list[dict[str, Any]] = []
    for outcome, folder, display in zip(outcomes, folders, shown, strict=True):
        timeline = outcome.timeline
        if timeline is not None:
            found = None if labels is None else compare(timeline, labels, folder)
            if as_json:
                reports.append(summary_of(timeline, folder, found, display if gate else None))
            else:
                print_report(timeline, folder, outcome.seconds, found, display if gate else None)
        if outcome.error is not None:
            rest = "" if timeline is None else f" (everything before is in {folder})"
            failures.append(f"{outcome.error}{rest}")
    if as_json and reports:
        print_json(reports if several else reports[0])
    for failure in failures:
        errors.print(f"error: {' '.join(failure.split())}")
    return 2 if failures else 0


def _model(
    model: str, runtime: str | None, *, weights: str | None, device: str
) -> StreamClassifier | ExportedStep | NeuroSvt:
    """What the name stands for."""
    from vigilia.errors import OptionError
    from vigilia.export import ExportedStep, is_exported
    from vigilia.models import resolve_model
    from vigilia.running.event_model import load_event_model

    if (of_events := load_event_model(model, device=device)) is not None:
        return of_events
    if is_exported(model):
        if weights is not None:
            raise OptionError(f"{model}: an exported step has its weights in the file")
        return ExportedStep(model, runtime=runtime)
    if runtime not in (None, "compiled"):
        raise OptionError(f"--runtime {runtime} goes with an exported step, .onnx or .pt2")
    return resolve_model(model, weights=weights, device=device)


def _run_one(
    video: str, folder: Path, device: str, shown: RecordingDisplay, options: dict[str, Any]
) -> Outcome:
    from vigilia.errors import BrokenVideoError, InputError, OptionError
    from vigilia.running import Outcome
    from vigilia.running import run as run_video

    began = time.monotonic()
    timeline: Timeline | None = None
    problem: VigiliaError | None = None
    watch = appearance_watch(options)
    try:
        timeline = run_video(
            video,
            out=folder,
            device=device,
            on_sample=None if watch is None else watch.take,
            on_update=shown.update,
            **options,
        )
    except BrokenVideoError as error:
        timeline, problem = error.timeline, error
    except OptionError:
        raise  # wrong for every recording
    except InputError as error:
        problem = error
    shown.finish(timeline)
    note_unfamiliar(watch)
    return Outcome(video, timeline, problem, time.monotonic() - began)


def _folders(videos: list[str], out: Path | None) -> list[Path]:
    """Where each video's timeline goes; no two go to the same place."""
    from vigilia.errors import OptionError
    from vigilia.running import name_of

    if out is not None and len(videos) == 1:
        return [out]
    folders = [out / name_of(one) if out else Path(f"{name_of(one)}.vigilia") for one in videos]
    for index, folder in enumerate(folders):
        if folder in folders[:index]:
            first = videos[folders.index(folder)]
            raise OptionError(
                f"{first} and {videos[index]} would both be written to {folder}; "
                "run them one by one, each with its own --out"
            )
    return folders
