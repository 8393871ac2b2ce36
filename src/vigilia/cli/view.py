"""`vigilia view`: a finished recording in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

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
from vigilia.cli.show import output

__all__ = ["view"]


def view(
    video: Annotated[
        Path, typer.Argument(metavar="VIDEO", help="The recording: a file, or a folder of chunks.")
    ],
    timeline: Annotated[
        Path,
        typer.Argument(
            metavar="TIMELINE",
            help="What `run` wrote: its folder, or timeline.json, .csv or .vtt; .json has scores.",
        ),
    ],
    truth: Annotated[Path | None, typer.Option(help="Labels to show beside the result.")] = None,
    label_fps: LabelFps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    corrections: Annotated[
        Path | None,
        typer.Option(
            help="File for your corrections, a .csv. [default: beside TIMELINE, .corrections.csv]"
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0 takes a free one.")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address.")
    ] = False,
) -> None:
    """Look at a recording with its timeline, and correct it.

    Opens a page in the browser, which only this machine reaches. Corrections are written at once,
    as a table that `train` and `labels` read.

    Example:

        vigilia view barn.mp4 barn.vigilia --truth barn.csv
    """
    from vigilia.serving.view import create_view_app, serve_view
    from vigilia.serving.view_corrections import CorrectionFile
    from vigilia.serving.view_guard import loopback_socket
    from vigilia.serving.view_recording import ViewedRecording
    from vigilia.timeline import LabelOptions, Timeline, read_labels_of
    from vigilia.video import find_videos

    find_videos(video)  # says at once that there is none
    if timeline.is_dir():
        timeline = timeline / "timeline.json"
    found = Timeline.read(timeline)
    labels = None
    if truth is not None:
        options = LabelOptions(label_fps, epoch_seconds, label_column, recording, subject, scorer)
        with warnings_as_lines():
            (labels,) = read_labels_of(truth, [video.name], options)
    path = corrections or timeline.with_name(f"{timeline.stem}.corrections.csv")
    viewed = ViewedRecording(video, found, CorrectionFile(path, found, video.name), labels)
    listening = loopback_socket(port)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/"

    def ready() -> None:
        output.print(f"{address}  (Ctrl+C ends; corrections go to {path})")
        if not no_browser:
            webbrowser.open(address)

    serve_view(create_view_app(viewed), listening, on_ready=ready)
