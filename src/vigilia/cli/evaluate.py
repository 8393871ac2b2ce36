"""`vigilia evaluate`: timelines against annotations, one scorer's or several."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigilia.cli.label_options import (
    EpochSeconds,
    Fps,
    LabelColumn,
    Recording,
    Scorers,
    Subject,
    warnings_as_lines,
)
from vigilia.cli.show import output, print_json

if TYPE_CHECKING:
    from vigilia.timeline import LabelOptions

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
            help="A scorer's labels: a file, or a folder of files called like the recordings. "
            "Given several times, the truth is their consensus. Where a file names several "
            "scorers, NAME is the one.",
        ),
    ] = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]LABELS", help="Another scorer, compared but no part of the truth."
        ),
    ] = None,
    fps: Fps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorers = None,
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

        vigilia evaluate results/ study.csv --subject sow --scorer anna --scorer ben
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
    from vigilia.timeline import LabelOptions
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
    scorers = named_paths(beside or [], "beside")
    for path in (*truths.values(), *scorers.values()):
        if not path.exists():
            raise OptionError(f"{path} does not exist; it should hold what people scored")
    truths = _with_scorers(truths, scorer or [])
    told = LabelOptions(fps, epoch_seconds, label_column, recording, subject)
    options = _options_of_each(told, truths, scorers, scorer or [])
    predictions = find_predictions(timelines)
    if plot is not None and len(predictions) > 1:
        raise OptionError("--plot draws one TIMELINE; --report draws several")
    with warnings_as_lines():
        comparisons = pair(
            predictions,
            truths,
            scorers=scorers,
            animals=None if animals is None else read_animals(animals),
            step_seconds=step_seconds,
            options=options,
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
        with warnings_as_lines():
            first, *others = (
                (name, labels_of_predictions(path, predictions, options[name])[0])
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


def _with_scorers(truths: dict[str, Path], scorers: list[str]) -> dict[str, Path]:
    """Each of several `--scorer` becomes a truth of its own out of the one file of labels."""
    from vigilia.errors import OptionError

    for name in scorers:
        path = Path(name.partition("=")[2] or name)
        if path.exists():
            raise OptionError(
                f"--scorer {name} is a file, and --scorer names one of the scorers in LABELS; "
                "another scorer's file goes to --beside, or to --truth"
            )
        if scorers.count(name) > 1:
            raise OptionError(f"--scorer {name} is given twice")
    if len(scorers) < 2:
        return truths
    if len(truths) > 1:
        raise OptionError("several --scorer go with one LABELS; with several, name each one's file")
    (path,) = truths.values()
    return dict.fromkeys(scorers, path)


def _options_of_each(
    told: LabelOptions, truths: dict[str, Path], beside: dict[str, Path], scorers: list[str]
) -> dict[str, LabelOptions]:
    """What is asked of each scorer's file; `--scorer` chooses in the truth alone."""
    wanted = dict(zip(truths, scorers, strict=True)) if len(scorers) > 1 else {}
    one = scorers[0] if len(scorers) == 1 else None
    return {
        name: dataclasses.replace(told, scorer=wanted.get(name, one), person=name)
        for name in truths
    } | {name: dataclasses.replace(told, person=name) for name in beside}
