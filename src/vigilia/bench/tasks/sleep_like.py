"""T8, sleep-like: wake, NREM and REM, hidden behind emissions that overlap.

A semi-Markov chain. At the default `gap`, which is the mean length of a bout and scales them all,
dwell times are log-uniform up to 120 clips, from 5 in wake, 10 in NREM and 8 in REM. REM follows
only NREM that lasted 20 clips or more. In each clip a state shows nothing or one of four sprites,
and every state may show each, so that a clip mostly leaves open which it is. The age counts from
the clip in which the state was entered. The oracle is the exact causal Bayes filter, which knows
the dwell times.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vigilia.bench.semi_markov import SemiMarkov
from vigilia.bench.streams import Stream, Task, plain_levels
from vigilia.bench.tasks.last_event import CUES

__all__ = ["SLEEP_LIKE", "SYMBOLS", "sleep_model"]

STATES = ("wake", "NREM", "REM")
SYMBOLS = (0, *CUES)
GAP = 41.0
DWELL_CLIPS = ((5, 120), (10, 120), (8, 120))
REM_AFTER_CLIPS = 20
REM_SHARE = 0.9
WAKE_AFTER_REM = 0.6
EMISSIONS = (
    (0.40, 0.30, 0.20, 0.05, 0.05),
    (0.45, 0.05, 0.05, 0.15, 0.30),
    (0.35, 0.10, 0.20, 0.30, 0.05),
)


def sleep_model(gap: float = GAP) -> SemiMarkov:
    """The chain whose mean bout lasts about `gap` clips."""
    scale = gap / GAP
    ranges = [
        (max(1, round(low * scale)), max(2, round(high * scale))) for low, high in DWELL_CLIPS
    ]
    longest = max(high for _, high in ranges)
    dwell = np.zeros((len(STATES), longest))
    for state, (low, high) in enumerate(ranges):
        edges = np.log(np.clip(np.arange(longest + 1) + 0.5, low - 0.5, high + 0.5))
        dwell[state] = np.diff(edges) / (math.log(high + 0.5) - math.log(low - 0.5))
    wake, nrem, rem = range(len(STATES))
    following = np.zeros((len(STATES), longest, len(STATES)))
    following[wake, :, nrem] = 1.0
    enough = np.arange(1, longest + 1) >= REM_AFTER_CLIPS * scale
    following[nrem, :, rem] = np.where(enough, REM_SHARE, 0.0)
    following[nrem, :, wake] = 1.0 - following[nrem, :, rem]
    following[rem, :, wake] = WAKE_AFTER_REM
    following[rem, :, nrem] = 1.0 - WAKE_AFTER_REM
    bouts = dwell[..., None] * following
    return SemiMarkov(start=_entered(bouts.sum(1)), bouts=bouts, emissions=np.array(EMISSIONS))


def _entered(transitions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(K, K) -> (K,): how often each state is entered in the long run."""
    # The mean with the chain at rest converges even where states alternate strictly.
    lazy = (transitions + np.eye(len(transitions))) / 2
    return np.linalg.matrix_power(lazy, 1 << 16).mean(0)


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    states, shown, since = sleep_model(gap).sample(clips, random)
    return Stream(np.array(SYMBOLS, np.int16)[shown], states, since, plain_levels(clips))


def _solve(stream: Stream, gap: float) -> NDArray[np.int64]:
    shown = np.searchsorted(SYMBOLS, stream.symbols)
    return sleep_model(gap).filter(shown).argmax(1)


SLEEP_LIKE = Task(
    name="T8",
    title="sleep-like",
    classes=STATES,
    symbols=len(CUES),
    gap=GAP,
    drawing=_draw,
    solution=_solve,
    all_history=True,
)
