"""A recording with how much each clip of it surprised the model, and alarms where it was much.

Letters: S clips.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vigilia.evaluation.watching import watch
from vigilia.files import write_atomically
from vigilia.relevance.surprise import Alarm, alarms
from vigilia.running.recording import RunUpdate
from vigilia.stream import StreamClassifier
from vigilia.stream.surprised import SurprisedState, surprised
from vigilia.timeline import Timeline

__all__ = ["Surprise", "watch_surprise", "write_surprise"]


@dataclass(frozen=True)
class Surprise:
    """A recording as it was taken.

    Attributes:
        timeline: what the model saw.
        start_seconds: (S,) where each clip's labelled time begins.
        end_seconds: (S,) where it ends.
        surprise: (S,) about 1 when all is as usual; 0 for the first two.
        alarms: stretches of much surprise.
    """

    timeline: Timeline
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    surprise: NDArray[np.float64]
    alarms: tuple[Alarm, ...]


def watch_surprise(
    video: str | Path,
    model: StreamClassifier,
    *,
    threshold: float = 6.0,
    release: float = 2.0,
    hold_seconds: float = 0.0,
    max_gap_seconds: float = 2.0,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Surprise:
    """Runs a model over a recording, as `vigilia.run` does, and keeps each clip's surprise.

    Args:
        video: file, folder of recorder chunks, glob.
        model: in evaluation mode.
        threshold: an alarm begins at it or above.
        release: and ends below this.
        hold_seconds: only if it stays below for so long.
        max_gap_seconds: a longer time without a frame is unobserved.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be read.
        OptionError: an option has a value that cannot work.
    """
    nothing = np.zeros(0)
    alarms(nothing, nothing, nothing, threshold=threshold, release=release)  # before the night
    seen = watch(
        video,
        surprised(model),
        lambda clip: float(cast(SurprisedState, clip.state).surprise[0]),
        max_gap_seconds=max_gap_seconds,
        on_update=on_update,
    )
    begun, ended, told = seen.start_seconds, seen.end_seconds, np.array(seen.kept, np.float64)
    found = alarms(
        begun, ended, told, threshold=threshold, release=release, hold_seconds=hold_seconds
    )
    return Surprise(seen.timeline, begun, ended, told, found)


def write_surprise(found: Surprise, folder: Path) -> None:
    """Writes timeline.csv and .json, surprise.csv, alarms.csv and surprise.png into a folder.

    Raises:
        OutputError: the folder cannot be written to.
    """
    from vigilia.timeline.plots import plot_timeline

    folder.mkdir(parents=True, exist_ok=True)
    found.timeline.to_csv(folder / "timeline.csv")
    found.timeline.to_json(folder / "timeline.json")
    rows = zip(
        found.start_seconds.tolist(),
        found.end_seconds.tolist(),
        found.surprise.tolist(),
        strict=True,
    )
    lines = [f"{start:.3f},{end:.3f},{value:.4f}" for start, end, value in rows]
    write_atomically(
        folder / "surprise.csv", "\n".join(["start_seconds,end_seconds,surprise", *lines]) + "\n"
    )
    lines = [f"{a.start_seconds:.3f},{a.end_seconds:.3f},{a.peak:.4f}" for a in found.alarms]
    write_atomically(
        folder / "alarms.csv", "\n".join(["start_seconds,end_seconds,peak", *lines]) + "\n"
    )
    plot_timeline(
        found.timeline,
        folder / "surprise.png",
        extra={"surprise": (found.end_seconds, found.surprise)},
    )
