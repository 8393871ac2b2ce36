"""`vigilia stress`: how little it takes to change a model's answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vigilia.cli.show import output, print_json, print_table, progress_bar

__all__ = ["stress"]


def stress(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A file, or a folder of recorder chunks.")
    ],
    model: Annotated[str, typer.Option(help="A model file, or a bundled model.")] = "pen",
    grey_levels: Annotated[
        float, typer.Option(metavar="N", min=0, help="No pixel is changed by more, of 255.")
    ] = 2.0,
    clips: Annotated[int, typer.Option(metavar="N", min=1, help="Clips that are tried.")] = 30,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="Of the search.")] = 10,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Change clips a little, in ways confined in time, and count the answers that flip.

    noise is the control; clip, frame and flicker are searched for with the model's own gradient: in
    any pixel, in the newest frame alone, as a lamp would; past changes the clip before, and only
    memory can carry it. frozen and reversed change no pixel, only time: a model that survives them
    does not look at movement. A diagnostic: it proves nothing, and a search may be too short.

    Example:

        vigilia stress night4.mp4 --model sow.safetensors --grey-levels 2
    """
    from vigilia.evaluation.stress import stress_recording
    from vigilia.models import resolve_model

    with progress_bar() as bar:
        task = bar.add_task("clips", total=clips)
        found = stress_recording(
            video,
            resolve_model(model, device=device),
            grey_levels=grey_levels,
            clips=clips,
            steps=steps,
            on_clip=lambda done: bar.update(task, completed=done),
        )
    if as_json:
        print_json([asdict(one) for one in found])
        return
    rows = [
        [one.kind, f"{100 * one.flipped:.0f} %", f"{one.confidence:.2f}", f"{one.left:.2f}"]
        for one in found
    ]
    print_table(
        f"{found[0].clips} clips, up to {grey_levels:g} grey levels",
        ["change", "answers flipped", "confidence before", "of the same answer after"],
        rows,
    )
    output.print("noise is the control; frozen and reversed change time alone")
