"""`vigilia bench decode | soak`: what this machine can do."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.bench_options import AsJson, Device, Model, Plot
from vigilia.cli.show import (
    clock,
    megabytes,
    output,
    print_json,
    print_table,
    progress_bar,
)

__all__ = ["decode", "soak"]


def decode(
    video: Annotated[
        Path | None, typer.Argument(help="1080p H.264 of noise is made if none is named.")
    ] = None,
    seconds: Annotated[
        float, typer.Option(metavar="N", min=1, help="Length of the video that is made.")
    ] = 20.0,
    rounds: Annotated[int, typer.Option(metavar="N", min=1, help="The best one counts.")] = 3,
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="For decoding; 0: FFmpeg chooses.")
    ] = 0,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Time our reader beside PyAV, OpenCV and torchcodec, as ratios of one run.

    Everything is decoded, 4 samples a second are kept, each 224 x 224. OpenCV and torchcodec take
    part where they are installed. Then our reader reads several recordings side by side.

    Example:

        vigilia bench decode --rounds 5
    """
    from vigilia.bench.speed.decode import make_recording, measure_decoding, readers
    from vigilia.bench.speed.plots import plot_decoding
    from vigilia.files import check_writable

    check_writable(plot)
    found, absent = readers()
    with tempfile.TemporaryDirectory() as folder:
        path = video or make_recording(Path(folder) / "made.mp4", seconds=seconds)
        rows = measure_decoding(path, found, rounds=rounds, threads=threads)
    if plot is not None:
        plot_decoding(rows, plot)
    if as_json:
        print_json({"rows": [dataclasses.asdict(row) for row in rows], "absent": absent})
        return
    print_table(
        "Samples a second at 4 FPS, 224 x 224",
        ["reader", "at once", "samples/s", "ratio", "per processor second"],
        [
            [
                row.reader,
                str(row.recordings),
                f"{row.samples / row.wall_seconds:.1f}",
                f"{row.ratio:.2f}",
                f"{row.processor_ratio:.2f}",
            ]
            for row in rows
        ],
    )
    for name, reason in absent.items():
        output.print(f"{name} was left out: {reason}")


def soak(
    hours: Annotated[
        float, typer.Option(metavar="N", min=0.01, help="Simulated, of each stream.")
    ] = 1.0,
    model: Model = "pen",
    device: Device = "cpu",
    count: Annotated[
        int, typer.Option("--streams", metavar="N", min=1, help="Streams side by side.")
    ] = 4,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Run streams for simulated hours and see whether memory grows.

    Moving and still noise, holes, queues that run over, streams that come and go.

    Example:

        vigilia bench soak --hours 24
    """
    from vigilia.bench.speed.machine import describe_device
    from vigilia.bench.speed.plots import plot_soak
    from vigilia.bench.speed.soak import SoakSample
    from vigilia.bench.speed.soak import soak as run_soak
    from vigilia.files import check_writable
    from vigilia.models import resolve_model

    check_writable(plot)
    classifier = resolve_model(model, device=device)
    with progress_bar("{task.fields[told]}") as bar:
        task = bar.add_task("hours", total=hours, told="")

        def tell(look: SoakSample) -> None:
            bar.update(task, completed=look.hours, told=megabytes(look.resident_bytes))

        report = run_soak(classifier, hours=hours, streams=count, on_look=tell)
    if plot is not None:
        plot_soak(report, plot)
    if as_json:
        print_json(
            {"device": describe_device(device), "model": model, **dataclasses.asdict(report)}
        )
        return
    shown = report.samples[:: max(1, len(report.samples) // 10)]
    on_device = any(look.device_bytes for look in report.samples)
    print_table(
        f"{report.streams} streams of {model} on {describe_device(device)}",
        ["simulated", "steps", "resident", "states", *(["on the device"] if on_device else [])],
        [
            [
                clock(3600 * look.hours),
                str(look.steps),
                megabytes(look.resident_bytes),
                megabytes(look.state_bytes),
                *([megabytes(look.device_bytes)] if on_device else []),
            ]
            for look in shown
        ],
    )
    device_growth = report.device_slope_bytes_per_hour / 1e6
    output.print(
        f"resident memory {report.slope_bytes_per_hour / 1e6:+.3f} MB an hour of each stream "
        f"(standard error {report.slope_error / 1e6:.3f}); "
        + (f"the device's {device_growth:+.3f} MB an hour; " if on_device else "")
        + f"bytes of state {'changed' if report.state_bytes_changed else 'never changed'}; "
        f"{report.steps} steps, {report.kept} skipped, {report.dropped} dropped"
    )
