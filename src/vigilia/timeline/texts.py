"""Reads text, however the program that wrote it was set, and tells what was cut short."""

from __future__ import annotations

import gzip
import io
import warnings
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from vigilia.errors import LabelError

__all__ = ["MOST_BYTES", "read_bytes", "read_text", "refuse_cut_label", "split_lines"]

MOST_BYTES = 256 * 2**20
"""A year of a label every second is 50 MB as a table. What is larger is a mistake, or a trap."""


def read_bytes(path: str | Path) -> bytes:
    """Reads a file, unpacked if it is packed with gzip.

    Raises:
        LabelError: it cannot be opened or unpacked, or is larger than `MOST_BYTES` unpacked.
    """
    try:
        with Path(path).open("rb") as file:
            data = _no_more_than_allowed(file, path)
    except OSError as error:
        raise LabelError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return _no_more_than_allowed(gzip.GzipFile(fileobj=io.BytesIO(data)), path)
    except (OSError, EOFError, zlib.error) as error:
        raise LabelError(f"{path} is packed with gzip and damaged, or half-written") from error


def _no_more_than_allowed(file: IO[bytes] | gzip.GzipFile, path: str | Path) -> bytes:
    data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise LabelError(
            f"{path} holds more than {MOST_BYTES >> 20} MB, too much for annotations; is it the "
            "right file? If it is, split it by recording"
        )
    return data


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


def split_lines(text: str) -> list[str]:
    """Lines as editors count them; other breaks of Unicode stay inside."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
