"""Reads text and tables, however the program that wrote them was set."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vigilia.errors import LabelError, MissingExtraError

__all__ = [
    "Row",
    "Table",
    "parse_number",
    "parse_seconds",
    "plain_name",
    "read_bytes",
    "read_table",
    "read_text",
    "refuse_cut_label",
    "refuse_two_kinds_of_decimals",
    "seconds_of",
    "split_lines",
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


def read_bytes(path: str | Path) -> bytes:
    """Reads a file, unpacked if it is packed with gzip.

    Raises:
        LabelError: it cannot be opened or unpacked.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise LabelError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise LabelError(f"{path} is packed with gzip and damaged, or half-written") from error


def read_text(path: str | Path) -> str:
    """Reads UTF-8, UTF-16 (both with or without mark), else Windows-1252 with a warning.

    Raises:
        LabelError: the file cannot be opened, is not text, or is none of these.
    """
    data = read_bytes(path)
    if wide := _wide_encoding(data):
        try:
            return data.decode(wide).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = data[: error.start].decode(wide, "ignore").count("\n") + 1
            raise LabelError(
                f"{path}, row {line}: not valid UTF-16, which the file begins as; half-written?"
            ) from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if error.reason == "unexpected end of data" and error.end >= len(data):
            line = data.count(b"\n") + 1
            raise LabelError(f"{path}, row {line}: ends in half a letter; half-written?") from error
        text = _old_text(data, path)
    if "\0" in text:
        raise LabelError(f"{path} is not a text file; export the annotations as CSV, in UTF-8")
    return text


def _wide_encoding(data: bytes) -> str | None:
    """Which UTF-16 this is: by its mark, else because every other byte is zero, as of letters."""
    for mark, name in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return name
    first, second = data[0:2000:2], data[1:2000:2]
    for zeros, letters, name in ((second, first, "utf-16-le"), (first, second, "utf-16-be")):
        if zeros and zeros.count(0) > 0.9 * len(zeros) and 0 not in letters:
            return name
    return None


def _old_text(data: bytes, path: str | Path) -> str:
    if b"\0" in data:
        raise LabelError(f"{path} is not a text file; export the annotations as CSV, in UTF-8")
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise LabelError(
            f"{path}, row {line}: a letter is neither UTF-8 nor Windows-1252; "
            "save the file as UTF-8"
        ) from error
    line, odd = next(
        (number, row) for number, row in enumerate(text.splitlines(), 1) if not row.isascii()
    )
    warnings.warn(
        f"{path} is not UTF-8 and was read as Windows-1252; if '{odd.strip()[:60]}' in row "
        f"{line} looks wrong, save the file as UTF-8",
        stacklevel=3,
    )
    return text


def refuse_cut_label(label: str, others: Iterable[str], path: str | Path, row: int) -> None:
    """Refuses the last label of a file that ends without a line break, if it looks cut short.

    Raises:
        LabelError: it is how another label begins, and does not occur elsewhere.
    """
    known = set(others)
    whole = next((one for one in sorted(known) if one != label and one.startswith(label)), None)
    if label and label not in known and whole is not None:
        raise LabelError(
            f"{path}, row {row}: the file ends after '{label}', which may be what is left of "
            f"'{whole}'; half-written? If it is whole, end it with a line break"
        )


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


def split_lines(text: str) -> list[str]:
    """Lines as editors count them; other breaks of Unicode stay inside."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


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


def _sheet(path: Path) -> list[list[str]]:
    try:
        import openpyxl  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: spreadsheets are read by openpyxl; pip install 'vigilia[formats]', or "
            "export the sheet as CSV"
        ) from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(read_bytes(path)), read_only=True, data_only=True)
        rows = list(book.worksheets[0].iter_rows(values_only=True))
        book.close()
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise LabelError(
            f"{path} is no .xlsx that can be read, or half-written; save it as CSV"
        ) from error
    width = max(map(len, rows), default=0)
    return [
        ["" if cell is None else str(cell) for cell in row] + [""] * (width - len(row))
        for row in rows
    ]


def parse_number(text: str, path: Path, row: int, column: str) -> float:
    """Reads a finite number; a decimal comma is understood.

    Raises:
        LabelError: it is none.
    """
    return _number_of(text, f"{path}, row {row}", column)


def _number_of(text: str, where: str, column: str) -> float:
    try:
        value = float(text.replace(",", ".") if text.count(",") == 1 else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or "_" in text:
        raise LabelError(f"{where}: {column} is '{text}', which is not a number")
    return value


def parse_seconds(
    text: str, path: Path, row: int, column: str, *, fps: float | None = None
) -> float:
    """Reads seconds, or a clock of the form `1:02:03.5` or `02:03.5`, or `01:02:03:12` in frames.

    Args:
        text: the cell.
        path: for messages.
        row: for messages.
        column: for messages.
        fps: frames a second, needed for a time code that ends in frames.

    Raises:
        LabelError: it is none of these.
    """
    return seconds_of(text, f"{path}, row {row}", column, fps=fps)


def seconds_of(text: str, where: str, column: str, *, fps: float | None = None) -> float:
    """`parse_seconds` for files whose rows are not lines: `where` names the file and the row."""
    code = re.fullmatch(r"(\d{1,6}):(\d{1,2}):(\d{1,2})[:;](\d{1,3})", text)
    if code is not None:
        if fps is None:
            raise LabelError(
                f"{where}: {column} is '{text}', a time code that ends in frames; "
                "give the fps (--label-fps)"
            )
        hours, minutes, seconds, frames = map(int, code.groups())
        if minutes > 59 or seconds > 59 or frames >= math.ceil(fps):
            raise LabelError(f"{where}: {column} is '{text}', which no clock shows")
        return hours * 3600 + minutes * 60 + seconds + frames / fps
    clock = re.fullmatch(r"(-?)(?:(\d{1,6}):)?(\d{1,4}):(\d{1,2}(?:[.,]\d*)?)", text)
    if clock is None:
        if re.match(r"\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4}", text):
            raise LabelError(
                f"{where}: {column} is '{text}', a date; times must count from the "
                "start of the recording"
            )
        return _number_of(text, where, column)
    sign, hour, minute, second = clock.groups(default="0")
    value = float(second.replace(",", "."))
    if value >= 60 or (clock[2] is not None and int(minute) > 59):
        raise LabelError(f"{where}: {column} is '{text}', which no clock shows")
    # Rounded, so that a clock gives the very number that was written as one.
    seconds_all = round(int(hour) * 3600 + int(minute) * 60 + value, 6)
    return -seconds_all if sign == "-" else seconds_all
