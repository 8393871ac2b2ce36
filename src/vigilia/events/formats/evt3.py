"""Prophesee EVT3: 16-bit words, little endian, whose top four bits say their kind.

    0 ADDR_Y        y in [10:0], holds for the events after it
    2 ADDR_X        one event: p in [11], x in [10:0]
    3 VECT_BASE_X   p in [11], x in [10:0] of the vectors after it
    4 VECT_12       twelve pixels from there, a bit each; the base moves on by 12
    5 VECT_8        eight pixels, likewise
    6 TIME_LOW      t[11:0]
    8 TIME_HIGH     t[23:12]
    7, 10, 14, 15   triggers and others

A time is the last TIME_HIGH and the last TIME_LOW since it changed, 0 if there is none yet. A word
means nothing without those before it, so a chunk is decoded as a whole: every word that sets
something is counted up, and an event looks up how many of each kind came before it.

Prophesee, "EVT 3.0 format", documentation of the Metavision SDK.

Letters: W words, N events.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.array import make_events
from vigilia.events.formats.evt3_writing import EVT3_ENCODER
from vigilia.events.formats.format import Decoded, Format, Recording, decode_records
from vigilia.events.formats.prophesee import read_header
from vigilia.events.formats.turns import unwrap

__all__ = ["EVT3", "State", "decode"]

RECORD_BYTES = 2
ADDR_Y, ADDR_X, BASE_X, VECT_12, VECT_8, TIME_LOW, TIME_HIGH = 0, 2, 3, 4, 5, 6, 8
HALF_WORD = 12
LATE_HIGHS = 16
MOST_X = 60_000
SENSORS = ((640, 480), (1280, 720))
KNOWN = np.isin(np.arange(16), (0, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15))
IS_EVENT = np.isin(np.arange(16), (ADDR_X, VECT_12, VECT_8))
PIXELS = np.array([0, 0, 0, 0, 12, 8, *[0] * 10])
"""How far a word of each kind moves the base on."""


@dataclass(frozen=True)
class State:
    """What words set for the words after them; None before the first of their kind.

    Attributes:
        high: the last TIME_HIGH, turns included.
        low: the last TIME_LOW since it changed.
        y: the last ADDR_Y.
        base: where the next vector begins.
        polarity: of the vectors.
    """

    high: int | None = None
    low: int = 0
    y: int | None = None
    base: int | None = None
    polarity: int = 0


def decode(data: np.ndarray, state: State) -> Decoded:
    """Decodes words.

    Args:
        data: (2 W,) uint8.
        state: of the words before; State() at the start of a file.
    """
    words = data.view("<u2")
    kinds = (words >> HALF_WORD).astype(np.uint8)
    at = np.flatnonzero(IS_EVENT[kinds])
    found = {"unknown_words": int(np.count_nonzero(~KNOWN[kinds]))}

    is_time = (kinds == TIME_HIGH) | (kinds == TIME_LOW)
    times, after = _times(words[is_time], kinds[is_time] == TIME_HIGH, state)
    # What does not lie in the known part is masked below; its value does not matter.
    t = np.concatenate([[_time(state)], times])[_count(is_time, at)]  # (events words,)
    is_y = kinds == ADDR_Y
    rows = words[is_y] & 0x7FF
    y = np.concatenate([[state.y or 0], rows])[_count(is_y, at)]
    x, p, known, after = _columns(words, kinds, at, replace(after, y=state.y), state)
    if rows.size:
        after = replace(after, y=int(rows[-1]))
    start = _first_known(kinds, state)
    known &= at >= start

    counts, bits = _pixels(words[at], kinds[at])
    if counts is not None:
        t, y, x, p, known = (np.repeat(one, counts) for one in (t, y, x, p, known))
        x = x + bits
    events = make_events(t, x, y, p)
    if not known.all():
        found["events_before_time"] = int(np.count_nonzero(~known))
        events = events[known]
    return Decoded(events, after, found)


def _count(is_setter: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How many setters (W,) bool lie before each word in `at`."""
    return np.cumsum(is_setter, dtype=np.int32)[at]


def _time(state: State) -> int:
    return ((state.high or 0) << HALF_WORD) | state.low


def _first_known(kinds: np.ndarray, state: State) -> int:
    """The word from which on events have a time and a row."""
    missing = [TIME_HIGH] * (state.high is None) + [ADDR_Y] * (state.y is None)
    starts = [np.flatnonzero(kinds == kind)[:1] for kind in missing]
    return max((int(start[0]) if start.size else len(kinds) for start in starts), default=0)


def _times(words: np.ndarray, is_high: np.ndarray, state: State) -> tuple[np.ndarray, State]:
    """Times after each time word. words: (n,), is_high: (n,) bool -> (n,) int64, next state."""
    if not words.size:
        return np.empty(0, np.int64), state
    values = (words & 0xFFF).astype(np.int64)
    before = [] if state.high is None else [state.high]
    highs = unwrap(values[is_high], HALF_WORD, state.high, LATE_HIGHS)
    # Until the low word comes, the time after a new high word is its beginning.
    is_new = np.ones(len(highs), bool)
    is_new[1 - len(before) :] = np.diff(np.concatenate([before, highs])) != 0
    sets_low = ~is_high
    sets_low[is_high] = is_new
    lows = np.where(is_high, 0, values)[sets_low]
    high = np.concatenate([before or [0], highs]).astype(np.int64)[np.cumsum(is_high)]
    low = np.concatenate([[state.low], lows])[np.cumsum(sets_low)]
    after = replace(state, high=int(highs[-1]) if highs.size else state.high, low=int(low[-1]))
    return high << HALF_WORD | low, after


def _columns(
    words: np.ndarray, kinds: np.ndarray, at: np.ndarray, after: State, state: State
) -> tuple[np.ndarray, np.ndarray, np.ndarray, State]:
    """x of each event word's first pixel, its polarity, and whether both are known."""
    word = words[at]
    x, p = word & 0x7FF, (word >> 11 & 1).astype(np.uint8)
    known = np.ones(len(at), bool)
    is_base = kinds == BASE_X
    bases = words[is_base]
    moves = PIXELS[kinds[at]]
    is_vector = moves > 0
    if not is_vector.any():
        if bases.size:
            last = int(bases[-1])
            after = replace(after, base=last & 0x7FF, polarity=last >> 11 & 1)
        return x, p, known, after
    moved = np.concatenate([[0], np.cumsum(moves)])  # (event words + 1,)
    moved_at_base = moved[np.searchsorted(at, np.flatnonzero(is_base))]
    begins = np.concatenate([[state.base or 0], (bases & 0x7FF).astype(np.int64) - moved_at_base])
    polarities = np.concatenate([[state.polarity], bases >> 11 & 1])
    which = _count(is_base, at)
    # Without a new base a damaged file could count x up until it wraps into the sensor again.
    x = np.where(is_vector, np.minimum(begins[which] + moved[:-1], MOST_X), x)
    p = np.where(is_vector, polarities[which], p)
    if state.base is None:
        known = ~is_vector | (which > 0)
    if bases.size or state.base is not None:
        # The last `begins` is the state's own base if no word sets another.
        base = int(begins[-1] + moved[-1])
        after = replace(after, base=base, polarity=int(polarities[-1]))
    return x, p, known, after


def _pixels(word: np.ndarray, kind: np.ndarray) -> tuple[np.ndarray | None, np.ndarray]:
    """How many pixels each event word names, and the place of each of them from the first."""
    is_vector = kind != ADDR_X
    if not is_vector.any():
        return None, np.empty(0, np.int64)
    masks = word[is_vector] & np.where(kind[is_vector] == VECT_8, 0xFF, 0xFFF).astype("<u2")
    bits = np.unpackbits(masks.view(np.uint8), bitorder="little").reshape(-1, 16)
    counts = np.ones(len(word), np.int64)
    counts[is_vector] = bits.sum(axis=1)
    places = np.zeros(int(counts.sum()), np.int64)
    places[np.repeat(is_vector, counts)] = np.nonzero(bits)[1]
    return counts, places


def _open(path: Path) -> Recording:
    header = read_header(path)
    if header.encoding not in (None, "EVT3"):
        raise InputError(f"{path}: its header says {header.encoding}, not EVT3")
    pieces = decode_records(path, header.offset, RECORD_BYTES, State(), decode)
    return Recording(pieces, header.sensor, SENSORS)


EVT3 = Format(
    title="Prophesee EVT3",
    suffixes=(".raw", ".evt3"),
    open=_open,
    encoder=EVT3_ENCODER,
)
