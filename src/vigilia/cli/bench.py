"""`vigilia bench`: what memories remember, measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.bench_cells import cells_shown
from vigilia.cli.bench_family import family
from vigilia.cli.bench_pretrain import pretrain
from vigilia.cli.bench_speed import decode, soak
from vigilia.cli.bench_spiking import energy, permanence
from vigilia.cli.bench_streams import streams
from vigilia.cli.bench_updates import speed
from vigilia.cli.show import output, print_json, print_table

__all__ = ["bench"]

bench = typer.Typer(
    help="Measures what memories remember and what this machine can do.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@bench.callback()
def _bench() -> None:
    """Measures what memories remember and what this machine can do."""


@bench.command()
def memory(
    task: Annotated[
        list[str] | None, typer.Option(help="T1 to T8; may be repeated. [default: all]")
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(help="fam, gru, fifo, ...; may be repeated. [default: all]"),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for results; more are added to it.")] = Path(
        "bench-memory"
    ),
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Processes side by side.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train and test every memory on eight tasks whose answer was shown long ago.

    Small rendered videos; the backbone is the same for all and frozen, and no training stretch is
    longer than 64 clips (128 s). Printed is accuracy by task, with the best that is possible
    without memory and with a perfect one; accuracy against the age of the cue goes to OUT/table.md
    and OUT/ages.png. Some hours on two cores for everything; killed, it goes on where it was.

    Examples:

        vigilia bench memory --jobs 2

        vigilia bench memory --task T1 --memory fam --memory gru --seeds 1
    """
    import torch

    from vigilia.bench.memory import Plan, bench_memory
    from vigilia.bench.report import table, write_report

    torch.set_num_threads(1)
    plan = Plan(seeds=tuple(range(seeds)))
    plan = Plan(
        tasks=tuple(task) if task else plan.tasks,
        memories=tuple(memory) if memory else plan.memories,
        seeds=plan.seeds,
    )
    with cells_shown() as on_update:
        results = bench_memory(plan, out, jobs=jobs, on_update=on_update)
    write_report(results, out)
    if as_json:
        print_json(results)
        return
    # Narrow enough for a terminal; table.md has the range over seeds.
    head, *rows = [[cell.split(" ± ")[0] for cell in row] for row in table(results)]
    print_table("accuracy, %", [name.split(" ", 1)[0] for name in head], rows)
    output.print("; ".join(head[1:]))
    output.print(f"{out / 'table.md'}, {out / 'ages.png'}")


@bench.command()
def real(
    folder: Annotated[Path, typer.Argument(help="Holds clips/, continuous/ and animals/.")],
    question: Annotated[
        list[str] | None,
        typer.Option(help="last, ago, mouse, exercise, fly, mabe; may be repeated. [default: all]"),
    ] = None,
    memory: Annotated[
        list[str] | None,
        typer.Option(help="fam, gru, fifo, ...; may be repeated. [default: all]"),
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="Trainings of each.")] = 3,
    out: Annotated[Path, typer.Option(help="Folder for results; more are added to it.")] = Path(
        "bench-real"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask memories about real recordings: joined into long streams, and three continuous ones.

    Action clips are joined by chance; asked is which action was on last, up to twenty minutes ago,
    and what was on 10, 30, 60 and 120 seconds ago. No frame that is tested was learned from. The
    labels are derived from the recordings' classes, poses or by eye. Accuracy against the age of
    what is asked goes to OUT/table.md and OUT/ages.png. About 25 minutes on one core; killed, it
    goes on where it was.

    Examples:

        vigilia bench real ../shared/data

        vigilia bench real ../shared/data --question last --memory fam --memory gru --seeds 1
    """
    import torch

    from vigilia.bench.real.questions import QUESTIONS
    from vigilia.bench.real.report import (
        ELSEWHERE,
        continuous_table,
        joined_table,
        write_report,
    )
    from vigilia.bench.real.run import RealPlan, bench_real

    torch.set_num_threads(1)
    plan = RealPlan(seeds=tuple(range(seeds)))
    plan = RealPlan(
        questions=tuple(question) if question else plan.questions,
        memories=tuple(memory) if memory else plan.memories,
        seeds=plan.seeds,
    )
    with cells_shown() as on_update:
        results = bench_real(plan, folder, out, on_update=on_update)
    write_report(results, out)
    if as_json:
        print_json(results)
        return
    asked = {one["question"]: one for one in results}
    for name in (name for name in QUESTIONS if name in asked):
        head, *rows = joined_table(results, name)
        # Narrow enough for a terminal; table.md has the intervals, and the recordings apart.
        shown = [
            [cell.split(" (")[0] for cell in row if cell != ELSEWHERE] for row in (head, *rows)
        ]
        columns = len(shown[0])
        print_table(
            f"{name}: {asked[name]['title']} accuracy, %",
            shown[0],
            [row[:columns] for row in shown[1:]],
        )
    if set(asked) - set(QUESTIONS):
        head, *rows = continuous_table(results)
        print_table("balanced accuracy on the rest of each recording, %", head, rows)
    output.print(f"{out / 'table.md'}, {out / 'ages.png'}")


COMMANDS: dict[str, Callable[..., None]] = {
    "family": family,
    "pretrain": pretrain,
    "permanence": permanence,
    "energy": energy,
    "speed": speed,
    "decode": decode,
    "streams": streams,
    "soak": soak,
}
for _name, _command in COMMANDS.items():
    bench.command(_name)(_command)
