"""`vigilia bench speed`: updates a second beside torchvision's sliding window."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigilia.cli.show import errors, megabytes, output, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from vigilia.bench.speed.speed import SpeedReport
    from vigilia.bench.speed.updates import Update
    from vigilia.stream import StreamClassifier

__all__ = ["print_speed", "speed"]


def speed(
    size: Annotated[
        int, typer.Option(metavar="N", min=32, help="Height and width of the frames.")
    ] = 224,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="The best one counts.")] = 3,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            help="Updates of ours in a round, of torchvision's a quarter; memory writes 1 in 4.",
        ),
    ] = 8,
    memory: Annotated[
        list[str] | None,
        typer.Option(help="none, fam, ...; may be repeated. [default: none and fam]"),
    ] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="float32, bf16, int8 (exported only); may be repeated. [default: float32, int8, "
            "and bf16 where the processor has instructions for it]"
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="[default: as many as torch takes]")
    ] = None,
    processor_time: Annotated[
        bool,
        typer.Option(
            "--cpu-time",
            help="Count processor seconds: with --threads 1, for a machine that is busy.",
        ),
    ] = False,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Also under torch.compile; compiling takes minutes.")
    ] = False,
    exported: Annotated[
        bool, typer.Option("--export/--no-export", help="Also exported, under both runtimes.")
    ] = True,
    plot: Annotated[Path | None, typer.Option(help="Picture of the result to write, .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Time one update beside torchvision's swin3d_t over a sliding window, as ratios of one run.

    The first row is what a user would otherwise run: 32 frames, every 8 frames, everything computed
    anew. The others give labels at the same rate: clip mode, incremental mode, with and without
    memory, in float32 and bf16, and exported, under ONNX Runtime and OpenVINO. All are timed from
    decoded frames to logits, in turn, and the best round of each counts. What an eight-bit export
    is worth is for `vigilia export --check` to say; here only its time is taken.

    Examples:

        vigilia bench speed --rounds 5

        vigilia bench speed --threads 1 --cpu-time
    """
    import torch

    from vigilia.bench.speed.machine import describe_device
    from vigilia.bench.speed.plots import plot_speed
    from vigilia.bench.speed.speed import measure_speed
    from vigilia.bench.speed.updates import DTYPES, own_updates, yardstick
    from vigilia.files import check_writable

    check_writable(plot)
    precisions = _precisions(precision)
    if threads is not None:
        torch.set_num_threads(threads)
    torch.manual_seed(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar("{task.fields[now]}") as bar,
    ):
        task = bar.add_task("", total=None, now="models are made")

        def on_model(name: str, model: StreamClassifier, gflop: float) -> Sequence[Update]:
            errors.print(f"exporting {name}")
            return _exported(name, model, gflop, Path(folder), precisions)

        updates, weights = yardstick(size, compiled=compiled)
        updates += own_updates(
            weights,
            size=size,
            memories=tuple(memory or ("none", "fam")),
            precisions=[one for one in precisions if one in DTYPES],
            compiled=compiled,
            on_model=on_model if exported else None,
        )
        report = measure_speed(
            updates,
            rounds=rounds,
            repeats=repeats,
            processor_time=processor_time,
            on_round=lambda number, name: bar.update(task, now=f"round {number + 1}: {name}"),
        )
    machine = describe_device("cpu")
    if plot is not None:
        plot_speed(report, plot)
    if as_json:
        print_json({"machine": machine, "size": size, **dataclasses.asdict(report)})
    else:
        print_speed(report, size=size, machine=machine)


def print_speed(report: SpeedReport, *, size: int, machine: str) -> None:
    """The report as a table."""
    kind = "CPU seconds" if report.processor_time else "seconds"
    print_table(
        f"An update at {size} x {size}, {report.threads} threads, {kind}",
        ["update", "in", "s", "times", "mean", "GFLOP", "peak", "state"],
        [
            [
                row.name,
                row.precision,
                f"{row.seconds:.3f}",
                f"{row.times:.1f}",
                f"{row.mean_times:.1f}",
                f"{row.gflop:.1f}",
                "" if row.share_of_peak is None else f"{row.share_of_peak:.0%}",
                megabytes(row.state_bytes),
            ]
            for row in report.rows
        ],
    )
    peaks = (f"{name} {peak:.0f}" for name, peak in report.peak_gflop_per_second.items())
    output.print(f"{machine}; matrix products, GFLOP/s: {', '.join(peaks)}")


def _precisions(asked: list[str] | None) -> tuple[str, ...]:
    import torch

    from vigilia.errors import OptionError
    from vigilia.running.model import fast_dtype

    for one in asked or ():
        if one not in RUNTIMES:
            raise OptionError(f"precision must be one of {', '.join(RUNTIMES)}, got {one!r}")
    has_bf16 = fast_dtype(torch.device("cpu")) is not None
    return tuple(one for one in RUNTIMES if (one in asked if asked else one != "bf16" or has_bf16))


RUNTIMES = {
    "float32": ("onnxruntime", "openvino"),
    "bf16": ("openvino",),
    "int8": ("onnxruntime",),
}
"""What runs an exported step in each precision."""


def _exported(
    name: str, model: StreamClassifier, gflop: float, folder: Path, precisions: Sequence[str]
) -> list[Update]:
    """The model's step as other runtimes run it."""
    from vigilia.bench.speed.updates import update_of
    from vigilia.export import ExportedStep, export_model

    updates = []
    path = folder / "step.onnx"
    for precision in precisions:
        export_model(model, path, precision=precision)
        for runtime in RUNTIMES[precision]:
            step = ExportedStep(path, runtime=runtime)
            updates.append(update_of(f"{name}, {runtime}", step, precision=precision, gflop=gflop))
    return updates
