"""JSON as people bring it: half-written, or something else altogether."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError
from vigilia.timeline.times import seconds_of

__all__ = ["json_seconds", "parse_json"]


def parse_json(text: str, path: Path) -> Any:
    """Reads JSON.

    Raises:
        LabelError: it is none; the message names the row.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        half = error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string")
        raise LabelError(
            f"{path}, row {error.lineno}: not valid JSON ({error.msg})"
            + ("; the file is half-written" if half else "")
        ) from error
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path} is not valid JSON: {error}") from error


def json_seconds(value: Any, where: str, fps: float | None = None) -> float:
    """Reads a time: a number, or a text that says one as people write it in tables.

    Args:
        value: what the file says.
        where: file and row, for messages.
        fps: frames a second, for a time code that ends in frames.

    Raises:
        LabelError: it is no time.
    """
    if isinstance(value, str):
        return seconds_of(value.strip(), where, "the time", fps=fps)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LabelError(f"{where}: the time is {value}, which is not a number")
    return float(value)
