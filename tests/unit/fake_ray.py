"""A cluster for tests, with threads in the place of Ray's processes.

What Ray does here is what the code relies on: arguments and results are pickled, an actor runs as
many of its calls at a time as it was made for, one whose machine dies answers no more. A machine
may also be cut off and go on working, or fall silent: what it still says must harm nobody. The real
Ray is in tests/long.
"""

from __future__ import annotations

import pickle
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from vigilia.errors import VigiliaError

__all__ = ["Actor", "Machines", "RayError", "RayTaskError"]


class RayError(Exception):
    pass


class GetTimeoutError(RayError):
    pass


class RayTaskError(RayError):
    def __init__(self, cause: BaseException) -> None:
        super().__init__("a page of text")
        self.cause = cause


@dataclass(eq=False)
class Call:
    future: Future
    actor: Any


class Put:
    def __init__(self, value: Any) -> None:
        self.data = pickle.dumps(value)


@dataclass(eq=False)
class Actor:
    ray: Machines
    thing: Any
    node: str
    calls: ThreadPoolExecutor
    killed: bool = False

    @property
    def dead(self) -> bool:
        """Whether it answers no more; one that is only cut off goes on working."""
        return self.killed or not self.ray.alive.get(self.node, False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def remote(*arguments: Any) -> Call:
            plain = [
                pickle.loads(one.data if isinstance(one, Put) else pickle.dumps(one))
                for one in arguments
            ]

            def call() -> bytes:
                return pickle.dumps(getattr(self.thing, name)(*plain))

            if self.dead and not self.ray.cut_off:
                return Call(Future(), self)
            return Call(self.calls.submit(call), self)

        return SimpleNamespace(remote=remote)


class Machines:
    """A cluster: names of machines, each with room for so many workers.

    Args:
        names: of the machines.
        cpus: of each.
        cut_off: a machine that is dead to us goes on working.

    Attributes:
        alive: by name.
        silent: machines that do not answer for now.
        busy: machines that others have: who is hired there is not started yet.
    """

    def __init__(self, *names: str, cpus: int = 1, cut_off: bool = False) -> None:
        self.alive = dict.fromkeys(names, True)
        self.silent: set[str] = set()
        self.busy: set[str] = set()
        self.cpus = cpus
        self.cut_off = cut_off
        self.actors: list[Actor] = []
        self.exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)
        self.util = SimpleNamespace(
            scheduling_strategies=SimpleNamespace(
                NodeAffinitySchedulingStrategy=lambda node, soft: node
            )
        )
        self.puts = 0

    def nodes(self) -> list[dict[str, Any]]:
        return [
            {
                "NodeID": name,
                "Alive": alive,
                "Resources": {"CPU": float(self.cpus)},
                "NodeManagerHostname": name,
            }
            for name, alive in self.alive.items()
        ]

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cpus * sum(self.alive.values()))}

    def available_resources(self) -> dict[str, float]:
        """Like Ray, says nothing of what there is none of."""
        free = [name for name, alive in self.alive.items() if alive and name not in self.busy]
        return {"CPU": float(self.cpus * len(free))} if free else {}

    def put(self, value: Any) -> Put:
        self.puts += 1
        return Put(value)

    def remote(self, kind: type) -> Any:
        def make(**options: Any) -> Any:
            def remote() -> Actor:
                pool = ThreadPoolExecutor(options.get("max_concurrency", 1))
                self.actors.append(Actor(self, kind(), options["scheduling_strategy"], pool))
                return self.actors[-1]

            return SimpleNamespace(remote=remote)

        return SimpleNamespace(options=make)

    def wait(
        self, calls: list[Call], *, num_returns: int, timeout: float
    ) -> tuple[list[Call], list[Call]]:
        mute = self.silent | self.busy
        heard = [call for call in calls if call.actor.node not in mute]
        if not any(call.actor.dead for call in heard):
            wait([call.future for call in heard], timeout, FIRST_COMPLETED)
        ready = [call for call in heard if call.actor.dead or call.future.done()]
        return ready, [call for call in calls if call not in ready]

    def get(self, call: Call, timeout: float | None = None) -> Any:
        if call.actor.dead:
            raise RayError("the actor died")
        try:
            return pickle.loads(call.future.result(timeout))
        except TimeoutError as error:
            raise GetTimeoutError("it takes long") from error
        except VigiliaError as error:
            raise RayTaskError(pickle.loads(pickle.dumps(error))) from error

    def kill(self, actor: Actor) -> None:
        actor.killed = True
