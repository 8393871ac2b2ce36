"""T7, slow trend: has the patch become brighter or darker over the last minute?

The control: an average of pooled features is memory enough. The level of the patch rises and falls
in turn, `gap` clips each on average, between turning points drawn by chance, with noise in every
clip. The label compares the mean level of the last 16 clips with that of the 16 before; where they
nearly agree, about a turning point, nothing is scored. The age of every answer is 31 clips, the age
of the oldest clip it depends on.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.streams import Stream, Task

__all__ = ["TREND", "trend"]

WINDOW = 32
MARGIN = 0.03
NOISE = 0.05


def trend(
    levels: NDArray[np.float32], window: int = WINDOW, margin: float = MARGIN
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and ages (S,): 1 where the later half of the window is brighter, 0 where darker."""
    half = window // 2
    labels = np.full(len(levels), -1, np.int64)
    if len(levels) >= window:
        sums = np.convolve(levels.astype(np.float64), np.ones(half), "valid")
        rise = (sums[half:] - sums[:-half]) / half
        labels[window - 1 :] = np.where(np.abs(rise) < margin, -1, rise > 0)
    return labels, np.where(labels >= 0, window - 1, -1)


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    knots = 2 + int(np.ceil(clips / (0.4 * gap)))
    durations = gap * random.uniform(0.4, 1.6, knots)
    # The first stretch began before the stream did.
    times = np.cumsum(durations) - random.random() * durations[0] - durations[0]
    side = np.where((np.arange(knots) + random.integers(2)) % 2 == 0, -1.0, 1.0)
    turns = 0.5 + side * random.uniform(0.05, 0.4, knots)
    smooth = np.interp(np.arange(clips), times, turns)
    levels = np.clip(smooth + random.normal(0.0, NOISE, clips), 0.0, 1.0).astype(np.float32)
    return Stream(np.zeros(clips, np.int16), *trend(levels), levels)


TREND = Task(
    name="T7",
    title="slow trend",
    classes=("darker", "brighter"),
    symbols=0,
    gap=100.0,
    drawing=_draw,
    solution=lambda stream, _gap: trend(stream.levels)[0],
    twins=lambda stream: (
        stream,
        replace(
            stream,
            levels=1 - stream.levels,
            labels=np.where(stream.labels < 0, -1, 1 - stream.labels),
        ),
    ),
    level_bins=20,
)
