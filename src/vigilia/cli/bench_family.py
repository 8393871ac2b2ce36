"""`vigilia bench family`: every branch of the family, with and without memory."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.bench_cells import cells_shown
from vigilia.cli.show import errors, output, print_json, print_table

__all__ = ["family"]


def family(
    model: Annotated[
        list[str] | None,
        typer.Option(help="A backbone ending in _nano; may be repeated. [default: 18 of them]"),
    ] = None,
    memory: Annotated[
        list[str] | None, typer.Option(help="none, fam; may be repeated. [default: both]")
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="T1 to T8, pushups; may be repeated. [default: T1, T3, T8, pushups]"),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each.")] = 3,
    data: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Holds clips/pushups, which may be absent.")
    ] = Path("../shared/data"),
    out: Annotated[Path, typer.Option(help="Folder for results; more are added to it.")] = Path(
        "bench-family"
    ),
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Processes side by side.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train and test a small backbone of every branch, without memory and with FAM.

    On the memory benchmark each backbone first learns to see, all in the same number of updates; it
    is then frozen, and memory and head learn behind it. On push-ups everything learns from pixels.
    Printed are accuracy and what a step costs; accuracy against cost goes to OUT/cost.png, the
    table to OUT/table.md. A day on one core for everything; killed, it goes on where it was.

    Examples:

        vigilia bench family --jobs 2

        vigilia bench family --model conv3d_nano --model state_space_nano --task T1 --seeds 1
    """
    import torch

    from vigilia.bench.family.pushups import PUSHUPS, pushups_folder
    from vigilia.bench.family.report import family_table, write_family_report
    from vigilia.bench.family.run import FamilyPlan, bench_family

    torch.set_num_threads(1)
    plan = FamilyPlan(seeds=tuple(range(seeds)))
    plan = FamilyPlan(
        backbones=tuple(model) if model else plan.backbones,
        memories=tuple(memory) if memory else plan.memories,
        tasks=tuple(task) if task else plan.tasks,
        seeds=plan.seeds,
    )
    clips = pushups_folder(data)
    if PUSHUPS in plan.tasks and clips is None:
        errors.print(f"note: {data} has no clips/pushups/frames.csv; push-ups are left out")
    with cells_shown() as on_update:
        results = bench_family(plan, out, pushups=clips, jobs=jobs, on_update=on_update)
    write_family_report(results, out)
    if as_json:
        print_json(results)
        return
    head, *rows = family_table(results)
    print_table("accuracy, %", head, rows)
    output.print(f"{out / 'table.md'}, {out / 'cost.png'}")
