"""`vigilia run --ray`: the same command, the recordings spread over the machines of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import Progress

from vigilia.cli.run_display import JobDisplay, RecordingDisplay
from vigilia.cli.show import errors

if TYPE_CHECKING:
    from vigilia.export import ExportedStep
    from vigilia.running import Outcome, RunUpdate
    from vigilia.scale import Parcel
    from vigilia.stream import StreamClassifier

__all__ = ["run_spread"]


def run_spread(
    videos: Sequence[str],
    folders: Sequence[Path],
    *,
    model: str,
    loaded: StreamClassifier | ExportedStep,
    runtime: str | None,
    bar: Progress,
    shown: Sequence[RecordingDisplay],
    **options: Any,
) -> list[Outcome]:
    """Runs recordings over Ray and shows how far they are.

    Args:
        videos: recordings.
        folders: of their results.
        model: as it was named.
        loaded: what the name stands for.
        runtime: of an exported step.
        bar: for the job as a whole.
        shown: a display a recording.
        options: of `vigilia.scale.run_on_ray`.
    """
    from vigilia.scale import run_on_ray

    whole = JobDisplay(bar, len(videos))

    def updated(index: int, update: RunUpdate) -> None:
        shown[index].update(update)

    def done(index: int, outcome: Outcome) -> None:
        shown[index].finish(outcome.timeline)
        whole.ended()

    return run_on_ray(
        videos,
        outs=folders,
        model=_packed(model, loaded, runtime),
        on_update=updated,
        on_done=done,
        on_wait=lambda why: errors.print(f"note: {why}"),
        **options,
    )


def _packed(
    model: str, loaded: StreamClassifier | ExportedStep, runtime: str | None
) -> StreamClassifier | Parcel:
    from vigilia.export import ExportedStep
    from vigilia.scale import Parcel

    if isinstance(loaded, ExportedStep):
        return Parcel.of_file(model, partial(ExportedStep, runtime=runtime))
    return loaded
