"""What the service says by itself: server-sent events at `/api/v1/events`, webhooks and MQTT.

`schema.py` has the conventions. `event: reset`, without data: some were missed, ask again.
"""

from __future__ import annotations

from typing import Literal

# Pydantic, which checks the answers, takes these from there only, up to Python 3.11.
from typing_extensions import TypedDict

from vigilia.serving.schema import Status

__all__ = ["CorrectionEvent", "LabelEvent", "StatusEvent"]


class LabelEvent(TypedDict):
    """`event: label`, after every result, when it is on the disk. `changed`: another label."""

    stream: str
    label: str | None
    confidence: float | None
    since_seconds: float
    start_seconds: float
    position_seconds: float
    lag_seconds: float
    changed: bool


class StatusEvent(TypedDict):
    """`event: status`; also for streams that were added (None before) or removed."""

    stream: str
    status: Status | Literal["removed"]
    problem: str


class CorrectionEvent(TypedDict):
    """`event: correction`, after one was written or taken back."""

    stream: str
    id: int
    removed: bool
