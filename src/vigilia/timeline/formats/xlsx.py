"""Excel spreadsheets: the table of csv_writing.py on the first sheet, a summary on the second.

They are read as tables of CSV are. What looks like a formula is written as text, so that a label
such as `=A1` is a label and not a command.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError, MissingExtraError
from vigilia.installation import install_command
from vigilia.timeline.annotations import Annotations
from vigilia.timeline.formats import csv_table, csv_writing
from vigilia.timeline.formats.format import Format, Options
from vigilia.timeline.overview import overview

__all__ = ["XLSX", "write"]

NUMBERS = ("start_seconds", "end_seconds", "confidence")
"""Columns that are numbers to Excel; all others are text, also a label that is called `1`."""
MOST_ROWS = 1_048_576
FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]+")
SUMMARY = (
    *("recording", "subject", "scorer", "label", "bouts", "seconds", "share", "mean_seconds"),
    "points",
)


def write(several: Sequence[Annotations], options: Options) -> bytes:
    """Sheets `bouts` and `summary`.

    Raises:
        LabelError: there are more rows than Excel has.
        MissingExtraError: openpyxl is not installed.
    """
    path = several[0].path if several else Path("the annotations")
    openpyxl = _openpyxl(path)
    header, *rows = csv.reader(io.StringIO(csv_writing.write(several, options), newline=""))
    if len(rows) >= MOST_ROWS:
        raise LabelError(
            f"{path} has {len(rows)} events, and a sheet of Excel holds {MOST_ROWS - 1}; write CSV"
        )
    book = openpyxl.Workbook(write_only=True)
    numbers = {index for index, name in enumerate(header) if name in NUMBERS}
    bouts = book.create_sheet("bouts")
    bouts.freeze_panes = "A2"
    bouts.append(header)
    for row in rows:
        bouts.append(
            float(cell) if index in numbers and cell else _text(cell, bouts)
            for index, cell in enumerate(row)
        )
    summary = book.create_sheet("summary")
    summary.freeze_panes = "A2"
    summary.append(SUMMARY)
    for line in _summary(several):
        summary.append(_text(cell, summary) if isinstance(cell, str) else cell for cell in line)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def _summary(several: Sequence[Annotations]) -> Iterator[tuple[str | float | None, ...]]:
    for track in (track for recording in several for track in overview(recording)):
        for one in track.classes:
            mean = one.seconds / one.bouts if one.bouts else None
            who = (track.recording, track.subject, track.scorer, one.label)
            yield (*who, one.bouts, one.seconds, one.share, mean, one.points)


def _text(text: str, sheet: Any) -> Any:
    """A cell that Excel shows as it is written; nothing for an empty one."""
    from openpyxl.cell import WriteOnlyCell  # type: ignore[import-untyped]

    if not text:
        return None
    cell = WriteOnlyCell(sheet, FORBIDDEN.sub(" ", text))
    cell.data_type = "s"
    return cell


def _openpyxl(path: Path) -> Any:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: spreadsheets are written by openpyxl; {install_command('formats')}, or "
            "write CSV"
        ) from error
    return openpyxl


XLSX = Format(
    title="spreadsheet of Excel",
    suffixes=(".xlsx",),
    read=csv_table.read,
    write=write,
    keeps=csv_table.CSV.keeps,
    several=True,
)
