"""`vigilia models`: what there is and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from vigilia.cli.show import megabytes, output, print_json, print_table

__all__ = ["models"]


def models(
    size: Annotated[
        int | None,
        typer.Option(min=8, help="Height and width of the frames. [default: 224, nano 64]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models: parameters, operations a step, bytes a stream remembers, reach.

    Nothing is downloaded and nothing is computed: the figures are counted from the shapes.

    Example:

        vigilia models --json
    """
    import dataclasses

    from vigilia.backbones import BACKBONES
    from vigilia.memory import MEMORIES
    from vigilia.models import BUNDLED, describe

    rows = []
    for name in BACKBONES:
        pixels = size or (64 if name.endswith("nano") else 224)
        for memory in MEMORIES:
            rows.append((pixels, describe(name, memory, size=pixels)))
    if as_json:
        print_json([{"size": pixels, **dataclasses.asdict(facts)} for pixels, facts in rows])
        return
    print_table(
        "Models for 32-frame clips and 400 classes; a stream's state as float32 and bfloat16",
        [
            "backbone",
            "memory",
            "frame",
            "parameters",
            "GFLOP a step",
            "state",
            "state, bf16",
            "sees",
            "recent tier reaches",
        ],
        [
            [
                facts.name,
                facts.memory,
                f"{pixels}",
                f"{facts.parameters / 1e6:.1f} M",
                f"{facts.gflop_per_step:.1f}",
                megabytes(facts.state_bytes),
                megabytes(facts.state_bytes_bfloat16),
                f"{facts.receptive_frames} frames",
                f"{facts.memory_seconds:.0f} s" if facts.memory_seconds else "-",
            ]
            for pixels, facts in rows
        ],
    )
    output.print("A step is one clip; at 4 frames a second and stride 8 there is one every 2 s.")
    output.print("Bundled, ready to run: " + "; ".join(f"{k} ({v})" for k, v in BUNDLED.items()))
