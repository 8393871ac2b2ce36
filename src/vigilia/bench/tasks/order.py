"""T3, order: after the start sign, did A come before B, or B before A?

Start signs come at log-uniform gaps, `gap` on average and at least 4. Within 16 clips of one, both
marks are shown, in either order; from the second on, every clip is scored until the next start.
Later in the same stretch up to two more marks follow, A or B by chance, so that neither the number
of As and Bs nor the mark shown last tells the order: only what was first does. Ages count from the
clip at which the order became known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.sprites import sprite
from vigilia.bench.streams import Stream, Task, cue_times, exchanged, plain_levels

__all__ = ["MARKS", "ORDER", "START", "order"]

START = sprite("ring", "cyan")
MARKS = (sprite("cross", "red"), sprite("disc", "green"))
SHORTEST_GAP = 4
PAIR_CLIPS = 16
MOST_REPEATS = 2


def order(symbols: NDArray[np.int16]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Labels and ages (S,): which mark came first, from the clip at which both had been shown."""
    labels = np.full(len(symbols), -1, np.int64)
    ages = labels.copy()
    first = known = -1
    for clip, symbol in enumerate(symbols.tolist()):
        if symbol == START:
            first = known = -1
        elif symbol in MARKS:
            mark = MARKS.index(symbol)
            if first < 0:
                first = mark
            elif known < 0 and mark != first:
                known = clip
        if known >= 0:
            labels[clip], ages[clip] = first, clip - known
    return labels, ages


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    symbols = np.zeros(clips, np.int16)
    starts = cue_times(clips, random, gap, least=SHORTEST_GAP)
    ends = np.append(starts, clips + SHORTEST_GAP)[1:]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        symbols[start] = START
        last_of_pair = min(end - start - 1, PAIR_CLIPS)
        pair = start + 1 + np.sort(random.choice(last_of_pair, 2, replace=False))
        marks = random.permutation(MARKS)
        free = np.arange(pair[1] + 1, end)
        repeats = random.choice(
            free, min(int(random.integers(MOST_REPEATS + 1)), len(free)), replace=False
        )
        times = np.concatenate([pair, repeats])
        shown = np.concatenate([marks, random.choice(MARKS, len(repeats))])
        symbols[times[times < clips]] = shown[times < clips]
    return Stream(symbols, *order(symbols), plain_levels(clips))


ORDER = Task(
    name="T3",
    title="order",
    classes=("A first", "B first"),
    symbols=1 + len(MARKS),
    gap=220.0,
    drawing=_draw,
    solution=lambda stream, _gap: order(stream.symbols)[0],
    twins=lambda stream: (
        stream,
        exchanged(stream, dict(zip(MARKS, reversed(MARKS), strict=True)), (1, 0)),
    ),
)
