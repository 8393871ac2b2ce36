"""The workers of a job: as many as there is room for, given recordings, asked how far they are.

The rest of the job knows nothing of Ray: it hears what happened, and which worker is idle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import vigilia
from vigilia.errors import VigiliaError
from vigilia.scale.crew import Crew, Hand
from vigilia.scale.parcel import Parcel
from vigilia.scale.worker import Task, Told, Worker

__all__ = ["Hand", "Staff"]

_NEWS_SECONDS = 0.5
_MOST_NEWS_A_SECOND = 200


class Staff:
    """All workers.

    Args:
        ray: from `joined`.
        parcel: the model.
        device: "cpu", or "cuda" for one GPU a worker.
        cpus: processors of a worker.
        options: of `run_many`.
        patience_seconds: how long to wait while no machine is large enough, and before somebody is
            told that no worker has come.
        wait_seconds: how long to wait for the first worker while others have the machines.
        on_wait: told, in words, why nothing happens.
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
        wait_seconds: float = 600.0,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self._device = device
        self._cpus = cpus
        self._patience_seconds = patience_seconds
        self._wait_seconds = wait_seconds
        self._on_wait = on_wait
        opening = (vigilia.__version__, ray.put(parcel), device, cpus, dict(options))
        self._crew = Crew(ray, Worker, opening, device=device, cpus=cpus)
        self._staffed_at = self._ready_at = time.monotonic()
        self._ever_ready = self._told = False

    @property
    def size(self) -> int:
        """How many workers there are."""
        return len(self._crew.hands)

    @property
    def idle(self) -> list[Hand]:
        """Those that have nothing to do."""
        return self._crew.idle

    def give(self, hand: Hand, tasks: Sequence[Task]) -> None:
        """Gives a worker a lot."""
        hand.lot = [task.index for task in tasks]
        hand.actor.begin.remote(list(tasks))
        self._ask(hand)

    def _ask(self, hand: Hand) -> None:
        # However many there are, this process hears a bounded number a second.
        self._crew.ask(hand, max(_NEWS_SECONDS, self.size / _MOST_NEWS_A_SECOND))

    def news(self, seconds: float) -> Iterator[tuple[Hand, Told | None]]:
        """What workers say, after so many seconds at most; None from one that is gone.

        Raises:
            VigiliaError: no machine can work, or a worker met something that ends the job.
        """
        self._hire()
        self._wait_for_workers()
        for hand, answer in self._crew.news(seconds):
            if isinstance(answer, BaseException):
                raise answer from None
            if answer is not None and not answer.finished:
                self._ask(hand)
            yield hand, answer

    def _hire(self) -> None:
        """One worker for each room that is free."""
        if not self._crew.look():
            return
        for node in self._crew.nodes:
            self._crew.hire(node, node.slots)
        now = time.monotonic()
        if self._crew.hands:
            self._staffed_at = now
        elif self._crew.why or now - self._staffed_at > self._patience_seconds:
            gpu = "" if self._device == "cpu" else " and a GPU"
            why = self._crew.why or f"none has {self._cpus} CPU{gpu} for a worker"
            raise VigiliaError(
                f"no machine of the cluster can work ({why}); what was done is kept: the same "
                "command goes on with it"
            )

    def _wait_for_workers(self) -> None:
        """Says that none comes, which on a busy cluster is nobody's fault, and at last gives up.

        Ray lets actors wait for machines that others have, and says nothing.
        """
        now = time.monotonic()
        if any(hand.ready for hand in self._crew.hands):
            self._ready_at, self._ever_ready, self._told = now, True, False
            return
        waited = now - self._ready_at
        if waited <= self._patience_seconds or not self._crew.hands:
            return
        if waited > self._wait_seconds and not self._ever_ready:
            raise VigiliaError(
                f"no worker could be started in {waited:.0f} s ({self._crew.room()}); what was "
                "done before is kept: start the same command again when there is room"
            )
        if self._on_wait is not None and not self._told:
            most = "" if self._ever_ready else f", {self._wait_seconds:.0f} s at most"
            self._on_wait(f"no worker is ready yet: {self._crew.room()}; waiting{most}")
        self._told = True
