"""Hidden semi-Markov chains: sampling, and the exact causal Bayes filter.

The textbook explicit-duration hidden Markov model (Yu, "Hidden semi-Markov models", 2010), with a
next state that may depend on how long the last one was held. Letters: K states, D longest dwell in
clips, N symbols, S clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["SemiMarkov"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SemiMarkov:
    """A chain of bouts, each clip of which emits one symbol.

    Attributes:
        start: (K,) probability of the first state; its bout begins with the stream.
        bouts: (K, D, K). Given that a state was entered, the probability that its bout lasts
            d + 1 clips and that the next state is the last index.
        emissions: (K, N) probability of each symbol in a clip.
    """

    start: Floats
    bouts: Floats
    emissions: Floats

    def __post_init__(self) -> None:
        for name, sums in (
            ("start", self.start.sum()),
            ("bouts", self.bouts.sum((1, 2))),
            ("emissions", self.emissions.sum(1)),
        ):
            if not np.allclose(sums, 1.0):
                raise ValueError(f"{name} must sum to 1, got {sums}")

    def sample(
        self, clips: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """States, symbols and clips since the state was entered, each (S,)."""
        states_count, longest, _ = self.bouts.shape
        states = np.empty(clips, np.int64)
        since = np.empty(clips, np.int64)
        state = int(random.choice(states_count, p=self.start))
        now = 0
        while now < clips:
            drawn = int(random.choice(longest * states_count, p=self.bouts[state].ravel()))
            dwell, following = drawn // states_count + 1, drawn % states_count
            end = min(now + dwell, clips)
            states[now:end] = state
            since[now:end] = np.arange(end - now)
            now, state = end, following
        thresholds = np.cumsum(self.emissions, 1)[:, :-1]
        symbols = (random.random(clips)[:, None] >= thresholds[states]).sum(1)
        return states, symbols, since

    def filter(self, symbols: NDArray[np.int64]) -> Floats:
        """symbols (S,) -> (S, K): probability of each state given the symbols up to that clip."""
        lasting = np.cumsum(self.bouts.sum(2)[:, ::-1], 1)[:, ::-1]  # (K, D): at least d + 1
        possible = np.where(lasting > 0, lasting, 1.0)
        leave = self.bouts / possible[..., None]  # (K, D, K)
        stay = np.zeros_like(lasting)
        stay[:, :-1] = lasting[:, 1:] / possible[:, :-1]
        flat_leave = leave.reshape(-1, leave.shape[2])
        belief = np.zeros_like(lasting)  # (K, D): in the state, for the d + 1st clip
        belief[:, 0] = self.start
        posterior = np.empty((len(symbols), len(self.start)))
        for clip, symbol in enumerate(symbols.tolist()):
            if clip > 0:
                entered = belief.ravel() @ flat_leave
                belief[:, 1:] = (belief * stay)[:, :-1]
                belief[:, 0] = entered
            belief *= self.emissions[:, symbol, None]
            belief /= belief.sum()
            posterior[clip] = belief.sum(1)
        return posterior
