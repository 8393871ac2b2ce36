"""`vigilia views`: what a short clip shows, over many views and several models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vigilia.cli.show import output, print_json, print_table

__all__ = ["views"]

SHOWN = 3


def views(
    videos: Annotated[
        list[Path], typer.Argument(metavar="VIDEO...", help="Clips that each show one thing.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model file or a backbone's name; several are averaged. [default: pen]"
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="With a backbone's name: kinetics400.")
    ] = None,
    temporal: Annotated[int, typer.Option(metavar="N", min=1, help="Times of a clip.")] = 10,
    spatial: Annotated[int, typer.Option(metavar="N", min=1, help="Crops of a picture.")] = 3,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Classify short clips as papers test: the mean over 10 times x 3 crops.

    Every view is judged by itself, without memory of the others, and costs what a step costs. For
    recordings in which something changes there is `vigilia run`.

    Examples:

        vigilia views dance.mp4 --model swin3d_t --weights kinetics400

        vigilia views a.mp4 b.mp4 --model one.safetensors --model two.safetensors --spatial 1
    """
    from vigilia.evaluation.views import classify_views
    from vigilia.models import resolve_model

    models = [resolve_model(one, weights=weights, device=device).eval() for one in model or ["pen"]]
    found = {
        str(video): classify_views(video, models, temporal=temporal, spatial=spatial)
        for video in videos
    }
    if as_json:
        print_json(
            [
                {
                    "video": video,
                    "label": one.label,
                    "views": len(one.by_view),
                    "probabilities": dict(
                        zip(one.classes, one.probabilities.tolist(), strict=True)
                    ),
                }
                for video, one in found.items()
            ]
        )
        return
    rows = []
    for video, one in found.items():
        best = one.probabilities.argsort()[::-1][:SHOWN]
        rows.append(
            [video, *(f"{one.classes[index]} {one.probabilities[index]:.2f}" for index in best)]
        )
    columns = max(len(row) for row in rows)
    print_table(
        f"mean of {temporal} x {spatial} views, {len(models)} model(s)",
        ["video", "first", "second", "third"][:columns],
        rows,
    )
    output.print("Each view is judged by itself.")
