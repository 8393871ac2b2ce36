"""A recording run as `vigilia.run` does, with something kept of every clip.

Letters: S clips, H W pixels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from vigilia.video import Gap, Sample, prefetch

__all__ = ["ClipSeen", "RecordingSeen", "watch"]


@dataclass(frozen=True)
class ClipSeen:
    """A clip, while it is the newest.

    Attributes:
        probabilities: (K,).
        state: of the model behind it.
        pixels: samples (H, W, 3) uint8 since the clip before; none in a hole.
    """

    probabilities: NDArray[np.float32]
    state: Any
    pixels: list[NDArray[np.uint8]]


@dataclass(frozen=True)
class RecordingSeen:
    """A recording as it was taken.

    Attributes:
        timeline: what the model saw.
        start_seconds: (S,) where each clip's labelled time begins.
        end_seconds: (S,) where it ends.
        kept: S values, what was kept of each clip.
    """

    timeline: Timeline
    start_seconds: NDArray[np.float64]
    end_seconds: NDArray[np.float64]
    kept: list[Any]


def watch(
    video: str | Path,
    model: StreamClassifier,
    keep: Callable[[ClipSeen], Any],
    *,
    max_gap_seconds: float = 2.0,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> RecordingSeen:
    """Runs a model over a recording.

    Args:
        video: file, folder of recorder chunks, glob.
        model: in evaluation mode.
        keep: of a clip, what is wanted of it; let it be small.
        max_gap_seconds: a longer time without a frame is unobserved.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be read.
    """
    settings = Settings(SegmenterOptions(), max_gap_seconds, False, 5.0, None)
    starts, ends, kept = [], [], []
    pixels: list[NDArray[np.uint8]] = []
    with Recording(video, model, settings, out=None) as recording:
        ahead = 2 * model.preprocessing.clip_frames
        with closing(prefetch(recording.items(), size=ahead)) as source, recording.sound() as sound:
            shown = _noted(source, pixels)
            for step in classify(shown, model, recording.progress, sound=sound):
                if step.probabilities is not None:
                    starts.append(step.start_seconds)
                    ends.append(step.end_seconds)
                    kept.append(keep(ClipSeen(step.probabilities, step.progress.state, pixels[:])))
                pixels.clear()
                update = recording.take(
                    step.start_seconds,
                    step.end_seconds,
                    step.probabilities,
                    lambda: step.progress,  # noqa: B023
                )
                if on_update is not None:
                    on_update(update)
        timeline = recording.finish()
    return RecordingSeen(timeline, np.array(starts, np.float64), np.array(ends, np.float64), kept)


def _noted(
    items: Iterable[Sample | Gap], pixels: list[NDArray[np.uint8]]
) -> Iterator[Sample | Gap]:
    for item in items:
        if isinstance(item, Sample):
            pixels.append(item.pixels)
        yield item
