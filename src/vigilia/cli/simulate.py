"""`vigilia simulate`: a drawn animal in a pen, with labels, to try things on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import output

__all__ = ["simulate"]


def simulate(
    video: Annotated[Path, typer.Argument(metavar="VIDEO.mp4", help="The video to write.")],
    minutes: Annotated[float, typer.Option(metavar="N", min=0.1, help="Length.")] = 30.0,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="The same seed gives the same recording.")
    ] = 0,
) -> None:
    """Draw a sleeping animal seen from above, with its labels beside it.

    It is a simulation: its sleep states follow real mice's dwell times, its looks are invented.

    Example:

        vigilia simulate pen.mp4 --minutes 30 --seed 7
    """
    from vigilia.errors import OptionError
    from vigilia.simulate import simulate_recording

    if not math.isfinite(minutes):
        raise OptionError(f"minutes must be a finite number, got {minutes}")

    labels = simulate_recording(video, seconds=60 * minutes, seed=seed)
    output.print(f"{video}, {labels}: {minutes:g} minutes of a simulated pen")
