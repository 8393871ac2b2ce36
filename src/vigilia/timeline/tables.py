"""Reads tables, however the program that wrote them was set."""

from __future__ import annotations

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vigilia.errors import LabelError, MissingExtraError
from vigilia.installation import install_command
from vigilia.timeline.texts import read_bytes, read_text

__all__ = [
    "XLSX_START",
    "Row",
    "Table",
    "plain_name",
    "read_table",
    "refuse_two_kinds_of_decimals",
    "split_separator",
    "table_of",
]

XLSX_START = b"PK\x03\x04"
"""How a spreadsheet of Excel begins."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        number: the line of the file it ends on; the header is usually line 1.
        cells: as many as the header has.
        written: how many of them the file has; the others are empty.
    """

    number: int
    cells: tuple[str, ...]
    written: int = 0


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        path: the file.
        header: names of the columns as written.
        rows: those that are not blank.
        preamble: lines before the header, as cells.
        ended: whether the last line ends with a line break.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    preamble: tuple[tuple[str, ...], ...] = ()
    ended: bool = True

    @property
    def names(self) -> str:
        """The header for messages: its first columns."""
        shown = [name if len(name) <= 40 else f"{name[:40]} ..." for name in self.header[:12]]
        return ", ".join(shown) + (" ..." if len(self.header) > 12 else "")

    def find(self, *names: str) -> list[int]:
        """Columns whose name is one of `names`, ignoring case, spaces and brackets."""
        return [index for index, name in enumerate(self.header) if plain_name(name) in names]

    def first(self, *names: str) -> int | None:
        """The column of the first of `names` that the table has; None if it has none."""
        for name in names:
            if columns := self.find(name):
                return columns[0]
        return None

    def cell(self, row: Row, column: int | None) -> str:
        """What a row says in a column; empty where there is no such column."""
        return "" if column is None else row.cells[column]


def plain_name(name: str) -> str:
    """`Start (s)` -> `start_s`."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")


def refuse_two_kinds_of_decimals(table: Table, columns: Iterable[int | None]) -> None:
    """`1,234` beside `5.6` may be a thousand or one and a bit.

    Raises:
        LabelError: some of the columns have commas and points; the message names a row of each.
    """
    times = [column for column in columns if column is not None]
    seen: dict[str, int] = {}
    for row in table.rows:
        for column in times:
            if found := re.fullmatch(r"-?\d+([.,])\d*", row.cells[column]):
                seen.setdefault(found[1], row.number)
    if len(seen) == 2:
        raise LabelError(
            f"{table.path}, row {max(seen.values())}: a decimal "
            f"{'comma' if seen[','] > seen['.'] else 'point'}, but row {min(seen.values())} has a "
            f"decimal {'point' if seen[','] > seen['.'] else 'comma'}; use one of them"
        )


def read_table(path: str | Path) -> Table:
    """Reads a table with a header, separated by commas, semicolons or tabs, or an .xlsx sheet.

    Raises:
        LabelError: the file cannot be read, is empty, or a row is longer than the header.
        MissingExtraError: it is an .xlsx, and what reads those is not installed.
    """
    if read_bytes(path)[:4] == XLSX_START:
        return table_of(path, enumerate(_sheet(Path(path)), start=1))
    text, separator = split_separator(read_text(path))
    if not text.strip():
        raise LabelError(f"{path} is empty; a header and at least one row are needed")
    _refuse_open_quote(path, text, separator)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        table = table_of(path, ((reader.line_num, cells) for cells in reader))
    except csv.Error as error:
        raise LabelError(f"{path}, row {reader.line_num}: {error}") from error
    table = replace(table, ended=text.endswith(("\n", "\r")))
    if not table.ended and table.rows and table.rows[-1].written < len(table.header):
        last = table.rows[-1]
        raise LabelError(
            f"{path}, row {last.number}: the file ends after {last.written} of its "
            f"{len(table.header)} columns; half-written?"
        )
    return table


def split_separator(text: str) -> tuple[str, str]:
    """The table without the line `sep=;` that Excel writes, and what separates its cells."""
    if told := re.match(r"sep=([,;\t])[ ;,]*\r?\n", text, re.IGNORECASE):
        return "\n" + text[told.end() :], told[1]  # the other lines keep their numbers
    lines = text.lstrip("\r\n").splitlines()
    return text, max(",;\t", key=(lines[0] if lines else "").count)


def _refuse_open_quote(path: str | Path, text: str, separator: str) -> None:
    """A quote that is never closed would swallow all rows behind it into one cell."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    row = 0
    try:
        for _ in reader:
            row = reader.line_num
    except csv.Error as error:
        if "unexpected end" in str(error):
            raise LabelError(
                f"{path}, row {row + 1}: a quote is opened and never closed; half-written?"
            ) from error


def table_of(path: str | Path, numbered: Iterable[tuple[int, list[str]]]) -> Table:
    """Makes a table of numbered rows, of which the first is the header.

    A header further down is found where the first rows say `Observation id`, as in old exports of
    BORIS: it is the first row that names both a time and a behaviour.

    Raises:
        LabelError: a row is longer than the header.
    """
    header: tuple[str, ...] = ()
    preamble: list[tuple[str, ...]] = []
    rows: list[Row] = []
    for number, cells in numbered:
        if not any(cell.strip() for cell in cells):
            continue
        # A quoted cell may hold line breaks; names and messages are one line.
        stripped = tuple(" ".join(cell.strip().splitlines()) for cell in cells)
        if not header:
            names = {plain_name(cell) for cell in stripped}
            told = [cell for cell in stripped if cell]
            begins = plain_name(stripped[0]) == "observation_id" and len(told) == 2
            if (preamble or begins) and not {"time", "behavior"} <= names:
                preamble.append(stripped)
                continue
            header = stripped
            continue
        extra = stripped[len(header) :]
        if any(extra):
            raise LabelError(
                f"{path}, row {number}: {len(stripped)} cells under "
                f"{len(header)} columns; quote cells that hold the separator"
            )
        filled = stripped[: len(header)] + ("",) * (len(header) - len(stripped))
        rows.append(Row(number, filled, len(stripped)))
    if not header:
        raise LabelError(f"{path} has no header; its first rows should name time and behavior")
    return Table(Path(path), header, tuple(rows), tuple(preamble))


MOST_SHEET_BYTES = 64 * 2**20
"""Unpacked; a sheet of that size takes half a minute to read."""


def _sheet(path: Path) -> list[list[str]]:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: spreadsheets are read by openpyxl; {install_command('formats')}, or "
            "export the sheet as CSV"
        ) from error
    data = io.BytesIO(read_bytes(path))
    try:
        unpacked = sum(one.file_size for one in zipfile.ZipFile(data).infolist())
        if unpacked > MOST_SHEET_BYTES:
            raise LabelError(
                f"{path} holds {unpacked >> 20} MB unpacked, too much for annotations; save the "
                "sheet with the labels as CSV"
            )
        book = openpyxl.load_workbook(data, read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except (
        OSError,
        ValueError,
        KeyError,
        IndexError,
        EOFError,
        zlib.error,
        zipfile.BadZipFile,
    ) as error:
        raise LabelError(
            f"{path} is no .xlsx that can be read, or half-written; save it as CSV"
        ) from error
    width = max(map(len, rows), default=0)
    return [
        ["" if cell is None else str(cell) for cell in row] + [""] * (width - len(row))
        for row in rows
    ]
