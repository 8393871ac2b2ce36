"""The tasks by name."""

from __future__ import annotations

from vigilia.bench.streams import Task
from vigilia.bench.tasks.capacity import CAPACITY
from vigilia.bench.tasks.counter import COUNTER
from vigilia.bench.tasks.delayed_match import DELAYED_MATCH
from vigilia.bench.tasks.distractors import DISTRACTORS
from vigilia.bench.tasks.last_event import LAST_EVENT
from vigilia.bench.tasks.order import ORDER
from vigilia.bench.tasks.sleep_like import SLEEP_LIKE
from vigilia.bench.tasks.trend import TREND

__all__ = ["TASKS"]

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        LAST_EVENT,
        DELAYED_MATCH,
        ORDER,
        COUNTER,
        CAPACITY,
        DISTRACTORS,
        TREND,
        SLEEP_LIKE,
    )
}
