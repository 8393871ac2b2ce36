"""`vigilia surprise`: where a recording was not as its past announced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import clock, output, print_json

__all__ = ["surprise"]


def surprise(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A file, or a folder of recorder chunks.")
    ],
    model: Annotated[str, typer.Option(help="A model file, a bundled model, a backbone.")] = "pen",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. [default: ./VIDEO.surprise]")
    ] = None,
    threshold: Annotated[
        float, typer.Option(metavar="N", min=0.01, help="An alarm begins here; 1 is usual.")
    ] = 6.0,
    release: Annotated[
        float, typer.Option(metavar="N", min=0.01, help="And ends below this.")
    ] = 2.0,
    hold_seconds: Annotated[
        float, typer.Option("--hold", metavar="N", min=0, help="If it stays below so long.")
    ] = 0.0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Plot how much each clip surprised the model, and list where it was much.

    What is expected is that a clip is as the one before; an error counts in units of what was usual
    so far, so 1 is usual on any camera. Surprise is not importance: a lamp surprises, too. Nothing
    has to be trained. Writes surprise.csv, surprise.png, alarms.csv and the timeline.

    Example:

        vigilia surprise barn.mp4 --model sow.safetensors --threshold 6
    """
    from vigilia.evaluation.surprise import watch_surprise, write_surprise
    from vigilia.models import resolve_model
    from vigilia.running import name_of

    found = watch_surprise(
        video,
        resolve_model(model, device=device),
        threshold=threshold,
        release=release,
        hold_seconds=hold_seconds,
    )
    folder = out or Path(f"{name_of(video)}.surprise")
    write_surprise(found, folder)
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "clips": len(found.surprise),
                "alarms": [
                    {"start_seconds": a.start_seconds, "end_seconds": a.end_seconds, "peak": a.peak}
                    for a in found.alarms
                ],
            }
        )
        return
    for one in found.alarms:
        span = f"{clock(one.start_seconds)} to {clock(one.end_seconds)}"
        output.print(f"{span}  {one.peak:.1f} times the usual")
    output.print(f"{len(found.alarms)} alarms in {len(found.surprise)} clips; {folder}")
