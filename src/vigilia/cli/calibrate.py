"""`vigilia calibrate`: a trained model whose probabilities mean what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.label_options import (
    EpochSeconds,
    LabelColumn,
    LabelFps,
    Recording,
    Scorer,
    Subject,
    warnings_as_lines,
)
from vigilia.cli.show import errors, output, print_json, progress_bar

__all__ = ["calibrate"]


def calibrate(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...", help="That the model did not learn from: files, folders, patterns."
        ),
    ],
    labels: Annotated[
        Path, typer.Argument(metavar="LABELS", help="A file or a folder, as `vigilia train` takes.")
    ],
    model: Annotated[str, typer.Option(help="A model file, or a bundled model.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The model file to write.")],
    label_fps: LabelFps = None,
    epoch_seconds: EpochSeconds = None,
    label_column: LabelColumn = None,
    recording: Recording = None,
    subject: Subject = None,
    scorer: Scorer = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for decoded frames. [default: OUT.frames]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a model as sure as it is right, by one temperature.

    No answer changes, only the probabilities: after a training they are too high as a rule. Printed
    is the expected calibration error on recordings that were left out, each with the temperature of
    the others. `vigilia evaluate --report` draws it.

    Example:

        vigilia calibrate night[45].mp4 barn.csv --model sow.safetensors --out sure.safetensors
    """
    from vigilia.models import resolve_model
    from vigilia.timeline import LabelOptions
    from vigilia.training.calibrating import calibrate_recordings
    from vigilia.training.sources import read_annotated

    options = LabelOptions(label_fps, epoch_seconds, label_column, recording, subject, scorer)
    with warnings_as_lines():
        annotated = read_annotated(videos, labels, options)
    learned = set(resolve_model(model).card.get("recordings", ()))
    for name in sorted(learned & {one.video.name for one in annotated}):
        errors.print(
            f"note: the model learned from a recording called {name}; it is right more often there "
            "than elsewhere, and would stay too sure"
        )
    with progress_bar() as bar:
        decoding = bar.add_task("decoding", total=None)

        def on_frame(name: str, seconds: float, duration: float | None) -> None:
            bar.update(decoding, description=name, completed=seconds, total=duration)

        found = calibrate_recordings(
            model, annotated, out=out, device=device, cache=cache, on_frame=on_frame
        )
    if as_json:
        print_json({"out": str(out), **found.as_dict()})
        return
    where = "recordings left out of the fit" if found.left_out else "the recording of the fit"
    before, after = found.error
    output.print(
        f"{out}: temperature {found.temperature:.2f}; on {where} the expected calibration error is "
        f"{after:.3f} in place of {before:.3f}"
    )
