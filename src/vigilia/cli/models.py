"""`vigilia models`: what there is and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from vigilia.cli.show import output, print_json, print_table

__all__ = ["models"]


def models(
    size: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=8, help="Height and width of the frames. [default: 224, nano 64]"
        ),
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
        "Models with 400 classes",
        [
            "model",
            "memory",
            "size",
            "weights",
            "GFLOP",
            "state MB",
            "bf16",
            "frames",
            "reach",
        ],
        [
            [
                facts.name,
                facts.memory,
                f"{pixels}",
                f"{facts.parameters / 1e6:.1f} M",
                f"{facts.gflop_per_step:.1f}",
                f"{facts.state_bytes / 1e6:.1f}",
                f"{facts.state_bytes_bfloat16 / 1e6:.1f}",
                f"{facts.receptive_frames}",
                f"{facts.memory_seconds:.0f} s" if facts.memory_seconds else "-",
            ]
            for pixels, facts in rows
        ],
    )
    output.print(
        "weights: parameters; GFLOP: a step (one clip, every 2 s at 4 frames a second and stride 8)"
        "; state: what a stream remembers, float32 and bfloat16; frames: receptive field without "
        "memory; reach: of the recent tier, the feedback tier of fam has no horizon"
    )
    output.print("Bundled, ready to run: " + "; ".join(f"{k} ({v})" for k, v in BUNDLED.items()))
