"""`vigilia familiar`: is this recording like those that the model learned from?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigilia.cli.show import output, print_json

if TYPE_CHECKING:
    from vigilia.evaluation.familiarity import Verdict

__all__ = ["familiar"]


def familiar(
    video: Annotated[
        str, typer.Argument(metavar="VIDEO", help="A file, or a folder of recorder chunks.")
    ],
    model: Annotated[str, typer.Option(help="A model file, or a bundled model.")] = "pen",
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results. [default: ./VIDEO.familiar]")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, mps.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Tell whether a recording is like those of the training, second by second.

    Two distances, in units of what 95 % of the training stays within: of the picture (light,
    colour, focus, noise) and of what the backbone makes of it; and the model's doubt. Writes
    familiarity.csv (a row a second), familiarity.png and the timeline. Ends with 1 if most of the
    recording lies beyond: do not believe the timeline then; `vigilia adapt` may help.

    Example:

        vigilia familiar night4.mp4 --model sow.safetensors
    """
    from vigilia.evaluation.familiar import watch_familiarity, write_familiarity
    from vigilia.models import resolve_model
    from vigilia.running import name_of

    found = watch_familiarity(video, resolve_model(model, device=device))
    folder = out or Path(f"{name_of(video)}.familiar")
    write_familiarity(found, folder)
    verdicts = {"picture": found.looks, "embedding": found.means}
    if as_json:
        print_json(
            {
                "folder": str(folder),
                "unfamiliar": found.unfamiliar,
                "mean_doubt": float(found.doubt.mean()),
                **{
                    name: None
                    if one is None
                    else {
                        "share_beyond": one.share_beyond,
                        "median_distance": one.median_distance,
                        "unfamiliar": one.unfamiliar,
                    }
                    for name, one in verdicts.items()
                },
            }
        )
    else:
        for name, one in verdicts.items():
            output.print(f"{name}: {told(one)}")
        output.print(f"doubt: {found.doubt.mean():.2f} on average, 0 is sure; {folder}")
    if found.unfamiliar:
        raise typer.Exit(1)


def told(verdict: Verdict | None) -> str:
    """`unlike the training: 93 % of the clips lie beyond what is usual, 5 % would; ...`."""
    if verdict is None:
        return "not known: the model learned from one recording"
    how = "unlike the training" if verdict.unfamiliar else "like the training"
    return (
        f"{how}: {100 * verdict.share_beyond:.0f} % of the clips lie beyond what is usual "
        f"(5 % would), the median at {verdict.median_distance:.1f} times the limit"
    )
