"""A Ray cluster of several nodes on this machine, for the tests that kill some of it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

__all__ = ["ENVIRONMENT", "add_node", "cluster"]

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head that has no processors, and two nodes with one each, on loopback."""
    pytest.importorskip("ray", reason="the extra `scale` is not installed")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    # All that Ray writes lies below it; names of its sockets may not be long.
    folder = tempfile.mkdtemp(prefix="vr", dir="/tmp")
    monkeypatch.setenv("RAY_TMPDIR", folder)
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        add_node(made, processors=0)
        for _ in range(2):
            add_node(made, processors=1)
        yield made
    finally:
        with contextlib.suppress(Exception):
            made.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def add_node(cluster: Any, *, processors: int) -> Any:
    """One more machine, on loopback."""
    return cluster.add_node(
        num_cpus=processors,
        # Ray takes 127.0.0.1 for the machine's own address.
        node_ip_address="127.0.0.2",
        object_store_memory=80 * 2**20,
        include_dashboard=False,
        include_log_monitor=False,
    )
