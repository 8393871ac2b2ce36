"""T2, delayed match: is the framed sprite the same as the last one without a frame?

Samples (no frame) come at log-uniform gaps, `gap` on average and at least 4; probes (framed) every
2 to 12 clips, blanks between. Only probes are scored, and nothing tells whether an answer was
right. Half of the probes match; which probe it is says nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.sprites import FRAMED
from vigilia.bench.streams import (
    Stream,
    Task,
    cue_times,
    exchanged,
    last_time,
    plain_levels,
    question_times,
)
from vigilia.bench.tasks.last_event import CUES

__all__ = ["DELAYED_MATCH", "PROBES", "SAMPLES", "delayed_match"]

SAMPLES = CUES
PROBES = tuple(sample + FRAMED for sample in SAMPLES)
SHORTEST_MEAN_GAP = 4.0


def delayed_match(symbols: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and ages (S,) at probes: 1 where the last sample was the same, clips since then."""
    shown = last_time(np.isin(symbols, SAMPLES))
    asked = np.isin(symbols, PROBES) & (shown >= 0)
    labels = np.where(asked, symbols[shown] + FRAMED == symbols, -1)
    return labels.astype(np.int64), np.where(asked, np.arange(len(symbols)) - shown, -1)


def _rotated(stream: Stream) -> tuple[Stream, ...]:
    """Four streams, each sprite in turn in the place of each, with and without a frame."""
    twins = []
    for turn in range(len(SAMPLES)):
        places = {
            old: new
            for kind in (SAMPLES, PROBES)
            for old, new in zip(kind, kind[turn:] + kind[:turn], strict=True)
        }
        twins.append(exchanged(stream, places, (0, 1)))
    return tuple(twins)


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    times = cue_times(clips, random, max(gap, SHORTEST_MEAN_GAP))
    samples = np.full(clips, -1)
    samples[times] = random.integers(len(SAMPLES), size=len(times))
    symbols = np.zeros(clips, np.int16)
    symbols[times] = np.array(SAMPLES)[samples[times]]
    shown = last_time(samples >= 0)
    asked = question_times(clips, random, gap)
    asked = asked[(shown[asked] >= 0) & (samples[asked] < 0)]
    other = random.integers(1, len(PROBES), len(asked)) * (random.random(len(asked)) < 0.5)
    symbols[asked] = np.array(PROBES)[(samples[shown[asked]] + other) % len(PROBES)]
    return Stream(symbols, *delayed_match(symbols), plain_levels(clips))


DELAYED_MATCH = Task(
    name="T2",
    title="delayed match",
    classes=("different", "same"),
    symbols=len(SAMPLES) + len(PROBES),
    gap=220.0,
    drawing=_draw,
    solution=lambda stream, _gap: delayed_match(stream.symbols)[0],
    twins=_rotated,
)
