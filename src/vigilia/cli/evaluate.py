"""`vigilia evaluate`: timelines against annotations, one scorer's or several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import output, print_json

__all__ = ["evaluate"]


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="TIMELINE... [LABELS]",
            help="Timelines (.json, .csv, .vtt), or folders that `vigilia run` wrote; LABELS, what "
            "people scored, comes last unless --truth names it.",
        ),
    ],
    truth: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]LABELS",
            help="A scorer's labels: a table, or a folder of tables called like the recordings. "
            "Given several times, the truth is their consensus.",
        ),
    ] = None,
    scorer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]LABELS", help="Another scorer, compared but no part of the truth."
        ),
    ] = None,
    step_seconds: Annotated[
        float, typer.Option(metavar="N", min=0.001, help="Length of a scored cell, in seconds.")
    ] = 1.0,
    epoch: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=0.001,
            help="Length of an epoch for sleep and scorers, such as 30. [default: a cell]",
        ),
    ] = None,
    sleep: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help='States of sleep, such as "wake=W; nrem=N1,N2,N3; rem=R", or "none". '
            "[default: by their names]",
        ),
    ] = None,
    background: Annotated[
        list[str] | None,
        typer.Option(metavar="LABEL", help="A class that is nothing: no bouts, not in mAP."),
    ] = None,
    animals: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE.csv",
            help="Two columns, recording and animal; animals are resampled, not recordings.",
        ),
    ] = None,
    resamples: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, max=100_000, help="For the 95 % intervals; 0 for no intervals."
        ),
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the resampling.")] = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="OUT.html", help="Write one page with everything.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw truth and timeline into this .png or .svg (one TIMELINE)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare timelines with annotations: agreement, bouts, scores, sleep, scorers.

    Examples:

        vigilia evaluate barn.vigilia/timeline.json barn.csv --plot barn.png

        vigilia evaluate results/ --truth anna=anna/ --truth ben=ben/ --epoch 30 --report out.html
    """
    from vigilia.errors import OptionError
    from vigilia.evaluation import evaluate as evaluate_recordings
    from vigilia.evaluation import format_evaluation, write_report
    from vigilia.evaluation.pairing import (
        find_predictions,
        labels_of_predictions,
        named_paths,
        pair,
        read_animals,
    )
    from vigilia.evaluation.sleep_states import parse_sleep_states
    from vigilia.timeline.plots import plot_timeline

    timelines = list(paths)
    if truth:
        truths = named_paths(truth, "truth")
    elif len(timelines) < 2:
        raise OptionError(
            f"what is {timelines[0]} compared with? give LABELS behind it, or --truth"
        )
    else:
        truths = {"truth": timelines.pop()}
    scorers = named_paths(scorer or [], "scorer")
    for path in (*truths.values(), *scorers.values()):
        if not path.exists():
            raise OptionError(f"{path} does not exist; it should hold what people scored")
    predictions = find_predictions(timelines)
    if plot is not None and len(predictions) > 1:
        raise OptionError("--plot draws one TIMELINE; --report draws several")
    comparisons = pair(
        predictions,
        truths,
        scorers=scorers,
        animals=None if animals is None else read_animals(animals),
        step_seconds=step_seconds,
    )
    states = None
    if sleep is not None:
        classes = list(dict.fromkeys(label for one in comparisons for label in one.classes))
        states = {} if sleep.strip() in ("", "none") else parse_sleep_states(sleep, classes)
    result = evaluate_recordings(
        comparisons,
        background=background or (),
        sleep=states,
        epoch_seconds=epoch,
        resamples=resamples,
        seed=seed,
    )
    if plot is not None:
        first, *others = (
            (name, labels_of_predictions(path, predictions)[0])
            for name, path in {**truths, **scorers}.items()
        )
        plot_timeline(predictions[0].timeline, plot, truth=first[1], extra=dict(others))
    if report is not None:
        title = f"Evaluation of {predictions[0].name}"
        if len(predictions) > 1:
            title += f" and {len(predictions) - 1} more"
        write_report(result, comparisons, report, title=title)
    if as_json:
        print_json(result.to_dict())
        return
    output.print(format_evaluation(result))
