"""The options about label files, the same in every command that reads one."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from vigilia.cli.show import errors

__all__ = [
    "EpochSeconds",
    "Fps",
    "LabelColumn",
    "LabelFps",
    "Recording",
    "Scorer",
    "Scorers",
    "Subject",
    "warnings_as_lines",
]

PANEL = "The labels"


def _option(told: str, *flags: str, metavar: str = "NAME") -> Any:
    return typer.Option(*flags, help=told, metavar=metavar, rich_help_panel=PANEL)


FRAMES = "Frames a second, where a file counts frames."
Fps = Annotated[float | None, _option(FRAMES, "--label-fps", "--fps", metavar="N")]
LabelFps = Annotated[float | None, _option(FRAMES, "--label-fps", metavar="N")]
"""For commands in which `--fps` is how often the video is looked at."""
EpochSeconds = Annotated[
    float | None,
    _option(
        "Seconds of an epoch, where a file is one code an epoch.", "--epoch-seconds", metavar="N"
    ),
]
LabelColumn = Annotated[
    str | None, _option("The column of the label, if that is unclear.", "--label-column")
]
Recording = Annotated[
    str | None, _option("Only this recording: its name, or its video's.", "--recording")
]
Subject = Annotated[
    str | None,
    _option("Only this subject; 'No focal subject' for what names none.", "--subject"),
]
ONE_SCORER = "Only this scorer."
Scorer = Annotated[str | None, _option(ONE_SCORER, "--scorer")]
Scorers = Annotated[
    list[str] | None,
    _option(f"{ONE_SCORER} Given several times, the truth is their consensus.", "--scorer"),
]


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """What was read only with a doubt is said in a line on standard error."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys(str(one.message) for one in said):
        errors.print(f"note: {text}")
