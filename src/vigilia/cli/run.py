"""`vigilia run`: recordings in, timelines out."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigilia.cli.label_options import (
    EpochSeconds,
    LabelColumn,
    LabelFps,
    Recording,
    Scorer,
    Subject,
    warnings_as_lines,
)
from vigilia.cli.show import LINE_EVERY_SECONDS, clock, errors, output, print_json, progress_bar

if TYPE_CHECKING:
    from vigilia.evaluation import Agreement
    from vigilia.timeline import LabelOptions, Labels, Segment, Timeline

__all__ = ["run"]


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
            help="A model file, a bundled model (pen), or a backbone such as swin3d_t.",
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
    restart: Annotated[
        bool, typer.Option("--restart", help="Forget an interrupted run instead of going on.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
) -> int:
    """Classify recordings, second by second.

    Writes timeline.csv, .json, .vtt and .png. Killed and started again, it goes on where it was.

    Examples:

        vigilia run barn.mp4 --model sow.safetensors --min-bout 10

        vigilia run street.mp4 --model swin3d_t --weights kinetics400 --live --fps 2
    """
    from vigilia.errors import BrokenVideoError, CheckpointError, OptionError, VideoError
    from vigilia.models import BUNDLED, resolve_model
    from vigilia.running import RunUpdate, name_of
    from vigilia.running import run as run_video
    from vigilia.timeline import LabelOptions

    if truth is not None and len(videos) > 1:
        raise OptionError("--truth goes with one VIDEO, got several")
    told = LabelOptions(label_fps, epoch_seconds, label_column, recording, subject, scorer)
    if truth is None and told != LabelOptions():
        raise OptionError("options about labels go with --truth, which names their file")
    folders = _folders(videos, out)
    classifier = resolve_model(model, weights=weights, device=device)
    # Before the run, which may take a night, and not behind it.
    labels = None if truth is None else _read_truth(truth, videos[0], classifier.classes, told)
    if model in BUNDLED:
        errors.print(f"note: model '{model}' knows {BUNDLED[model]}; --model names another")
    elif str(classifier.card.get("trained_on", "")).startswith("nothing"):
        errors.print(f"note: {model} without --weights has learned nothing; labels mean nothing")
    say = errors.print if as_json else output.print
    failures: list[str] = []
    reports: list[dict[str, Any]] = []
    for video, folder in zip(videos, folders, strict=True):
        began = time.monotonic()
        with progress_bar("{task.fields[speed]}", "{task.fields[now]}") as bar:
            task = bar.add_task(name_of(video), total=None, speed="", now="")

            told_until, told_at = -math.inf, began

            def show(update: RunUpdate) -> None:
                nonlocal told_until, told_at
                done = update.seconds - update.start_seconds
                fresh = update.steps - update.resumed_steps
                share = done * fresh / max(1, update.steps)
                speed = share / max(1e-6, time.monotonic() - began)  # noqa: B023
                now = update.now
                bar.update(
                    task,  # noqa: B023
                    completed=done,
                    total=update.duration_seconds,
                    speed=f"{clock(done)}  {speed:.0f}x real time",
                    now=f"{now.label or 'unobserved'} {now.confidence:.2f}" if now else "",
                )
                clock_now = time.monotonic()
                if not errors.is_terminal and clock_now - told_at > LINE_EVERY_SECONDS:
                    told_at = clock_now
                    errors.print(f"{name_of(video)}: {_far(done, speed, update.duration_seconds)}")  # noqa: B023
                if live:
                    for segment in update.closed:
                        say(_line(segment))
                        told_until = segment.end_seconds

            broken: BrokenVideoError | None = None
            try:
                timeline = run_video(
                    video,
                    model=classifier,
                    out=folder,
                    device=device,
                    fps=fps,
                    clip_frames=clip_frames,
                    stride_frames=stride_frames,
                    smooth_seconds=smooth_seconds,
                    hysteresis=hysteresis,
                    minimum_bout_seconds=minimum_bout_seconds,
                    max_gap_seconds=max_gap_seconds,
                    restart=restart,
                    on_update=show,
                )
            except BrokenVideoError as error:
                if error.timeline is None:
                    failures.append(str(error))
                    continue
                broken, timeline = error, error.timeline
            except (VideoError, CheckpointError) as error:
                # The other recordings of the night are not to blame.
                failures.append(str(error))
                continue
        if live:
            for segment in timeline.segments:
                if segment.start_seconds >= told_until:
                    say(_line(segment))
        found = None if labels is None else _compare(timeline, labels, folder)
        if as_json:
            reports.append(_summary(timeline, folder, found))
        else:
            _report(timeline, folder, time.monotonic() - began, found)
        if broken is not None:
            failures.append(f"{broken} (everything before is in {folder})")
    if as_json and reports:
        print_json(reports if len(videos) > 1 else reports[0])
    for failure in failures:
        errors.print(f"error: {' '.join(failure.split())}")
    return 2 if failures else 0


def _far(done: float, speed: float, duration: float | None) -> str:
    """How far a run is: seconds done, times real time, and the time left if the end is known."""
    told = f"{clock(done)}{f' of {clock(duration)}' if duration else ''}, {speed:.0f}x real time"
    if duration and speed > 0:
        told += f", {clock(max(0.0, duration - done) / speed)} left"
    return told


def _line(segment: Segment) -> str:
    return (
        f"{clock(segment.start_seconds)} - {clock(segment.end_seconds)}  "
        f"{segment.label or 'unobserved'}  {segment.confidence:.2f}"
    )


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


def _summary(timeline: Timeline, folder: Path, found: Agreement | None) -> dict[str, Any]:
    summary = timeline.summary()
    report: dict[str, Any] = {
        "source": timeline.source,
        "folder": str(folder),
        "seconds": timeline.duration_seconds,
        "segments": len(timeline.segments),
        "unobserved_seconds": summary.unobserved_seconds,
        "classes": {
            one.label: {"seconds": one.seconds, "share": one.share, "bouts": one.bouts}
            for one in summary.classes
            if one.bouts
        },
    }
    if found is not None:
        report["agreement"] = dataclasses.asdict(found)
    return report


def _report(timeline: Timeline, folder: Path, seconds: float, found: Agreement | None) -> None:
    summary = timeline.summary()
    output.print(
        f"{timeline.source}: {clock(timeline.duration_seconds)} in {seconds:.1f} s, "
        f"{len(timeline.segments)} segments -> {folder}"
    )
    for one in sorted(summary.classes, key=lambda one: -one.seconds)[:8]:
        if one.bouts:
            output.print(
                f"  {one.label:<20} {one.share:6.1%}  {one.bouts} bouts, "
                f"mean {one.mean_bout_seconds:.1f} s"
            )

    if found is not None:
        from vigilia.evaluation import format_agreement

        output.print(format_agreement(found))


def _read_truth(truth: Path, video: str, classes: tuple[str, ...], options: LabelOptions) -> Labels:
    from vigilia.timeline import check_labels, read_labels_of

    with warnings_as_lines():
        (labels,) = read_labels_of(truth, [Path(video).name], options)
    check_labels(labels, classes=classes)
    return labels


def _compare(timeline: Timeline, labels: Labels, folder: Path) -> Agreement:
    from vigilia.evaluation import agreement
    from vigilia.timeline import check_labels
    from vigilia.timeline.plots import plot_timeline

    # A recording that broke half-way has labels behind the break.
    if "broken_after_seconds" not in timeline.assumptions:
        check_labels(labels, duration_seconds=timeline.end_seconds)
    plot_timeline(timeline, folder / "timeline.png", truth=labels)
    return agreement(timeline, labels)
