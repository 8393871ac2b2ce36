"""A recording with which of its moments mattered to a model with multi-scale relevance.

Letters: S clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import OptionError
from vigilia.evaluation.watching import watch
from vigilia.files import write_atomically
from vigilia.relevance import Moments, TemporalRelevance, moments_of
from vigilia.running.recording import RunUpdate
from vigilia.stream import StreamClassifier
from vigilia.timeline import Timeline

__all__ = ["Relevant", "watch_moments", "write_moments"]


@dataclass(frozen=True)
class Relevant:
    """A recording as it was taken.

    Attributes:
        timeline: what the model saw.
        start_seconds: (S,) where each clip's labelled time begins.
        end_seconds: (S,) where it ends.
        moments: how the clips were weighed.
    """

    timeline: Timeline
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    moments: Moments


def watch_moments(
    video: str | Path,
    model: StreamClassifier,
    *,
    max_gap_seconds: float = 2.0,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Relevant:
    """Runs a model over a recording, as `vigilia.run` does, and keeps how each clip was weighed.

    Args:
        video: file, folder of recorder chunks, glob.
        model: with the memory "multiscale", in evaluation mode.
        max_gap_seconds: a longer time without a frame is unobserved.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be read.
        OptionError: the model weighs no moments.
    """
    if not isinstance(model.memory, TemporalRelevance):
        raise OptionError(
            f"{model.spec.name} with {model.spec.memory} weighs no moments; train one with "
            "--memory multiscale"
        )
    seen = watch(
        video,
        model,
        lambda clip: clip.state.memory,
        max_gap_seconds=max_gap_seconds,
        on_update=on_update,
    )
    return Relevant(seen.timeline, seen.start_seconds, seen.end_seconds, moments_of(seen.kept))


def write_moments(found: Relevant, folder: Path) -> None:
    """Writes timeline.csv and .json, moments.csv and moments.png into a folder.

    Raises:
        OutputError: the folder cannot be written to.
    """
    from vigilia.timeline.plots import plot_timeline

    folder.mkdir(parents=True, exist_ok=True)
    found.timeline.to_csv(folder / "timeline.csv")
    found.timeline.to_json(folder / "timeline.json")
    moments = found.moments
    columns = {
        "relevance": moments.taken,
        "kept_at_end": moments.kept,
        "among_recent": moments.clips,
        "frames": moments.scales[:, 0],
        "clips": moments.scales[:, 1],
        "sequence": moments.scales[:, 2],
    }
    spans = zip(found.start_seconds.tolist(), found.end_seconds.tolist(), strict=True)
    values = zip(*(one.tolist() for one in columns.values()), strict=True)
    lines = [
        ",".join([f"{start:.3f}", f"{end:.3f}", *(f"{value:.6g}" for value in row)])
        for (start, end), row in zip(spans, values, strict=True)
    ]
    head = ",".join(["start_seconds", "end_seconds", *columns])
    write_atomically(folder / "moments.csv", "\n".join([head, *lines]) + "\n")
    plot_timeline(found.timeline, folder / "moments.png", extra=moments.curves())
