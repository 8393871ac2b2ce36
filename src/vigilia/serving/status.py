"""The status of a stream: set in one place, told to the log and to everybody, without passwords."""

from __future__ import annotations

import logging
from typing import Any

from vigilia.serving.cameras import Watch
from vigilia.serving.hub import Hub
from vigilia.serving.schema import Status
from vigilia.serving.watched import Watched, scrubbed

__all__ = ["report", "set_status", "status_event"]

log = logging.getLogger("vigilia.serving")


def set_status(hub: Hub, watched: Watched, status: Status, problem: str) -> None:
    """Sets it, and tells if it is another."""
    problem = scrubbed(problem, watched.options)
    if (status, problem) == (watched.status, watched.problem):
        return
    watched.status, watched.problem = status, problem
    level = logging.WARNING if status in ("failed", "reconnecting") else logging.INFO
    log.log(level, "stream %s", status, extra={"stream": watched.name, "why": problem})
    hub.publish("status", status_event(watched))


def report(hub: Hub, watched: Watched, watch: Watch, status: Status, problem: str) -> None:
    """What the thread of a stream says; one of an earlier run, on its way out, is not heard."""
    if watched.watch is not watch or watch.stopped.is_set():
        return
    if status == "reconnecting":
        watched.reconnects += 1
    set_status(hub, watched, status, problem)


def status_event(watched: Watched) -> dict[str, Any]:
    """The event; see `vigilia.serving.schema_events.StatusEvent`."""
    return {"stream": watched.name, "status": watched.status, "problem": watched.problem}
