"""Joining a Ray cluster, and what its machines offer.

Ray is an extra; it is imported when a cluster is joined and not before.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vigilia.errors import MissingExtraError, OptionError, VigiliaError
from vigilia.installation import install_command

__all__ = ["Node", "brief", "joined", "nodes", "only_on", "room"]

LOCAL = "local"
# Under Linux Ray takes 127.0.0.1 for the machine's own address; elsewhere it stays on loopback.
_LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
_SMALLEST_STORE = 80 * 2**20  # Ray refuses less


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        id: Ray's.
        host: for messages.
        slots: how many workers it has room for.
    """

    id: str
    host: str
    slots: int


@contextmanager
def joined(address: str, *, store_bytes: int = 0) -> Iterator[Any]:
    """Joins a cluster and leaves it at the end; all actors of this process end with it.

    Args:
        address: "local" starts Ray on this machine alone, reachable over loopback only; "auto" is
            the cluster that runs on this machine; HOST:PORT is another's head.
        store_bytes: that objects take at once; for "local".

    Yields:
        The module `ray`.

    Raises:
        MissingExtraError: Ray is not installed.
        OptionError: nothing answers there, or a kind of address that cannot be used.
        VigiliaError: Ray does not start on this machine.
    """
    try:
        import ray
        import ray.util.scheduling_strategies
    except ImportError as error:
        raise MissingExtraError(f"--ray needs ray: {install_command('scale')}") from error
    if "://" in address:
        raise OptionError(
            f"--ray {address}: such an address cannot be used; run the command on a machine of "
            "the cluster and name HOST:PORT, or auto"
        )
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    on_terminate = signal.getsignal(signal.SIGTERM)
    try:
        if address == LOCAL:
            # Ray asks this when it starts: nothing is sent to anybody.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(
                address=LOCAL,
                include_dashboard=False,
                object_store_memory=max(_SMALLEST_STORE, 2 * store_bytes),
                _node_ip_address=_LOOPBACK,
                **quiet,
            )
        else:
            ray.init(address=address, **quiet)
    except ConnectionError as error:
        raise OptionError(
            f"--ray {address}: no cluster answers there; start one with `ray start --head`, or "
            "use --ray local"
        ) from error
    except Exception as error:  # Ray raises bare ones when its processes do not come up
        raise VigiliaError(f"--ray {address}: Ray does not start ({brief(error)})") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, on_terminate)  # Ray has put its own in the place of ours
    try:
        yield ray
    finally:
        ray.shutdown()


def nodes(ray: Any, *, gpus: bool, cpus: int) -> list[Node]:
    """The machines that are alive and have room for workers.

    Args:
        ray: from `joined`.
        gpus: a worker needs a GPU of its own.
        cpus: processors of a worker.
    """
    found = []
    for one in ray.nodes():
        if not one["Alive"]:
            continue
        has = one["Resources"]
        slots = int(has.get("CPU", 0)) // cpus
        if gpus:
            slots = min(slots, int(has.get("GPU", 0)))
        if slots > 0:
            host = one.get("NodeManagerHostname") or one.get("NodeManagerAddress") or "a machine"
            found.append(Node(one["NodeID"], str(host), slots))
    return found


def room(ray: Any, *, gpus: bool, cpus: int) -> str:
    """What a worker asks for and how much of it nobody has, in words.

    Args:
        ray: from `joined`.
        gpus: a worker needs a GPU of its own.
        cpus: processors of a worker.
    """
    free, there = ray.available_resources(), ray.cluster_resources()
    asked = {"CPU": cpus, "GPU": 1} if gpus else {"CPU": cpus}
    shares = [f"{free.get(kind, 0):g} of {there.get(kind, 0):g} {kind}s" for kind in asked]
    needs = " and ".join(f"{number} {kind}" for kind, number in asked.items())
    return f"a worker asks for {needs}; free in the cluster are {' and '.join(shares)}"


def only_on(ray: Any, node: Node) -> Any:
    """How Ray is told that an actor belongs to one machine."""
    strategies = ray.util.scheduling_strategies
    return strategies.NodeAffinitySchedulingStrategy(node.id, soft=False)


def brief(error: BaseException) -> str:
    """An error of Ray's in one line; its own are pages."""
    return " ".join(str(error).split())[:160] or type(error).__name__
