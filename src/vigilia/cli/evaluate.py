"""`vigilia evaluate`: a timeline against annotations."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import output, print_json

__all__ = ["evaluate"]


def evaluate(
    timeline: Annotated[Path, typer.Argument(help="A timeline: .json, .csv or .vtt.")],
    labels: Annotated[Path, typer.Argument(metavar="LABELS.csv", help="What people scored.")],
    step_seconds: Annotated[
        float, typer.Option(metavar="N", min=0.001, help="Length of a scored cell, in seconds.")
    ] = 1.0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw truth and timeline into this .png or .svg.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare a timeline with annotations: accuracy, balanced accuracy, kappa, every class.

    Example:

        vigilia evaluate barn.vigilia/timeline.json barn.csv --plot barn.png
    """
    from vigilia.evaluation import agreement, format_agreement
    from vigilia.timeline import Timeline, check_labels, read_labels
    from vigilia.timeline.plots import plot_timeline

    result_of = Timeline.read(timeline)
    truth = read_labels(labels, video=result_of.source or None)
    if timeline.suffix.lower() != ".json":
        # Tables and subtitles name only the classes that occurred, not all the model knows.
        known = (
            *result_of.classes,
            *(one for one in truth.classes if one not in result_of.classes),
        )
        result_of = dataclasses.replace(result_of, classes=known, scores=None)
    check_labels(truth, classes=result_of.classes, duration_seconds=result_of.end_seconds)
    result = agreement(result_of, truth, step_seconds=step_seconds)
    if plot is not None:
        plot_timeline(result_of, plot, truth=truth)
    if as_json:
        print_json(dataclasses.asdict(result))
        return
    output.print(format_agreement(result))
