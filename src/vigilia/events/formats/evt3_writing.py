"""Writes Prophesee EVT3; what the words mean is in evt3.py.

Neighbouring events of one time, row and polarity, whose x rises, share vectors of twelve pixels.

Letters: N events, G groups: events that one word will name.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vigilia.events.formats.format import Encoder
from vigilia.events.formats.prophesee import raw_header

__all__ = ["EVT3_ENCODER"]

ADDR_Y, ADDR_X, BASE_X, VECT_12, TIME_LOW, TIME_HIGH = (k << 12 for k in (0, 2, 3, 4, 6, 8))
VECTOR = 12
TIME_BITS = 24
FURTHEST_HIGHS = 1024
"""A reader takes a step of half a turn, 2048, for a turn: longer pauses are bridged."""


@dataclass(frozen=True)
class _State:
    """The last event written; times in microseconds."""

    t: int
    y: int


def _encode(events: np.ndarray, state: _State | None) -> tuple[bytes, _State | None]:
    if not len(events):
        return b"", state
    pauses = np.flatnonzero(np.diff(events["t"] >> 12) > FURTHEST_HIGHS) + 1
    pieces = []
    for part in np.split(events, pauses):
        pieces += [_bridge(int(part["t"][0]), state), _words(part, state)]
        state = _State(int(part["t"][-1]), int(part["y"][-1]))
    return np.concatenate(pieces).astype("<u2").tobytes(), state


def _bridge(t: int, state: _State | None) -> np.ndarray:
    """TIME_HIGH words between the last event and `t`, so that no reader misses a turn."""
    if state is None:
        return np.empty(0, np.int64)
    highs = np.arange((state.t >> 12) + FURTHEST_HIGHS, t >> 12, FURTHEST_HIGHS)
    return TIME_HIGH | (highs & 0xFFF)


def _words(events: np.ndarray, state: _State | None) -> np.ndarray:
    """Words of events (N,) without long pauses. -> (words,) int64."""
    t, x, y, p = (events[name].astype(np.int64) for name in ("t", "x", "y", "p"))
    group = _groups(t, x, y, p)  # (G + 1,) where each group begins, and N
    first = group[:-1]
    sizes = np.diff(group)
    t_first, y_first = t[first], y[first]
    before = state or _State(t=-1, y=-1)
    high_before = -1 if state is None else before.t >> 12
    new_high = np.diff(t_first >> 12, prepend=high_before) != 0
    new_low = np.diff(t_first, prepend=before.t) != 0
    new_y = np.diff(y_first, prepend=before.y) != 0
    is_vector = sizes > 1
    ends = np.cumsum(new_high.astype(np.int64) + new_low + new_y + is_vector + 1)
    words = np.empty(int(ends[-1]), np.int64)
    place = ends - 1
    masks = np.add.reduceat(1 << (x - np.repeat(x[first], sizes)), first)
    address = p[first] << 11 | x[first]
    words[place] = np.where(is_vector, VECT_12 | masks, ADDR_X | address)
    place = place - 1
    words[place[is_vector]] = BASE_X | address[is_vector]
    place = place - is_vector
    words[place[new_y]] = ADDR_Y | y_first[new_y]
    place = place - new_y
    words[place[new_low]] = TIME_LOW | (t_first[new_low] & 0xFFF)
    place = place - new_low
    words[place[new_high]] = TIME_HIGH | (t_first[new_high] >> 12 & 0xFFF)
    return words


def _groups(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Where the events that one word names begin. -> (G + 1,), the last is N."""
    apart = (np.diff(t) != 0) | (np.diff(y) != 0) | (np.diff(p) != 0) | (np.diff(x) <= 0)
    runs = np.concatenate([[0], np.flatnonzero(apart) + 1])
    x_of_run = np.repeat(x[runs], np.diff(np.append(runs, len(t))))
    vector = (x - x_of_run) // VECTOR
    starts = np.concatenate([[True], apart | (np.diff(vector) != 0)])
    return np.append(np.flatnonzero(starts), len(t))


EVT3_ENCODER = Encoder(
    header=lambda width, height: raw_header("EVT3", "3.0", width, height),
    encode=_encode,
    start=None,
    largest=(1 << 11, 1 << 11),
    turn_us=1 << TIME_BITS,
    longest_pause_us=1 << 40,
)
