"""A recording run as `vigilia.run` does, with something of the state kept behind every clip.

Letters: S clips.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vigilia.running.classify import classify
from vigilia.running.recording import Recording, RunUpdate, Settings
from vigilia.stream import StreamClassifier
from vigilia.timeline import SegmenterOptions, Timeline
from vigilia.video import prefetch

__all__ = ["Watched", "watch_states"]


@dataclass(frozen=True)
class Watched:
    """A recording as it was taken.

    Attributes:
        timeline: what the model saw.
        start_seconds: (S,) where each clip's labelled time begins.
        end_seconds: (S,) where it ends.
        kept: S values, what was kept of the state behind each clip.
    """

    timeline: Timeline
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    kept: list[Any]


def watch_states(
    video: str | Path,
    model: StreamClassifier,
    keep: Callable[[Any], Any],
    *,
    max_gap_seconds: float = 2.0,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Watched:
    """Runs a model over a recording.

    Args:
        video: file, folder of recorder chunks, glob.
        model: in evaluation mode.
        keep: of the state behind a clip, what is wanted of it; let it be small.
        max_gap_seconds: a longer time without a frame is unobserved.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be read.
    """
    settings = Settings(SegmenterOptions(), max_gap_seconds, False, 5.0, None)
    starts, ends, kept = [], [], []
    with Recording(video, model, settings, out=None) as recording:
        ahead = 2 * model.preprocessing.clip_frames
        with closing(prefetch(recording.items(), size=ahead)) as source, recording.sound() as sound:
            for step in classify(source, model, recording.progress, sound=sound):
                if step.probabilities is not None:
                    starts.append(step.start_seconds)
                    ends.append(step.end_seconds)
                    kept.append(keep(step.progress.state))
                update = recording.take(
                    step.start_seconds,
                    step.end_seconds,
                    step.probabilities,
                    lambda: step.progress,  # noqa: B023
                )
                if on_update is not None:
                    on_update(update)
        timeline = recording.finish()
    return Watched(timeline, np.array(starts, np.float64), np.array(ends, np.float64), kept)
