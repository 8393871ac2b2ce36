"""`vigilia labels show|convert|check`: annotation files of every tool."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigilia.cli.label_files import (
    count,
    end_if_refused,
    new_names,
    of_this_video,
    read_file,
)
from vigilia.cli.label_options import (
    EpochSeconds,
    Fps,
    LabelColumn,
    Recording,
    Scorer,
    Subject,
    warnings_as_lines,
)
from vigilia.cli.label_writing import write_file, write_folder
from vigilia.cli.show import clock, errors, output, print_json, print_table

if TYPE_CHECKING:
    from vigilia.timeline import Annotations, Problem

__all__ = ["labels"]

labels = typer.Typer(
    name="labels",
    help="Show, convert and check annotation files: CSV, BORIS, ELAN, DeepEthogram, EDF+, "
    "hypnograms, YASA, WebVTT, frame lists, FERAL, Label Studio, NWB, Excel, ActivityNet.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The annotation file.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="FORMAT", help="Its format. [default: from what it holds]"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHOWN_PROBLEMS = 20


@labels.command()
def show(
    file: File,
    from_: From = None,
    fps: Fps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    as_json: Json = False,
) -> None:
    """Summarise a file: recordings, subjects, scorers, and how much of each class.

    Examples:

        vigilia labels show project.boris

        vigilia labels show night.txt --epoch-seconds 30 --json
    """
    from vigilia.timeline import LabelOptions
    from vigilia.timeline.overview import overview

    options = LabelOptions(fps, epoch_seconds, label_column, recording, subject, scorer)
    kind, several, refused = read_file(file, from_, options)
    summaries = [dataclasses.asdict(track) for one in several for track in overview(one)]
    if as_json:
        print_json({"file": str(file), "format": kind, "tracks": summaries})
        end_if_refused(refused)
        return
    if several:
        output.print(f"{file}: {kind}, {count(len(several), 'recording')}")
    for one in summaries:
        who = [f"subject {one['subject']}"] if one["subject"] else []
        who += [f"scorer {one['scorer']}"] if one["scorer"] else []
        length = "" if one["duration_seconds"] is None else f", {clock(one['duration_seconds'])}"
        print_table(
            ", ".join([one["recording"] + length, *who]),
            ["class", "bouts", "time", "%", "mean s", "points"],
            [
                [
                    row["label"],
                    f"{row['bouts']}",
                    clock(row["seconds"]),
                    f"{row['share']:.1%}",
                    f"{row['seconds'] / row['bouts']:.1f}" if row["bouts"] else "-",
                    f"{row['points']}",
                ]
                for row in one["classes"]
            ],
        )
        output.print(
            f"{clock(one['labelled_seconds'])} labelled, {count(one['gaps'], 'gap')} of "
            f"{clock(one['gap_seconds'])}, {count(one['overlaps'], 'overlap')}"
            + (f", {one['broken']} without a proper end" if one["broken"] else "")
        )
    end_if_refused(refused)


@labels.command()
def convert(
    file: File,
    out_name: Annotated[
        str, typer.Argument(metavar="OUT", help="File to write, or a folder/: a file a recording.")
    ],
    from_: From = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="FORMAT", help="Format to write. [default: from the ending of OUT]"),
    ] = None,
    fps: Fps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NEW", help="Another name for a label; OLD=unobserved drops it. Repeatable."
        ),
    ] = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Make one of bouts of a label that overlap or touch.")
    ] = False,
    video: Annotated[
        Path | None,
        typer.Option(help="The video: its name, length and frame rate go into the file."),
    ] = None,
    nrem: Annotated[
        str, typer.Option(metavar="TEXT", help="What EDF+ is to call NREM that is not staged.")
    ] = "Sleep stage NREM",
) -> None:
    """Convert annotations, or a timeline.json of `vigilia run`, into another tool's format.

    FORMAT is csv, xlsx, boris, boris-tabular, boris-aggregated, elan, deepethogram, edf, bdf,
    hypnogram, yasa, yasa-table, frames, feral, label-studio, nwb, vtt or activitynet. What the
    format cannot hold is named in one line. A recording that
    cannot be used is named in one line, too; the others are converted, and the exit code is 2.

    Examples:

        vigilia labels convert barn.vigilia/timeline.json barn.boris --video barn.mp4

        vigilia labels convert project.boris tables/ --to csv

        vigilia labels convert night.edf night.csv --rename "Sleep stage W=wake"
    """
    from vigilia.errors import LabelError, OptionError
    from vigilia.timeline import LabelOptions
    from vigilia.timeline.annotations import refuse_broken
    from vigilia.timeline.choosing import merged, renamed
    from vigilia.timeline.formats import FORMATS, format_of_name

    out = Path(out_name)
    options = LabelOptions(fps, epoch_seconds, label_column, recording, subject, scorer)
    kind, several, refused = read_file(file, from_, options)
    if to is not None and to not in FORMATS:
        raise OptionError(f"there is no format '{to}'; choose one of {', '.join(FORMATS)}")
    if video is not None:
        end_if_refused(refused if not several else ())
        several = [of_this_video(several, video)]
    names = new_names(rename or (), several) if several else {}
    good: list[Annotations] = []
    for one in several:
        changed = renamed(one, names) if names else one
        try:
            refuse_broken(changed)
        except LabelError as error:
            refused.append(str(error))
        else:
            good.append(merged(changed) if merge else changed)
    if not good:
        end_if_refused(refused or [f"{file} holds no recording"])
    if out.exists() and file.exists() and out.samefile(file):
        raise OptionError(f"{out} is the file that is read; choose another name")
    told: dict[str, Any] = {"fps": fps, "epoch_seconds": epoch_seconds, "nrem": nrem}
    with warnings_as_lines():
        if not (out.is_dir() or out_name.endswith(("/", "\\"))):
            written = write_file(good, out, format=to, **told)
        elif to is None:
            raise OptionError(f"{out} is a folder; say the format with --to")
        else:
            written = write_folder(good, out, to, **told)
    refused += written.refused
    if written.recordings:
        events = sum(len(one.events) for one in written.recordings)
        files = f", {count(written.files, 'file')}" if written.files > 1 else ""
        output.print(
            f"{file} ({kind}) -> {out} ({to or format_of_name(out)}): "
            f"{count(len(written.recordings), 'recording')}, {count(events, 'event')}{files}"
        )
    if written.lost:
        lost = "; ".join(sorted(written.lost))
        errors.print(f"not kept, because the format has no place for it: {lost}")
    end_if_refused(refused)


@labels.command()
def check(
    file: File,
    video: Annotated[
        Path | None, typer.Option(help="The video: finds labels beyond its end.")
    ] = None,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B,C", help="The labels that may occur.")
    ] = None,
    multi_label: Annotated[
        bool,
        typer.Option("--multi-label", help="Behaviours may go on at once; pauses are no gaps."),
    ] = False,
    from_: From = None,
    fps: Fps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    as_json: Json = False,
) -> None:
    """Find overlaps, gaps, unknown classes, reversed or endless bouts, labels beyond the video.

    Exit code: 0 nothing found, 1 something found, 2 the file cannot be read.

    Examples:

        vigilia labels check barn.csv --video barn.mp4 --classes lying,standing,walking

        vigilia labels check project.boris --multi-label --json
    """
    from vigilia.timeline import LabelOptions
    from vigilia.timeline.problems import problems

    options = LabelOptions(fps, epoch_seconds, label_column, recording, subject, scorer)
    kind, several, refused = read_file(file, from_, options)
    length = None
    if video is not None:
        end_if_refused(refused if not several else ())
        several = [of_this_video(several, video)]
        length = several[0].duration_seconds
    known = [one.strip() for one in classes.split(",")] if classes is not None else None
    found = [
        (one, problems(one, classes=known, duration_seconds=length, multi_label=multi_label))
        for one in several
    ]
    total = sum(len(of_one) for _, of_one in found)
    if as_json:
        print_json(
            {
                "file": str(file),
                "format": kind,
                "problems": [
                    {"recording": one.title} | _finite(dataclasses.asdict(problem))
                    for one, of_one in found
                    for problem in of_one
                ],
            }
        )
    else:
        for one, of_one in found:
            _print_problems(one, of_one, several)
        if several:
            found_all = count(total, "problem") if total else "no problem"
            output.print(f"{file} ({kind}): {found_all}")
    end_if_refused(refused)
    if total:
        raise typer.Exit(1)


def _print_problems(
    annotations: Annotations, found: tuple[Problem, ...], several: list[Annotations]
) -> None:
    if found and len(several) > 1:
        output.print(f"{annotations.title}:")
    by_kind: dict[str, list[Problem]] = {}
    for problem in found:
        by_kind.setdefault(problem.kind, []).append(problem)
    for kind, of_kind in by_kind.items():
        for problem in of_kind[:SHOWN_PROBLEMS]:
            rows = " and ".join(map(str, problem.rows))
            where = f"row {rows}: " if rows else ""
            output.print(f"  {kind}: {where}{problem.message}")
        if len(of_kind) > SHOWN_PROBLEMS:
            output.print(f"  {kind}: {len(of_kind) - SHOWN_PROBLEMS} more; --json lists all")


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what never ends has no end."""
    return {key: None if value == math.inf else value for key, value in values.items()}
