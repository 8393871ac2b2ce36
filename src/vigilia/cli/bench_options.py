"""Options that benchmarks of speed share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["AsJson", "Device", "Model", "Plot"]

Plot = Annotated[Path | None, typer.Option(help="Picture of the result to write, .png.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Model = Annotated[
    str, typer.Option(help="A model file, a bundled model, or a backbone such as swin3d_t.")
]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")]
