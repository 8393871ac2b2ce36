"""`vigilia labels show|convert|check`: annotation files of every tool."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigilia.cli.show import clock, errors, output, print_json, print_table

if TYPE_CHECKING:
    from vigilia.timeline import Annotations, Problem

__all__ = ["labels"]

labels = typer.Typer(
    name="labels",
    help="Show, convert and check annotation files: CSV, BORIS, ELAN, DeepEthogram, EDF+, "
    "hypnograms, WebVTT, frame lists, ActivityNet.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The annotation file.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="FORMAT", help="Its format. [default: from what it holds]"),
]
Fps = Annotated[
    float | None,
    typer.Option(metavar="N", help="Frames a second, where a file counts frames."),
]
Epoch = Annotated[
    float | None,
    typer.Option(metavar="N", help="Seconds of an epoch, where a file is one code an epoch."),
]
Column = Annotated[
    str | None, typer.Option(metavar="NAME", help="The column of the label, if that is unclear.")
]
Recording = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Only this recording: its name, or its video's."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SHOWN_PROBLEMS = 20


@labels.command()
def show(
    file: File,
    from_: From = None,
    fps: Fps = None,
    epoch_seconds: Epoch = None,
    label_column: Column = None,
    recording: Recording = None,
    as_json: Json = False,
) -> None:
    """Summarise a file: recordings, subjects, scorers, and how much of each class.

    Examples:

        vigilia labels show project.boris

        vigilia labels show night.txt --epoch-seconds 30 --json
    """
    from vigilia.timeline.overview import overview

    kind, several = _read(file, from_, fps, epoch_seconds, label_column, recording)
    summaries = [dataclasses.asdict(track) for one in several for track in overview(one)]
    if as_json:
        print_json({"file": str(file), "format": kind, "tracks": summaries})
        return
    output.print(f"{file}: {kind}, {_count(len(several), 'recording')}")
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
            f"{clock(one['labelled_seconds'])} labelled, {_count(one['gaps'], 'gap')} of "
            f"{clock(one['gap_seconds'])}, {_count(one['overlaps'], 'overlap')}"
            + (f", {one['broken']} without a proper end" if one["broken"] else "")
        )


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
    epoch_seconds: Epoch = None,
    label_column: Column = None,
    recording: Recording = None,
    subject: Annotated[str | None, typer.Option(metavar="NAME", help="Only this subject.")] = None,
    scorer: Annotated[str | None, typer.Option(metavar="NAME", help="Only this scorer.")] = None,
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

    FORMAT is csv, boris, boris-tabular, boris-aggregated, elan, deepethogram, edf, bdf, hypnogram,
    frames, vtt or activitynet. What the format cannot hold is named in one line.

    Examples:

        vigilia labels convert barn.vigilia/timeline.json barn.boris --video barn.mp4

        vigilia labels convert project.boris tables/ --to csv

        vigilia labels convert night.edf night.csv --rename "Sleep stage W=wake"
    """
    from vigilia.errors import OptionError
    from vigilia.timeline.annotations import refuse_broken
    from vigilia.timeline.choosing import merged, renamed, selected
    from vigilia.timeline.formats import FORMATS, format_of_name, write_annotations

    out = Path(out_name)
    kind, several = _read(file, from_, fps, epoch_seconds, label_column, recording)
    if to is not None and to not in FORMATS:
        raise OptionError(f"there is no format '{to}'; choose one of {', '.join(FORMATS)}")
    if video is not None:
        several = [_of_this_video(several, video)]
    several = [selected(one, subject=subject, scorer=scorer) for one in several]
    if rename:
        names = _names(rename, several)
        several = [renamed(one, names) for one in several]
    for one in several:
        refuse_broken(one)
    if merge:
        several = [merged(one) for one in several]
    if out.exists() and file.exists() and out.samefile(file):
        raise OptionError(f"{out} is the file that is read; choose another name")

    def write(what: Annotations | list[Annotations], path: Path) -> tuple[str, ...]:
        return write_annotations(
            what, path, format=to, fps=fps, epoch_seconds=epoch_seconds, nrem=nrem
        )

    with _warnings_as_lines():
        if out.is_dir() or out_name.endswith(("/", "\\")):
            if to is None:
                raise OptionError(f"{out} is a folder; say the format with --to")
            out.mkdir(parents=True, exist_ok=True)
            paths = _paths(out, several, to)
            lost = {
                words
                for one, path in zip(several, paths, strict=True)
                for words in write(one, path)
            }
        else:
            paths = [out]
            lost = set(write(several if len(several) != 1 else several[0], out))
    events = sum(len(one.events) for one in several)
    output.print(
        f"{file} ({kind}) -> {out} ({to or format_of_name(out)}): "
        f"{_count(len(several), 'recording')}, {_count(events, 'event')}"
        + (f", {_count(len(paths), 'file')}" if len(paths) > 1 else "")
    )
    if lost:
        errors.print(f"not kept, because the format has no place for it: {'; '.join(sorted(lost))}")


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
    epoch_seconds: Epoch = None,
    label_column: Column = None,
    recording: Recording = None,
    as_json: Json = False,
) -> None:
    """Find overlaps, gaps, unknown classes, reversed or endless bouts, labels beyond the video.

    Exit code: 0 nothing found, 1 something found, 2 the file cannot be read.

    Examples:

        vigilia labels check barn.csv --video barn.mp4 --classes lying,standing,walking

        vigilia labels check project.boris --multi-label --json
    """
    from vigilia.timeline.problems import problems

    kind, several = _read(file, from_, fps, epoch_seconds, label_column, recording)
    length = None
    if video is not None:
        several = [_of_this_video(several, video)]
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
        output.print(f"{file} ({kind}): " + (_count(total, "problem") if total else "no problem"))
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


def _read(
    file: Path,
    format: str | None,
    fps: float | None,
    epoch_seconds: float | None,
    label_column: str | None,
    recording: str | None,
) -> tuple[str, list[Annotations]]:
    from vigilia.timeline.formats import detect, read_annotations
    from vigilia.timeline.reading import of_video

    with _warnings_as_lines():
        kind = detect(file) if format is None else format
        several = read_annotations(
            file,
            format=kind,
            fps=fps,
            epoch_seconds=epoch_seconds,
            label_column=label_column,
            check=False,
        )
    return kind, [of_video(several, recording)] if recording is not None else list(several)


def _of_this_video(several: list[Annotations], video: Path) -> Annotations:
    """The annotations of a video, with its name, length and frame rate."""
    from vigilia.timeline.reading import of_video
    from vigilia.video import probe

    one = several[0] if len(several) == 1 else of_video(tuple(several), video.name)
    about = probe(video)
    lengths = (about.duration_seconds,) if about.duration_seconds else ()
    return dataclasses.replace(
        one,
        media=(video.name,),
        media_seconds=lengths,
        duration_seconds=about.duration_seconds or one.duration_seconds,
        fps=about.frame_rate or one.fps,
    )


def _names(pairs: list[str], several: list[Annotations]) -> dict[str, str]:
    from vigilia.errors import OptionError

    known = list(dict.fromkeys(label for one in several for label in one.labels))
    names: dict[str, str] = {}
    for pair in pairs:
        old, sign, new = pair.partition("=")
        if not sign:
            raise OptionError(f"--rename {pair}: expected OLD=NEW")
        if old not in known:
            raise OptionError(
                f"--rename {pair}: no label '{old}'; there are {', '.join(known[:8])}"
            )
        names[old] = new
    return names


def _paths(folder: Path, several: list[Annotations], to: str) -> list[Path]:
    """A name of its own for each recording's file."""
    from vigilia.timeline.formats import FORMATS

    endings = {"boris-tabular": ".csv", "boris-aggregated": ".csv", "deepethogram": "_labels.csv"}
    suffixes = FORMATS[to].suffixes
    ending = suffixes[0] if suffixes else endings.get(to, ".txt")
    paths: list[Path] = []
    for one in several:
        name = Path(one.media[0]).stem if len(one.media) == 1 else one.title
        if any(other is not one and other.media == one.media for other in several):
            name = one.title
        plain = "".join(letter if letter.isalnum() or letter in " ._-#" else "_" for letter in name)
        path = folder / f"{plain}{ending}"
        number = 2
        while path in paths:
            path = folder / f"{plain} ({number}){ending}"
            number += 1
        paths.append(path)
    return paths


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity: what never ends has no end."""
    return {key: None if value == math.inf else value for key, value in values.items()}


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """What was read only with a doubt is said in a line on standard error."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(one.message) for one in said):
        errors.print(f"note: {text}")
