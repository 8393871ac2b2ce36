"""`vigilia bench pretrain`: what learning without labels brings on real clips."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.bench_cells import cells_shown
from vigilia.cli.show import output, print_json, print_table

__all__ = ["pretrain"]


def pretrain(
    folder: Annotated[Path, typer.Argument(help="Holds clips/, animals/ and events/.")],
    data: Annotated[
        list[str] | None,
        typer.Option(help="pushups, mouse, digits; may be repeated. [default: all]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="A backbone ending in _nano; may be repeated. [default: two of them]"),
    ] = None,
    start: Annotated[
        list[str] | None,
        typer.Option(help="none, mae, contrastive; may be repeated. [default: all]"),
    ] = None,
    seeds: Annotated[
        int, typer.Option(metavar="N", min=1, help="Trainings of each; 3 test everybody once.")
    ] = 3,
    out: Annotated[Path, typer.Option(help="Folder for results; more are added to it.")] = Path(
        "bench-pretrain"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Pre-train small backbones on real clips, then probe and fine-tune them.

    Push-ups, a mouse's behaviours, digits before an event camera. A backbone learns without labels
    from the people or recordings that are not tested; a linear model of its frozen features, and
    fine-tuning on the labels of a few, are tested on the others, beside the same without
    pre-training. The table goes to OUT/table.md. About an hour on one core; killed, it goes on.

    Examples:

        vigilia bench pretrain ../shared/data

        vigilia bench pretrain ../shared/data --data digits --model conv3d_nano --seeds 1
    """
    import torch

    from vigilia.bench.pretraining.report import pretraining_table, write_pretraining_report
    from vigilia.bench.pretraining.run import PretrainPlan, bench_pretraining

    torch.set_num_threads(1)
    plan = PretrainPlan(seeds=tuple(range(seeds)))
    plan = PretrainPlan(
        materials=tuple(data) if data else plan.materials,
        backbones=tuple(model) if model else plan.backbones,
        starts=tuple(start) if start else plan.starts,
        seeds=plan.seeds,
    )
    with cells_shown() as on_update:
        results = bench_pretraining(plan, folder, out, on_update=on_update)
    write_pretraining_report(results, out)
    if as_json:
        print_json(results)
        return
    head, *rows = pretraining_table(results)
    print_table("balanced accuracy, %", head, rows)
    output.print(f"{out / 'table.md'}")
