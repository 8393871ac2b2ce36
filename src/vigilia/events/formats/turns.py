"""Counters of a few bits that start again from zero: time words of every camera."""

from __future__ import annotations

import numpy as np

__all__ = ["unwrap"]


def unwrap(raw: np.ndarray, bits: int, latest: int | None, jitter: int = 0) -> np.ndarray:
    """Counts the turns of a counter.

    A step back by half a turn or more is a new turn. A step forward by all but `jitter` of a turn
    is the old turn once more: a word that came late.

    Args:
        raw: (N,) int64, each in 0..2**bits.
        bits: of the counter.
        latest: the unwrapped value before the first; None if there is none.
        jitter: how far late words lie behind.

    Returns:
        (N,) int64.
    """
    if not raw.size:
        return raw
    turn = 1 << bits
    before = int(raw[0]) if latest is None else latest % turn
    base = 0 if latest is None else latest - before
    steps = np.diff(raw, prepend=before)
    back = steps <= -(turn // 2)
    late = steps >= turn - jitter
    if not (back.any() or late.any()):
        return raw + base if base else raw
    turns = np.cumsum(back.astype(np.int64) - late)
    return raw + (base + turns * turn)
