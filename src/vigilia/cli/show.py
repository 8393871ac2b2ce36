"""What the commands print: times, progress bars, tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

__all__ = [
    "LINE_EVERY_SECONDS",
    "clock",
    "errors",
    "megabytes",
    "output",
    "print_json",
    "print_table",
    "progress_bar",
]

# No markup, no emoji: a file called "[night].mp4" or a label ":cat:" is printed as it is called.
output = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def clock(seconds: float) -> str:
    """3725.4 -> 1:02:05."""
    whole = int(max(0.0, seconds))
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def megabytes(count: int) -> str:
    """2_500_000 -> 2.5 MB."""
    return f"{count / 1e6:.1f} MB"


LINE_EVERY_SECONDS = 30.0
"""How often long work says how far it is where there is no terminal for a bar."""


def progress_bar(*columns: ProgressColumn | str) -> Progress:
    """A bar on standard error, so that standard output can be piped; it vanishes when done.

    Where standard error is no terminal there is none; long work prints a line now and then.
    """
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *(TextColumn(one, markup=False) if isinstance(one, str) else one for one in columns),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    )


WIDEST = 10_000
"""Columns of a table that goes to a file or a pipe, at most."""


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: first column to the left, the others to the right; cut to fit a terminal alone."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for index, column in enumerate(columns):
        table.add_column(column, justify="left" if index == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    if output.is_terminal:
        output.print(table)
        return
    natural = Measurement.get(output, output.options.update(max_width=WIDEST), table).maximum
    whole = Console(highlight=False, markup=False, emoji=False, width=max(natural, output.width))
    whole.print(table)


def print_json(value: Any) -> None:
    """The same for programs."""
    output.print_json(json.dumps(value))
