"""`vigilia demo`: the main job, on a recording whose truth is known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import clock, errors, megabytes, output, print_table, progress_bar

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path(
        "demo-output"
    ),
    minutes: Annotated[
        float, typer.Option(metavar="N", min=1, help="Length of the recording.")
    ] = 30.0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the recording.")] = 9000,
) -> None:
    """Stream a simulated half hour through a small model, with and without memory.

    Needs no data and no network. It is a simulation: a drawn animal whose sleep states follow
    those of real mice.

    Example:

        vigilia demo --out demo-output
    """
    from vigilia.demonstration import ModelResult, demonstrate
    from vigilia.errors import OptionError
    from vigilia.evaluation import format_agreement
    from vigilia.running import RunUpdate

    if not math.isfinite(minutes):
        raise OptionError(f"minutes must be a finite number, got {minutes}")
    with progress_bar("{task.fields[now]}") as bar:
        task = bar.add_task("", total=None, now="")

        def on_stage(text: str) -> None:
            errors.print(text)
            bar.update(task, description=text, completed=0, total=None, now="")

        def on_update(update: RunUpdate) -> None:
            label = update.now.label if update.now else ""
            bar.update(
                task, completed=update.seconds, total=update.duration_seconds, now=label or ""
            )

        found = demonstrate(out, minutes=minutes, seed=seed, on_stage=on_stage, on_update=on_update)

    def row(name: str, result: ModelResult) -> list[str]:
        early, late = result.resident_bytes_early, result.resident_bytes_late
        return [
            name,
            f"{result.accuracy:.3f}",
            f"{result.balanced_accuracy:.3f}",
            f"{result.kappa:.3f}",
            f"{result.times_real_time:.0f}x",
            megabytes(result.state_bytes),
            f"{early / 1e6:.0f} -> {late / 1e6:.0f}",
        ]

    output.print(format_agreement(found.agreement))
    print_table(
        f"A simulated pen, {clock(60 * minutes)}, seed {seed} (a simulation, not an animal)",
        [
            "model",
            "acc.",
            "balanced",
            "kappa",
            "speed",
            "state",
            "resident MB",
        ],
        [row("with memory", found.with_memory), row("without", found.without_memory)],
    )
    output.print(f"peak memory of the process: {megabytes(found.peak_resident_bytes)}")
    output.print(f"hypnogram: {out / 'hypnogram.png'}; timeline: {out / 'timeline.csv'}")
