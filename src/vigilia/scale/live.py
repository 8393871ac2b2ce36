"""`vigilia.scale.serve_on_ray`: the service, with its streams on the machines of a Ray cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from vigilia.errors import OptionError
from vigilia.scale.live_host import RayHost
from vigilia.serving.config import ServeConfig
from vigilia.serving.server import serve
from vigilia.serving.supervisor import MakeHost, Tools

__all__ = ["STREAMS_PER_ACTOR", "on_ray", "serve_on_ray"]

STREAMS_PER_ACTOR = 16


def serve_on_ray(
    config: ServeConfig,
    *,
    address: str = "local",
    cpus_per_actor: int = 1,
    streams_per_actor: int = STREAMS_PER_ACTOR,
    on_ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves until it is told to end, as `vigilia.serving.server.serve` does.

    Args:
        config: what to serve; `device` is the workers', "cpu" or "cuda".
        address: see `vigilia.scale.cluster.joined`.
        cpus_per_actor: processors of a worker; a machine gets as many workers as it has room for,
            but no more than there are streams.
        streams_per_actor: that a worker can have; the memory for so many is taken at its start.
        on_ready: told the address when it can be opened.

    Raises:
        OptionError: an option cannot work, or no cluster is there.
        MissingExtraError: Ray is not installed.
        VigiliaError: it cannot begin.
    """
    make_host = on_ray(
        config,
        address=address,
        cpus_per_actor=cpus_per_actor,
        streams_per_actor=streams_per_actor,
    )
    # This process only packs the model.
    serve(dataclasses.replace(config, device="cpu"), make_host=make_host, on_ready=on_ready)


def on_ray(
    config: ServeConfig,
    *,
    address: str,
    cpus_per_actor: int = 1,
    streams_per_actor: int = STREAMS_PER_ACTOR,
) -> MakeHost:
    """What puts the streams of a service on a cluster; the arguments are those of `serve_on_ray`.

    Raises:
        OptionError: an option cannot work.
    """
    if config.device not in ("cpu", "cuda"):
        raise OptionError(
            f"{config.path}: device: must be cpu or cuda with --ray, got {config.device!r}; Ray "
            "chooses which GPU"
        )
    for name, value in (
        ("cpus_per_actor", cpus_per_actor),
        ("streams_per_actor", streams_per_actor),
    ):
        if value < 1:
            raise OptionError(f"{name} must be at least 1, got {value}")

    def make(tools: Tools) -> RayHost:
        return RayHost(
            tools,
            address=address,
            device=config.device,
            cpus=cpus_per_actor,
            streams=streams_per_actor,
            batch=config.batch,
            snapshot_seconds=config.snapshot_seconds,
        )

    return make
