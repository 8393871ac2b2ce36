"""`vigilia adapt`: a trained model, and recordings of a camera that it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vigilia.cli.show import errors, output, print_json, print_table, progress_bar

if TYPE_CHECKING:
    from vigilia.adaptation import Adapted

__all__ = ["adapt"]


def adapt(
    model: Annotated[str, typer.Argument(help="A model file, or a bundled model.")],
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...", help="Of the new camera: files, folders of recordings, patterns."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The model file to write.")],
    method: Annotated[
        list[str] | None,
        typer.Option(help="light, norms, entropy; may be repeated. [default: light, norms]"),
    ] = None,
    updates: Annotated[int, typer.Option(metavar="N", min=1, help="Of entropy.")] = 60,
    learning_rate: Annotated[float, typer.Option(metavar="N", help="Of entropy.")] = 0.001,
    sure: Annotated[
        float, typer.Option(metavar="N", help="Entropy learns from clips less in doubt than this.")
    ] = 0.4,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of entropy.")] = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Write the model even if something speaks against it.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    cache: Annotated[
        Path | None, typer.Option(help="Folder for decoded frames. [default: OUT.frames]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Adapt a model to a new camera from recordings that nobody labelled.

    light gives the pixels the mean and deviation of the training's; norms takes the statistics of
    batch norms anew, where there are any; entropy lets the norms learn to be sure, within bounds,
    and can do harm. Printed is what changed on the last quarter of the recordings, which nothing
    was learned from. Ends with 1, and writes nothing, if the recordings look like the training and
    came no nearer to it, if the answers fall into one class, or if embeddings move away from the
    training's.
    Whether it got better only labels can tell: `vigilia evaluate` on minutes of the new camera.

    Examples:

        vigilia adapt sow.safetensors barn2/*.mp4 --out sow-barn2.safetensors

        vigilia adapt sow.safetensors night.mp4 --method light --out night.safetensors
    """
    from vigilia.adaptation import AdaptOptions, adapt_recordings

    usual = AdaptOptions()
    options = AdaptOptions(
        methods=tuple(method) if method else usual.methods,
        updates=updates,
        learning_rate=learning_rate,
        sure=sure,
        seed=seed,
    )
    with progress_bar() as bar:
        decoding = bar.add_task("decoding", total=None)
        learning = bar.add_task("learning", total=None, visible=False)

        def on_frame(name: str, seconds: float, duration: float | None) -> None:
            bar.update(decoding, description=name, completed=seconds, total=duration)

        def on_update(done: int, total: int) -> None:
            bar.update(decoding, visible=False)
            bar.update(learning, visible=True, completed=done, total=total)

        found = adapt_recordings(
            model,
            videos,
            out=out,
            options=options,
            force=force,
            device=device,
            cache=cache,
            on_frame=on_frame,
            on_update=on_update,
        )
    if as_json:
        print_json({"out": str(out) if force or not found.refused else None, **found.as_dict()})
    else:
        _tell(found)
        if not found.refused or force:
            output.print(f"{out}: adapted by {', '.join(found.done)}; test it on labels")
    for reason in found.refused:
        errors.print(f"{'note' if force else 'refused'}: {reason}")
    if found.refused and not force:
        raise typer.Exit(1)


def _tell(found: Adapted) -> None:
    told: dict[str, Any] = found.as_dict()
    rows = [
        [f"says {name}", *(f"{100 * told[side]['shares'][name]:.0f} %" for side in SIDES)]
        for name in found.model.classes
    ]
    rows.append(["doubt, 0 is sure", *(f"{told[side]['doubt']:.2f}" for side in SIDES)])
    if told["before"]["distance"] is not None:
        far = [f"{told[side]['distance']:.2f}" for side in SIDES]
        rows.append(["embeddings, 1 is usual at most", *far])
    print_table("on the last quarter of the recordings", ["", *SIDES], rows)
    output.print(f"{100 * told['changed']:.0f} % of the clips are named otherwise")


SIDES = ("before", "after")
