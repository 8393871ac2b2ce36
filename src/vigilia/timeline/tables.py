"""Reads a table of text, however the spreadsheet that wrote it was set."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from vigilia.errors import LabelError

__all__ = ["Row", "Table", "parse_number", "parse_seconds", "read_table", "read_text"]


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        number: the line of the file it ends on; the header is usually line 1.
        cells: as many as the header has.
    """

    number: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        path: the file.
        header: names of the columns as written.
        rows: those that are not blank.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[Row, ...]

    def find(self, *names: str) -> list[int]:
        """Columns whose name is one of `names`, ignoring case, spaces and brackets."""
        return [index for index, name in enumerate(self.header) if plain_name(name) in names]


def plain_name(name: str) -> str:
    """`Start (s)` -> `start_s`."""
    return re.sub(r"\W+", "_", name.strip().lower()).strip("_")


def read_text(path: str | Path) -> str:
    """Reads UTF-8 (with or without mark), UTF-16 with mark, else Latin-1.

    Raises:
        LabelError: the file cannot be opened or is not text.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LabelError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    if "\0" in text:
        raise LabelError(f"{path} is not a text file; export the annotations as CSV")
    return text


def read_table(path: str | Path) -> Table:
    """Reads a table with a header, separated by commas, semicolons or tabs.

    Raises:
        LabelError: the file cannot be read, is empty, or a row is longer than the header.
    """
    text = read_text(path)
    lines = text.lstrip("\r\n").splitlines()
    if not lines or not lines[0].strip():
        raise LabelError(f"{path} is empty; a header and at least one row are needed")
    separator = max(",;\t", key=lines[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    header: tuple[str, ...] = ()
    rows: list[Row] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            # A quoted cell may hold line breaks; names and messages are one line.
            stripped = tuple(" ".join(cell.strip().splitlines()) for cell in cells)
            if not header:
                header = stripped
                continue
            extra = stripped[len(header) :]
            if any(extra):
                raise LabelError(
                    f"{path}, row {reader.line_num}: {len(stripped)} cells under "
                    f"{len(header)} columns; quote cells that hold the separator"
                )
            padded = stripped[: len(header)] + ("",) * (len(header) - len(stripped))
            rows.append(Row(reader.line_num, padded))
    except csv.Error as error:
        raise LabelError(f"{path}, row {reader.line_num}: {error}") from error
    return Table(Path(path), header, tuple(rows))


def parse_number(text: str, path: Path, row: int, column: str) -> float:
    """Reads a finite number; a decimal comma is understood.

    Raises:
        LabelError: it is none.
    """
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise LabelError(f"{path}, row {row}: {column} is '{text}', which is not a number")
    return value


def parse_seconds(text: str, path: Path, row: int, column: str) -> float:
    """Reads seconds, or a clock of the form `1:02:03.5` or `02:03.5`.

    Raises:
        LabelError: it is neither.
    """
    clock = re.fullmatch(r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2}(?:[.,]\d*)?)", text)
    if clock is None:
        return parse_number(text, path, row, column)
    hours, minutes, seconds = clock.groups(default="0")
    # Rounded, so that a clock gives the very number that was written as one.
    return round(int(hours) * 3600 + int(minutes) * 60 + float(seconds.replace(",", ".")), 6)
