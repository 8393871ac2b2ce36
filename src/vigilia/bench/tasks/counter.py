"""T4, counter: how many events so far, modulo 3?

Events come at log-uniform gaps, `gap` on average; one in eight is a reset sign instead, after which
the count is 0. Every clip from the first event on is scored; the age counts from the last event or
reset.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.sprites import sprite
from vigilia.bench.streams import Stream, Task, cue_times, last_time, plain_levels

__all__ = ["COUNTER", "EVENT", "MODULUS", "RESET", "counter"]

EVENT = sprite("disc", "green")
RESET = sprite("square", "blue")
MODULUS = 3
RESET_SHARE = 1 / 8


def counter(
    symbols: NDArray[np.int16], modulus: int = MODULUS
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and ages (S,): events since the last reset (or the beginning), modulo `modulus`."""
    events = np.cumsum(symbols == EVENT)
    reset = last_time(symbols == RESET)
    counts = events - np.where(reset >= 0, events[reset], 0)
    shown = last_time(np.isin(symbols, (EVENT, RESET)))
    known = shown >= 0
    labels = np.where(known, counts % modulus, -1)
    return labels, np.where(known, np.arange(len(symbols)) - shown, -1)


def _ahead(stream: Stream) -> tuple[Stream, ...]:
    """Three streams: after each reset, and at the beginning, no, one or two events more at once."""
    resets = np.flatnonzero(stream.symbols == RESET)
    twins = []
    for more in range(MODULUS):
        symbols = stream.symbols.copy()
        for start in (-1, *resets.tolist()):
            free = start + 1 + np.flatnonzero(symbols[start + 1 : start + 9] == 0)
            symbols[free[:more]] = EVENT
        twins.append(Stream(symbols, *counter(symbols), stream.levels))
    return tuple(twins)


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    symbols = np.zeros(clips, np.int16)
    times = cue_times(clips, random, gap)
    symbols[times] = np.where(random.random(len(times)) < RESET_SHARE, RESET, EVENT)
    return Stream(symbols, *counter(symbols), plain_levels(clips))


COUNTER = Task(
    name="T4",
    title="counter modulo 3",
    classes=tuple(str(count) for count in range(MODULUS)),
    symbols=2,
    gap=220.0,
    drawing=_draw,
    solution=lambda stream, _gap: counter(stream.symbols)[0],
    twins=_ahead,
    all_history=True,
)
