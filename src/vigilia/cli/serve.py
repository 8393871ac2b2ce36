"""`vigilia serve`: streams that are watched for months, an API and a page."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import errors, output

__all__ = ["serve"]


def serve(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG.toml", help="What to watch; see docs/serving.md.")
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Read the configuration, say what is wrong, and end.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the streams over a Ray cluster: HOST:PORT, auto for the one of this "
            "machine, local to start one here.",
        ),
    ] = None,
    cpus_per_actor: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help='With --ray: processors of a worker; with device = "cuda" there is one a GPU. '
            "[default: 1]",
        ),
    ] = None,
    streams_per_actor: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With --ray: streams that a worker has room for. [default: 16]",
        ),
    ] = None,
) -> None:
    """Watches cameras and recordings until it is told to end; killed, it goes on where it was.

    One TOML file names the model, the data folder and the streams. Streams can also be added,
    stopped and removed over HTTP while the service runs.

    Examples:

        vigilia serve barn.toml

        vigilia serve barn.toml --check

        vigilia serve site.toml --ray 10.0.0.1:6379
    """
    from vigilia.errors import OptionError
    from vigilia.serving.config import read_config

    settings = read_config(config)
    if check:
        output.print(f"{config}: {len(settings.streams)} streams, nothing wrong")
        return
    run: Callable[..., None]
    if ray is not None:
        from vigilia.scale.live import STREAMS_PER_ACTOR, serve_on_ray

        run = partial(
            serve_on_ray,
            address=ray,
            cpus_per_actor=cpus_per_actor or 1,
            streams_per_actor=streams_per_actor or STREAMS_PER_ACTOR,
        )
    elif cpus_per_actor is not None or streams_per_actor is not None:
        name = "streams" if cpus_per_actor is None else "cpus"
        raise OptionError(f"--{name}-per-actor goes with --ray")
    else:
        from vigilia.serving.server import serve as run

    def ready(address: str) -> None:
        errors.print(f"open {address} (Ctrl-C ends)")

    told: list[int] = []

    def end(number: int, _: object) -> None:
        told.append(number)
        if len(told) == 1:  # a second one must not break the saving off
            raise KeyboardInterrupt

    # What systemd and Docker send: an orderly end, and no failure.
    signal.signal(signal.SIGTERM, end)
    try:
        run(settings, on_ready=ready)
    except KeyboardInterrupt:
        if not told:
            raise
