"""`vigilia moments`: which moments of a recording mattered."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import clock, output, print_json

__all__ = ["moments"]


def moments(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A file, or a folder of recorder chunks.")
    ],
    model: Annotated[str, typer.Option(help="A model file, trained with --memory multiscale.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. [default: ./VIDEO.moments]")
    ] = None,
    top: Annotated[
        int, typer.Option(metavar="N", min=0, help="How many moments to name, the weightiest.")
    ] = 5,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Plot which moments mattered to a model with multi-scale relevance.

    relevance is the share of what was remembered that came with each clip; kept at end is what is
    left of it when the recording is over. Writes moments.csv, moments.png and the timeline.

    Example:

        vigilia moments barn.mp4 --model sow.safetensors
    """
    from vigilia.evaluation.moments import watch_moments, write_moments
    from vigilia.models import resolve_model
    from vigilia.running import name_of

    found = watch_moments(video, resolve_model(model, device=device))
    folder = out or Path(f"{name_of(video)}.moments")
    write_moments(found, folder)
    taken = found.moments.taken
    best = [
        {
            "start_seconds": float(found.start_seconds[index]),
            "end_seconds": float(found.end_seconds[index]),
            "relevance": float(taken[index]),
        }
        for index in (-taken).argsort(kind="stable")[:top].tolist()
    ]
    if as_json:
        print_json({"folder": str(folder), "clips": len(taken), "weightiest": best})
        return
    for one in best:
        span = f"{clock(one['start_seconds'])} to {clock(one['end_seconds'])}"
        output.print(f"{span}  {100 * one['relevance']:.0f} % of what was remembered came with it")
    output.print(f"{len(taken)} clips; {folder}")
