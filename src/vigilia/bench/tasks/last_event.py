"""T1, last event: which of four cues was shown last?

A cue is shown in one clip; gaps between cues are log-uniform (see `cue_times`). The label of every
clip from the first cue on is the last cue, so a model has to hold it until the next, which may be
the same one again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.sprites import sprite
from vigilia.bench.streams import (
    Stream,
    Task,
    cue_times,
    exchanged,
    last_time,
    plain_levels,
)

__all__ = ["CUES", "LAST_EVENT", "last_event", "rotated"]

CUES = (
    sprite("cross", "red"),
    sprite("disc", "green"),
    sprite("square", "blue"),
    sprite("triangle", "yellow"),
)


def last_event(
    symbols: NDArray[np.int16], cues: Sequence[int] = CUES
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and ages (S,): the last of the cues up to each clip, and clips since then."""
    shown = last_time(np.isin(symbols, cues))
    known = shown >= 0
    numbers = np.full(max(int(symbols.max()), *cues) + 1, -1, np.int64)
    numbers[list(cues)] = np.arange(len(cues))
    labels = np.where(known, numbers[symbols[shown]], -1)
    return labels, np.where(known, np.arange(len(symbols)) - shown, -1)


def rotated(stream: Stream) -> tuple[Stream, ...]:
    """Four streams, each cue in turn in the place of each."""
    turns = [CUES[turn:] + CUES[:turn] for turn in range(len(CUES))]
    return tuple(
        exchanged(stream, dict(zip(CUES, turn, strict=True)), [CUES.index(cue) for cue in turn])
        for turn in turns
    )


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    symbols = np.zeros(clips, np.int16)
    times = cue_times(clips, random, gap)
    symbols[times] = random.choice(CUES, len(times))
    return Stream(symbols, *last_event(symbols), plain_levels(clips))


LAST_EVENT = Task(
    name="T1",
    title="last event",
    classes=("red cross", "green disc", "blue square", "yellow triangle"),
    symbols=len(CUES),
    gap=220.0,
    drawing=_draw,
    solution=lambda stream, _gap: last_event(stream.symbols)[0],
    twins=rotated,
)
