"""Reads numbers and times as people write them: seconds, clocks, time codes, decimal commas."""

from __future__ import annotations

import math
import re
from pathlib import Path

from vigilia.errors import LabelError

__all__ = ["parse_number", "parse_seconds", "seconds_of"]


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
