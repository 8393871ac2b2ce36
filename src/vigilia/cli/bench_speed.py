"""`vigilia bench decode | streams | soak`: what this machine can do."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from vigilia.cli.show import (
    clock,
    errors,
    megabytes,
    output,
    print_json,
    print_table,
    progress_bar,
)

__all__ = ["decode", "soak", "streams"]

Plot = Annotated[Path | None, typer.Option(help="Picture of the result to write, .png.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str, typer.Option(help="A model file, a bundled model, or a backbone such as swin3d_t.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]


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


def streams(
    model: Model = "pen",
    device: Device = "cpu",
    batch: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rows of a step. [default: the best]")
    ] = None,
    intervals: Annotated[
        int, typer.Option(metavar="N", min=2, help="Update intervals of a trial.")
    ] = 6,
    peak_tflops: Annotated[
        float, typer.Option(metavar="N", help="Derivation: a device's peak, dense bf16.")
    ] = 989.0,
    fraction: Annotated[
        float, typer.Option(metavar="N", help="Derivation: what a step reaches of it.")
    ] = 0.3,
    memory_gb: Annotated[
        float, typer.Option(metavar="N", help="Derivation: the device's memory.")
    ] = 141.0,
    plot: Plot = None,
    as_json: AsJson = False,
) -> None:
    """Find how many live streams this device holds, and what binds.

    It holds a number of streams while the 95th percentile of their lag is below one update
    interval. Steps are real, idle time is left out, clips lie ready; decoding is measured apart.
    At the end the same is derived, not measured, for a device of which only the data sheet is
    known: by default an H200.

    Example:

        vigilia bench streams --model swin3d_t --intervals 3
    """
    from vigilia.bench.speed.limits import Limits, derive_streams, measure_camera, memory_limit
    from vigilia.bench.speed.live import LiveTrial, best_batch, find_streams
    from vigilia.bench.speed.machine import available_bytes, describe_device
    from vigilia.bench.speed.plots import plot_live
    from vigilia.files import check_writable
    from vigilia.models import describe_model, resolve_model

    check_writable(plot)
    classifier = resolve_model(model, device=device)
    pre = classifier.preprocessing
    state_bytes = classifier.init_state(1).nbytes
    waiting_bytes = 2 * pre.clip_frames * pre.height * pre.width * 3
    flop = 1e9 * describe_model(classifier, _clip_of_shape(classifier)).gflop_per_step
    derived = derive_streams(
        flop_per_step=flop,
        interval_seconds=pre.stride_seconds,
        state_bytes=state_bytes,
        waiting_bytes=waiting_bytes,
        peak_flop_per_second=1e12 * peak_tflops,
        fraction_of_peak=fraction,
        memory_bytes=1e9 * memory_gb,
    )
    free = available_bytes(device)
    sizes = (batch,) if batch is not None else (1, 2, 4, 8, 16, 32, 64)
    rows, step_seconds = best_batch(classifier, sizes=sizes)

    def tell(trial: LiveTrial) -> None:
        errors.print(f"{trial.streams} streams: lag {_seconds(trial.lag_p95_seconds)}")

    held, trials = find_streams(
        classifier, batch=rows, step_seconds=step_seconds, intervals=intervals, on_trial=tell
    )
    camera = measure_camera()
    limits = Limits(
        computing=rows * pre.stride_seconds / step_seconds,
        memory=memory_limit(free, state_bytes=state_bytes, waiting_bytes=waiting_bytes),
        decoding=camera.cameras,
        state_bytes=state_bytes,
        waiting_bytes=waiting_bytes,
    )
    if plot is not None:
        plot_live(trials, pre.stride_seconds, plot)
    if as_json:
        print_json(
            {
                "device": describe_device(device),
                "model": model,
                "interval_seconds": pre.stride_seconds,
                "batch": rows,
                "step_seconds": step_seconds,
                "streams": held,
                "trials": [_finite(dataclasses.asdict(trial)) for trial in trials],
                "limits": dataclasses.asdict(limits) | {"binds": limits.binds},
                "camera": camera.description,
                "derived": dataclasses.asdict(derived)
                | {
                    "binds": derived.binds,
                    "peak_tflops": peak_tflops,
                    "fraction_of_peak": fraction,
                    "memory_gb": memory_gb,
                    "flop_per_step": flop,
                },
            }
        )
        return
    print_table(
        f"{model} on {describe_device(device)}, batches of {rows}",
        ["streams", "lag p50", "lag p95", "dropped", "busy", "rows a batch"],
        [
            [
                str(trial.streams),
                _seconds(trial.lag_p50_seconds),
                _seconds(trial.lag_p95_seconds),
                f"{trial.dropped:.0%}",
                f"{trial.busy:.0%}",
                f"{trial.rows:.1f}",
            ]
            for trial in trials
        ],
    )
    output.print(
        f"{held} live streams at one update every {pre.stride_seconds:g} s "
        f"({rows} steps in {step_seconds * 1e3:.1f} ms); "
        f"{megabytes(state_bytes)} of state and {megabytes(waiting_bytes)} of waiting clips each"
    )
    output.print(
        f"limits: computing {limits.computing:.0f}, memory {_count(limits.memory)}, decoding "
        f"{_count(limits.decoding)} ({camera.description}); {limits.binds} binds"
    )
    output.print(
        f"derived, not measured, from {flop / 1e9:.1f} GFLOP a step: {fraction:.0%} of "
        f"{peak_tflops:g} TFLOP/s and {memory_gb:g} GB would hold {derived.computing:.0f} by "
        f"computing, {_count(derived.memory)} by memory; {derived.binds} binds"
    )


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


def _clip_of_shape(model: Any) -> Any:
    import torch

    pre = model.preprocessing
    shape = (1, 3, pre.clip_frames, pre.height, pre.width)
    return torch.zeros(shape, device=model.head.weight.device)


def _seconds(value: float) -> str:
    return "endless" if math.isinf(value) else f"{value:.2f} s"


def _count(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}"


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """JSON has no infinity."""
    return {
        name: None if isinstance(value, float) and math.isinf(value) else value
        for name, value in row.items()
    }
