"""`vigilia average`: one model out of several checkpoints of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import output

__all__ = ["average"]


def average(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Model files that are built alike.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The model file to write.")],
) -> None:
    """Average the weights of checkpoints of one training.

    The mean of several late checkpoints is often better than each, and costs nothing when it runs.
    Models of different trainings do not average to anything useful.

    Example:

        vigilia average a.safetensors b.safetensors c.safetensors --out mean.safetensors
    """
    from vigilia.checkpoint import load_classifier, save_model
    from vigilia.errors import OptionError
    from vigilia.stream.averaging import average_models

    if out.is_dir():
        raise OptionError(f"{out}: is a folder; name the model file to write in it")
    save_model(average_models([load_classifier(path) for path in models]), out)
    output.print(f"{out}: the mean of {len(models)} models")
