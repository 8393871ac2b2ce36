"""`vigilia bench permanence` and `vigilia bench energy`: the spiking model, measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import errors, output, print_json, print_table, progress_bar

__all__ = ["energy", "permanence"]


def permanence(
    task: Annotated[
        list[str] | None, typer.Option(help="one, two; may be repeated. [default: both]")
    ] = None,
    contender: Annotated[
        list[str] | None,
        typer.Option(help="event, hold30, seed, gru, ...; may be repeated. [default: all]"),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each.")] = 5,
    gap: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Bins hidden; may be repeated. [default: 0 10 30 60 120 300]"),
    ] = None,
    updates: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Of each training. [default: 2000]")
    ] = None,
    scenes: Annotated[int, typer.Option(metavar="N", min=2, help="Of each exam, at most.")] = 497,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", help="Ask about the 200 digits that choices are made by, not the exam's."
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for results; more are added to it.")] = Path(
        "bench-permanence"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask which digit is behind the curtain, and where it is by now.

    Scanned digits move before a simulated event camera, a textured curtain slides in front of them
    and drifts on, and 1 % of the pixels send noise in every bin. All learn from gaps of at most 30
    bins and are asked after up to 300, while the digits are hidden. Some contenders must forget and
    some must remember; tables go to OUT/table.md, curves to OUT/gaps.png. Killed, it goes on where
    it was.

    Examples:

        vigilia bench permanence

        vigilia bench permanence --task one --contender event --contender gru --seeds 1
    """
    import dataclasses

    import torch

    from vigilia.bench.memory import BenchUpdate
    from vigilia.bench.permanence.report import QUESTIONS, question_table, write_report
    from vigilia.bench.permanence.run import PermanencePlan, bench_permanence
    from vigilia.spiking.training import Progress

    torch.set_num_threads(1)
    plan = PermanencePlan()
    training = plan.training
    if updates is not None:
        training = dataclasses.replace(training, updates=updates)
    plan = PermanencePlan(
        tasks=tuple(task) if task else plan.tasks,
        contenders=tuple(contender) if contender else plan.contenders,
        seeds=tuple(range(seeds)),
        gaps=tuple(sorted({0, *gap})) if gap else plan.gaps,
        training=training,
        scenes=scenes,
        split="tune" if tune else "test",
    )
    with progress_bar("{task.fields[told]}") as bar:
        running = bar.add_task("cells", total=None, told="")
        learning = bar.add_task("training", total=None, told="", visible=False)

        def on_update(update: BenchUpdate) -> None:
            bar.update(running, completed=update.done, total=update.total, told=update.told)
            errors.print(f"{update.done}/{update.total} {update.told}")

        def on_training(name: str, progress: Progress) -> None:
            bar.update(
                learning,
                completed=progress.update,
                total=progress.updates,
                told=f"{name}: loss {progress.loss:.2f}",
                visible=progress.update < progress.updates,
            )

        results = bench_permanence(plan, out, on_update=on_update, on_training=on_training)
    write_report(results, out)
    if as_json:
        print_json(results)
        return
    for (name, figure), title in QUESTIONS.items():
        if name in plan.tasks:
            head, *rows = question_table(results, name, figure)
            # Narrow enough for a terminal; table.md has the intervals.
            print_table(title, head, [[cell.split(" (")[0] for cell in row] for row in rows])
    output.print(f"{out / 'table.md'}, {out / 'gaps.png'}")


def energy(
    model: Annotated[
        str, typer.Option(help="neuro_svt_nano, _ti, _s or _b; fresh weights.")
    ] = "neuro_svt_ti",
    size: Annotated[int, typer.Option(metavar="N", min=4, help="Height and width.")] = 128,
    trained: Annotated[
        Path | None,
        typer.Option(help="Folder of `bench permanence`: its `event` model in place of --model."),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of weights and scenes.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count what the spiking model computes for a bin: visible, hidden, blank; beside ViT-Tiny.

    Additions and multiplications are counted event by event and priced in 45 nm. Fresh weights do
    not fire as trained ones do: only --trained tells what a trained model spends.

    Examples:

        vigilia bench energy --trained bench-permanence

        vigilia bench energy --model neuro_svt_ti --size 128 --json
    """
    import torch

    from vigilia.bench.permanence.energy import (
        LEFT_OUT,
        PHASES,
        energy_table,
        measure_energy,
    )
    from vigilia.bench.permanence.run import trained_model
    from vigilia.spiking import create_spiking_model

    torch.set_num_threads(1)
    if trained is not None:
        net, size, title = trained_model(trained, seed=seed), 16, f"event of {trained}, 16x16"
    else:
        torch.manual_seed(seed)
        net = create_spiking_model(model, num_classes=10, height=size, width=size).eval()
        title = f"{model} with fresh weights, {size}x{size}"
    (head, *rows), values = energy_table(measure_energy(net, seed=seed), height=size)
    if as_json:
        print_json({"model": title, "phases": values, "left_out": LEFT_OUT})
        return
    print_table(f"{title}: one bin", head, rows)
    for phase, means in PHASES.items():
        output.print(f"{phase}: {means}")
    output.print("Per cent: of ViT-Tiny on a picture of this size, in fp32, int8; both in int8.")
    output.print(LEFT_OUT)
