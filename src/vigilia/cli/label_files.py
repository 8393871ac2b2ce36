"""What `vigilia labels` does with files: read them, and choose out of what they say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vigilia.cli.label_options import warnings_as_lines
from vigilia.cli.show import errors

if TYPE_CHECKING:
    from vigilia.timeline import Annotations, LabelOptions

__all__ = [
    "count",
    "end_if_refused",
    "new_names",
    "of_this_video",
    "read_file",
]


def read_file(
    file: Path, format: str | None, options: LabelOptions
) -> tuple[str, list[Annotations], list[str]]:
    """The format of a file, the recordings in it that are asked for, and why others are not here.

    Recordings without the subject or scorer that is asked for are only counted, in a line on
    standard error.

    Raises:
        LabelError: the file cannot be read, or nothing in it is what is asked for.
    """
    from vigilia.errors import LabelError
    from vigilia.timeline.choosing import selected
    from vigilia.timeline.formats import detect, read_annotations
    from vigilia.timeline.reading import of_video

    with warnings_as_lines():
        kind = detect(file) if format is None else format
        several = read_annotations(
            file,
            format=kind,
            fps=options.fps,
            epoch_seconds=options.epoch_seconds,
            label_column=options.label_column,
            check=False,
        )
    if options.recording is not None:
        several = (of_video(several, options.recording, scorer=options.scorer),)
    refused = [one.unreadable for one in several if one.unreadable]
    readable = [one for one in several if not one.unreadable]
    chosen, strangers = [], []
    for one in readable:
        try:
            chosen.append(selected(one, subject=options.subject, scorer=options.scorer))
        except LabelError as error:
            strangers.append(error)
    if strangers and not chosen:
        raise strangers[0]
    if strangers:
        asked = " by ".join(filter(None, (options.subject, options.scorer)))
        errors.print(f"note: {count(len(strangers), 'recording')} without {asked} left out")
    return kind, chosen, refused


def end_if_refused(refused: Sequence[str]) -> None:
    """Names what could not be used, a line each, and ends the command with exit code 2."""
    for message in refused:
        errors.print(f"error: {' '.join(message.split())}")
    if refused:
        raise typer.Exit(2)


def of_this_video(several: Sequence[Annotations], video: Path) -> Annotations:
    """The annotations of a video, with its name, length and frame rate.

    Raises:
        LabelError: none or several fit.
        VideoError: the video cannot be read.
    """
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


def new_names(pairs: Sequence[str], several: Sequence[Annotations]) -> dict[str, str]:
    """`OLD=NEW` of `--rename`, as new names by old ones.

    Raises:
        OptionError: it reads otherwise, or there is no such label.
    """
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


def count(number: int, what: str) -> str:
    """2, "file" -> 2 files."""
    return f"{number} {what}{'' if number == 1 else 's'}"
