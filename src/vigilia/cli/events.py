"""`vigilia events show | convert | simulate`: recordings of event cameras."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import errors, output, print_json, print_table, progress_bar

__all__ = ["events"]

events = typer.Typer(
    name="events",
    help="Show, convert and simulate recordings of event cameras: N-MNIST, DAT, EVT2, EVT3, "
    "AEDAT 2, AEDAT4, Event Stream, DSEC.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The recording.")]
From = Annotated[
    str | None,
    typer.Option("--from", metavar="FORMAT", help="Its format. [default: from what it holds]"),
]
Width = Annotated[
    int | None,
    typer.Option(metavar="N", help="Of the sensor, with --height. [default: from the file]"),
]
Height = Annotated[int | None, typer.Option(metavar="N", help="Of the sensor.")]
To = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="Format to write. [default: from the ending of OUT]"),
]
GUESSED = "not in the file: the smallest sensor in use that holds all events"


@events.command()
def show(
    file: File,
    plot: Annotated[
        Path | None, typer.Option(metavar="OUT.png", help="Draw where and when events are.")
    ] = None,
    from_: From = None,
    width: Width = None,
    height: Height = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Summarise a recording: sensor, length, rate, polarity, and what is wrong with it.

    Examples:

        vigilia events show night.raw --plot night.png

        vigilia events show digit.bin --width 34 --height 34 --json
    """
    from vigilia.events import PROBLEMS, open_events, summarise
    from vigilia.events.plots import plot_events

    with open_events(file, format=from_, width=width, height=height) as reader:
        summary, activity = summarise(reader)
    if plot is not None:
        plot_events(summary, activity, plot)
    if as_json:
        print_json(dataclasses.asdict(summary))
        return
    guessed = f" ({GUESSED})" if summary.sensor_from == "guess" else ""
    rows = [
        ["format", summary.format],
        ["sensor", f"{summary.width}x{summary.height}"],
        ["events", f"{summary.events:,}"],
        ["duration", f"{summary.duration_seconds:.6f} s"],
        ["events/s", _number(summary.events_per_second)],
        [
            f"events/s, busiest {1000 * summary.peak_seconds:g} ms",
            _number(summary.peak_events_per_second),
        ],
        ["share of ON", "-" if summary.on_share is None else f"{summary.on_share:.1%}"],
        ["pixels that fired", f"{summary.active_share:.1%}"],
    ]
    print_table(str(file), ["recording", ""], rows)
    if guessed:
        output.print(f"the sensor's size is{guessed}; give --width and --height if you know it")
    for name, count in summary.problems.items():
        number = "" if name == "no_events" else f"{count:,} "
        output.print(f"problem: {number}{PROBLEMS[name]}")


@events.command()
def convert(
    file: File,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="File to write.")],
    from_: From = None,
    to: To = None,
    width: Width = None,
    height: Height = None,
) -> None:
    """Convert a recording into another format: atis (.bin), dat, evt2 or evt3 (.raw).

    Examples:

        vigilia events convert night.aedat4 night.dat

        vigilia events convert walk.es walk.raw --to evt2
    """
    from vigilia.errors import OptionError
    from vigilia.events import open_events, write_events

    if out.exists() and file.exists() and out.samefile(file):
        raise OptionError(f"{out} is the file that is read; choose another name")
    with open_events(file, format=from_, width=width, height=height) as reader:
        written = write_events(out, reader, width=reader.width, height=reader.height, format=to)
    output.print(
        f"{file} ({reader.format}) -> {out} ({written.format}): {written.events:,} events, "
        f"{reader.width}x{reader.height}"
    )
    _say_earlier(written.earlier_us)
    _say_problems(reader.problems)


@events.command()
def simulate(
    video: Annotated[Path, typer.Argument(metavar="VIDEO", help="An ordinary video.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="File of events: .dat, .raw, .bin.")
    ],
    width: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of the camera, with --height. [default: the video's]"),
    ] = None,
    height: Annotated[int | None, typer.Option(metavar="N", help="Of the camera.")] = None,
    threshold: Annotated[
        float, typer.Option(metavar="N", help="Change of log brightness that fires a pixel.")
    ] = 0.2,
    mismatch: Annotated[
        float, typer.Option(metavar="N", help="Standard deviation of thresholds among pixels.")
    ] = 0.03,
    refractory_us: Annotated[
        int, typer.Option(metavar="N", help="Microseconds a pixel is blind after an event.")
    ] = 500,
    leak_hz: Annotated[
        float, typer.Option(metavar="N", help="ON events a second of an unchanged pixel.")
    ] = 0.1,
    shot_noise_hz: Annotated[
        float, typer.Option(metavar="N", help="Noise events a second of a black pixel.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of mismatch and noise.")] = 0,
    to: To = None,
) -> None:
    """Show a video to a simulated event camera.

    Examples:

        vigilia events simulate barn.mp4 -o barn.dat --width 320 --height 180

        vigilia events simulate barn.mp4 -o clean.raw --leak-hz 0 --shot-noise-hz 0
    """
    from vigilia.events import EventCamera, simulate_events, write_events
    from vigilia.video import open_video

    with open_video(video, width=width, height=height) as frames, progress_bar() as bar:
        camera = EventCamera(
            frames.width,
            frames.height,
            on_threshold=threshold,
            off_threshold=threshold,
            mismatch=mismatch,
            refractory_us=refractory_us,
            leak_hz=leak_hz,
            shot_noise_hz=shot_noise_hz,
            seed=seed,
        )
        length = frames.duration_seconds
        task = bar.add_task("frames", total=None if length is None else length)

        def on_frame(seconds: float) -> None:
            bar.update(task, completed=seconds - frames.start_seconds)

        pieces = simulate_events(frames, camera, on_frame)
        written = write_events(out, pieces, width=camera.width, height=camera.height, format=to)
    output.print(
        f"{video} -> {out} ({written.format}): {written.events:,} events, "
        f"{camera.width}x{camera.height}"
    )
    _say_earlier(written.earlier_us)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _say_earlier(microseconds: int) -> None:
    if microseconds:
        errors.print(
            f"note: this format's times start anew after a while; every time in the file is "
            f"{microseconds} us earlier"
        )


def _say_problems(problems: dict[str, int]) -> None:
    from vigilia.events import PROBLEMS

    for name, count in problems.items():
        errors.print(f"note: {count:,} {PROBLEMS[name]}")
