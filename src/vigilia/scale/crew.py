"""Workers of a cluster: hired where there is room, asked for news, replaced when they are gone.

What they work at is nobody's business here: recordings (`staff.py`) or live streams
(`live_host.py`).
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vigilia.scale.cluster import Node, brief, nodes, only_on, room

__all__ = ["Crew", "Hand"]

_LOOK_SECONDS = 2.0
_BAD_STARTS = 2


@dataclass(eq=False)
class Hand:
    """One worker.

    Attributes:
        node: where it runs.
        actor: Ray's handle.
        lot: what it has been given and has not brought back.
        ready: it has its model.
        asked_at: when it was last asked for news, by a clock that never goes back.
    """

    node: Node
    actor: Any
    lot: list[Any] = field(default_factory=list)
    ready: bool = False
    asked_at: float = field(default_factory=time.monotonic)


class Crew:
    """All workers; used by one thread.

    Args:
        ray: from `joined`.
        make: their class; has `open`, with the arguments below, and `told`.
        opening: arguments of `open`.
        device: "cpu", or "cuda" for one GPU a worker.
        cpus: processors of a worker.
        options: further ones of Ray's actors.
        again_seconds: a machine on which workers did not start is left alone for so long; None for
            ever.

    Attributes:
        hands: the workers.
        nodes: the machines with room for workers, when it was last looked.
        why: why a worker did not start; empty if the last one did.
    """

    def __init__(
        self,
        ray: Any,
        make: type,
        opening: tuple[Any, ...],
        *,
        device: str,
        cpus: int,
        options: Mapping[str, Any] | None = None,
        again_seconds: float | None = None,
    ) -> None:
        self._ray = ray
        self._device = device
        self._cpus = cpus
        self._opening = opening
        self._options = dict(options or {})
        self._again_seconds = again_seconds
        self._make = ray.remote(make)
        self._calls: dict[Any, Hand] = {}
        self._bad_starts: Counter[str] = Counter()
        self._bad_since: dict[str, float] = {}
        self._looked_at = 0.0
        self.hands: list[Hand] = []
        self.nodes: list[Node] = []
        self.why = ""

    @property
    def idle(self) -> list[Hand]:
        """Those that are ready and have not been asked for news."""
        asked = set(self._calls.values())
        return [hand for hand in self.hands if hand.ready and hand not in asked]

    def room(self) -> str:
        """What a worker asks for and how much of it nobody has, in words."""
        return room(self._ray, gpus=self._device != "cpu", cpus=self._cpus)

    def ask(self, hand: Hand, *arguments: Any) -> None:
        """Asks an idle worker for news: calls its `told`."""
        hand.asked_at = time.monotonic()
        self._calls[hand.actor.told.remote(*arguments)] = hand

    def news(self, seconds: float) -> Iterator[tuple[Hand, Any]]:
        """What workers say, after so many seconds at most.

        Yields:
            A worker and its answer, or the exception that it raised, or None if it is gone. Of
            those that never were ready nothing is said.
        """
        if not self._calls:
            time.sleep(seconds)
            return
        self._ray.wait(list(self._calls), num_returns=1, timeout=seconds)
        said, _ = self._ray.wait(list(self._calls), num_returns=len(self._calls), timeout=0)
        for call in said:
            hand = self._calls.pop(call, None)
            if hand is None:
                continue  # dismissed meanwhile
            try:
                answer = self._ray.get(call)
            except self._ray.exceptions.RayTaskError as error:
                if hand.ready:
                    yield hand, error.cause
                else:
                    self._never_came(hand, str(error.cause))
            except self._ray.exceptions.RayError as error:
                if hand.ready:
                    self.dismiss(hand)
                    yield hand, None
                else:
                    self._never_came(hand, brief(error))
            else:
                if hand.ready:
                    yield hand, answer
                    continue
                hand.ready, hand.asked_at = True, time.monotonic()
                self._bad_starts.pop(hand.node.id, None)
                self.why = ""

    def look(self) -> bool:
        """Looks which machines there are, now and then; whether it did.

        Without a worker it always looks.
        """
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS and self.hands:
            return False
        self._looked_at = now
        found = nodes(self._ray, gpus=self._device != "cpu", cpus=self._cpus)
        self.nodes = [node for node in found if not self._is_bad(node.id, now)]
        return True

    def hire(self, node: Node, number: int) -> None:
        """Sees to it that a machine has so many workers at least."""
        there = sum(hand.node.id == node.id for hand in self.hands)
        for _ in range(number - there):
            actor = self._make.options(
                num_cpus=self._cpus,
                num_gpus=0 if self._device == "cpu" else 1,
                scheduling_strategy=only_on(self._ray, node),
                **self._options,
            ).remote()
            hand = Hand(node, actor)
            self.hands.append(hand)
            self._calls[actor.open.remote(*self._opening)] = hand

    def dismiss(self, hand: Hand) -> None:
        """Ends a worker; what it still says is not heard. Idempotent."""
        if hand in self.hands:
            self.hands.remove(hand)
        for call in [call for call, whose in self._calls.items() if whose is hand]:
            del self._calls[call]
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(hand.actor)

    def _never_came(self, hand: Hand, why: str) -> None:
        self.dismiss(hand)
        self._bad_starts[hand.node.id] += 1
        self._bad_since[hand.node.id] = time.monotonic()
        self.why = f"{hand.node.host}: {why}"

    def _is_bad(self, node: str, now: float) -> bool:
        if self._bad_starts[node] < _BAD_STARTS:
            return False
        if self._again_seconds is None or now - self._bad_since[node] < self._again_seconds:
            return True
        self._bad_starts[node] = 0
        return False
