"""JSON as people bring it: half-written, or something else altogether."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vigilia.errors import LabelError

__all__ = ["parse_json"]


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
