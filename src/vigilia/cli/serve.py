"""`vigilia serve`: streams that are watched for months, an API and a page."""

from __future__ import annotations

import signal
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
) -> None:
    """Watches cameras and recordings until it is told to end; killed, it goes on where it was.

    One TOML file names the model, the data folder and the streams. Streams can also be added,
    stopped and removed over HTTP while the service runs.

    Examples:

        vigilia serve barn.toml

        vigilia serve barn.toml --check
    """
    from vigilia.serving.config import read_config

    settings = read_config(config)
    if check:
        output.print(f"{config}: {len(settings.streams)} streams, nothing wrong")
        return
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
