"""T5, capacity: four cells are set one by one; what does the cell that is asked for hold?

A cell is a colour, its value a shape. Each cell is set anew at log-uniform gaps, `gap` on average
and at least 8, independent of the others; one sprite a clip. Every 2 to 12 clips a framed query in
a cell's colour asks for it. Only queries are scored; the age counts from the clip that set the
cell.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.sprites import sprite
from vigilia.bench.streams import (
    Stream,
    Task,
    cue_times,
    exchanged,
    plain_levels,
    question_times,
)

__all__ = ["CAPACITY", "CUES", "QUERIES", "capacity"]

CELLS = ("red", "green", "blue", "yellow")
VALUES = ("cross", "ring")
CUES = tuple(tuple(sprite(value, cell) for value in VALUES) for cell in CELLS)
"""`CUES[cell][value]`: the sprite that sets it."""
QUERIES = tuple(sprite("bars", cell, framed=True) for cell in CELLS)
SHORTEST_MEAN_GAP = 2.0 * len(CELLS)


def capacity(symbols: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and ages (S,) at queries of cells that were set: value, and clips since."""
    labels = np.full(len(symbols), -1, np.int64)
    ages = labels.copy()
    setting = {
        cue: (cell, value) for cell, cues in enumerate(CUES) for value, cue in enumerate(cues)
    }
    held: dict[int, tuple[int, int]] = {}
    for clip, symbol in enumerate(symbols.tolist()):
        if symbol in setting:
            cell, value = setting[symbol]
            held[cell] = value, clip
        elif symbol in QUERIES and QUERIES.index(symbol) in held:
            value, since = held[QUERIES.index(symbol)]
            labels[clip], ages[clip] = value, clip - since
    return labels, ages


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    symbols = np.zeros(clips, np.int16)
    known_from = np.full(len(CELLS), clips)
    for cell in random.permutation(len(CELLS)).tolist():
        for time in cue_times(clips, random, max(gap, SHORTEST_MEAN_GAP)).tolist():
            free = np.flatnonzero(symbols[time:] == 0)
            if len(free):
                symbols[time + free[0]] = CUES[cell][int(random.integers(len(VALUES)))]
                known_from[cell] = min(known_from[cell], time + free[0])
    for time in question_times(clips, random, gap).tolist():
        known = np.flatnonzero(known_from < time)
        if symbols[time] == 0 and len(known):
            symbols[time] = QUERIES[int(random.choice(known))]
    return Stream(symbols, *capacity(symbols), plain_levels(clips))


CAPACITY = Task(
    name="T5",
    title="capacity, 4 cells",
    classes=VALUES,
    symbols=len(CELLS) * len(VALUES) + len(QUERIES),
    gap=220.0,
    drawing=_draw,
    solution=lambda stream, _gap: capacity(stream.symbols)[0],
    twins=lambda stream: (
        stream,
        exchanged(
            stream, {cue: cues[1 - v] for cues in CUES for v, cue in enumerate(cues)}, (1, 0)
        ),
    ),
)
