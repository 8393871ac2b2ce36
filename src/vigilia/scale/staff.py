"""The workers of a job: hired where there is room, asked for news, replaced when they are gone.

The rest of the job knows nothing of Ray: it hears what happened, and which worker is idle.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import vigilia
from vigilia.errors import VigiliaError
from vigilia.scale.cluster import Node, brief, nodes, only_on
from vigilia.scale.parcel import Parcel
from vigilia.scale.worker import Task, Told, Worker

__all__ = ["Hand", "Staff"]

_LOOK_SECONDS = 2.0
_NEWS_SECONDS = 0.5
_MOST_NEWS_A_SECOND = 200
_BAD_STARTS = 2


@dataclass(eq=False)
class Hand:
    """One worker.

    Attributes:
        node: where it runs.
        actor: Ray's handle.
        lot: what it has been given and has not brought back.
        ready: it has its model.
    """

    node: Node
    actor: Any
    lot: list[int] = field(default_factory=list)
    ready: bool = False


class Staff:
    """All workers.

    Args:
        ray: from `joined`.
        parcel: the model.
        device: "cpu", or "cuda" for one GPU a worker.
        cpus: processors of a worker.
        options: of `run_many`.
        patience_seconds: how long to wait while no machine has room.
    """

    def __init__(
        self,
        ray: Any,
        parcel: Parcel,
        *,
        device: str,
        cpus: int,
        options: Mapping[str, Any],
        patience_seconds: float = 60.0,
    ) -> None:
        self._ray = ray
        self._device = device
        self._cpus = cpus
        self._options = dict(options)
        self._patience_seconds = patience_seconds
        self._parcel = ray.put(parcel)
        self._make = ray.remote(Worker)
        self._hands: list[Hand] = []
        self._calls: dict[Any, Hand] = {}
        self._bad_starts: Counter[str] = Counter()
        self._why = ""
        self._looked_at = 0.0
        self._staffed_at = time.monotonic()

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._hands)

    @property
    def idle(self) -> list[Hand]:
        """Those that have nothing to do."""
        busy = set(self._calls.values())
        return [hand for hand in self._hands if hand.ready and hand not in busy]

    def give(self, hand: Hand, tasks: Sequence[Task]) -> None:
        """Gives a worker a lot."""
        hand.lot = [task.index for task in tasks]
        hand.actor.begin.remote(list(tasks))
        self._ask(hand)

    def _ask(self, hand: Hand) -> None:
        # However many there are, this process hears a bounded number a second.
        every = max(_NEWS_SECONDS, len(self._hands) / _MOST_NEWS_A_SECOND)
        self._calls[hand.actor.told.remote(every)] = hand

    def news(self, seconds: float) -> Iterator[tuple[Hand, Told | None]]:
        """What workers say, after so many seconds at most; None from one that is gone.

        Raises:
            VigiliaError: no machine can work, or a worker met something that ends the job.
        """
        self._hire()
        if not self._calls:
            time.sleep(seconds)
            return
        self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        said, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        for call in said:
            hand = self._calls.pop(call)
            try:
                answer = self._ray.get(call)
            except self._ray.exceptions.RayTaskError as error:
                if hand.ready:
                    raise error.cause from None
                self._left(hand, str(error.cause))
            except self._ray.exceptions.RayError as error:
                was_ready = hand.ready
                self._left(hand, "" if was_ready else brief(error))
                if was_ready:
                    yield hand, None
            else:
                if not hand.ready:
                    hand.ready = True
                    self._bad_starts.pop(hand.node.id, None)
                    self._why = ""
                    continue
                if not answer.finished:
                    self._ask(hand)
                yield hand, answer

    def _hire(self) -> None:
        """One worker for each room that is free; looks now and then only."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS and self._hands:
            return
        self._looked_at = now
        for node in nodes(self._ray, gpus=self._device != "cpu", cpus=self._cpus):
            if self._bad_starts[node.id] < _BAD_STARTS:
                there = sum(hand.node.id == node.id for hand in self._hands)
                for _ in range(node.slots - there):
                    self._hire_at(node)
        if self._hands:
            self._staffed_at = now
        elif self._why or now - self._staffed_at > self._patience_seconds:
            gpu = "" if self._device == "cpu" else " and a GPU"
            why = self._why or f"none has {self._cpus} CPU{gpu} for a worker"
            raise VigiliaError(
                f"no machine of the cluster can work ({why}); what was done is kept: the same "
                "command goes on with it"
            )

    def _hire_at(self, node: Node) -> None:
        actor = self._make.options(
            num_cpus=self._cpus,
            num_gpus=0 if self._device == "cpu" else 1,
            scheduling_strategy=only_on(self._ray, node),
        ).remote()
        hand = Hand(node, actor)
        self._hands.append(hand)
        call = actor.open.remote(
            vigilia.__version__, self._parcel, self._device, self._cpus, self._options
        )
        self._calls[call] = hand

    def _left(self, hand: Hand, why: str) -> None:
        """A worker is gone, or must not come back; `why` if it never was ready."""
        self._hands.remove(hand)
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(hand.actor)
        if why:
            self._bad_starts[hand.node.id] += 1
            self._why = f"{hand.node.host}: {why}"
