"""`vigilia bench streams`: how many live streams this machine holds."""

from __future__ import annotations

import dataclasses
import math
from typing import Annotated, Any

import typer

from vigilia.cli.bench_options import AsJson, Device, Model, Plot
from vigilia.cli.show import errors, megabytes, output, print_json, print_table

__all__ = ["streams"]


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
    from vigilia.models import resolve_model

    check_writable(plot)
    classifier = resolve_model(model, device=device)
    pre = classifier.preprocessing
    state_bytes = classifier.init_state(1).nbytes
    waiting_bytes = 2 * pre.clip_frames * pre.height * pre.width * 3
    flop = _flop_elsewhere(classifier)
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


def _flop_elsewhere(model: Any) -> float:
    """Of a step on the device that is derived: only a CPU leaves out what masks forbid."""
    import copy

    import torch

    from vigilia.models import describe_model

    pre = model.preprocessing
    clip = torch.zeros(1, 3, pre.clip_frames, pre.height, pre.width, device="meta")
    return 1e9 * describe_model(copy.deepcopy(model).to("meta"), clip).gflop_per_step


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
