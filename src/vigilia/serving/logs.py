"""Logs as one JSON object a line, for machines; or as plain lines, for people."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

__all__ = ["set_up_logs"]

_OWN = ("stream", "why")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {key: str(getattr(record, key)) for key in _OWN if getattr(record, key, "")}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class _Lines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        told = [str(getattr(record, key)) for key in _OWN if getattr(record, key, "")]
        text = " ".join([record.levelname.lower(), *told[:1], record.getMessage()])
        text = ": ".join([text, *told[1:]])
        return text + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def set_up_logs(*, text: bool) -> None:
    """Sends what the service and the web server say to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Lines() if text else _JsonLines())
    # PyAV hands FFmpeg's own messages on, and those name addresses with their passwords.
    logging.getLogger("libav").setLevel(logging.CRITICAL)
    for name in ("vigilia", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.setLevel(logging.INFO)
        logger.propagate = name == "uvicorn.error"
