"""The tasks by name."""

from __future__ import annotations

from vigilia.bench.streams import Task
from vigilia.bench.tasks.last_event import LAST_EVENT

__all__ = ["TASKS"]

TASKS: dict[str, Task] = {task.name: task for task in (LAST_EVENT,)}
