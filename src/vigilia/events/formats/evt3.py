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

Letters: W words, E words that name events, V vectors among them, N events.
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
UNKNOWN = (1, 9, 11, 12, 13)
PIXELS = np.array([mask.bit_count() for mask in range(1 << 12)])
"""How many pixels a vector names."""


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
    found = {"unknown_words": sum(int(np.count_nonzero(kinds == kind)) for kind in UNKNOWN)}
    is_vector = (kinds == VECT_12) | (kinds == VECT_8)
    at = np.flatnonzero((kinds == ADDR_X) | is_vector)  # (E,) words that name events
    start = _first_known(kinds, state)
    if start:
        # Counted by words; how many pixels a lost vector had does not matter.
        found["events_before_time"] = int(np.searchsorted(at, start))
        at = at[found["events_before_time"] :]

    times, is_time, after = _times(words, kinds, state)
    is_row = kinds == ADDR_Y
    rows = words[np.flatnonzero(is_row)] & 0x7FF
    word = words[at]
    events = make_events(
        np.concatenate([[_time(state)], times])[_count(is_time, at)],
        word & 0x7FF,
        np.concatenate([[state.y or 0], rows]).astype(np.uint16)[_count(is_row, at)],
        word >> 11 & 1,
    )
    after = replace(after, y=int(rows[-1]) if rows.size else state.y)
    events, after = _with_vectors(events, words, kinds, np.flatnonzero(is_vector[at]), at, after)
    return Decoded(events, after, found)


def _count(is_setter: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How many setters (W,) bool lie before each word in `at` (E,)."""
    return np.cumsum(is_setter, dtype=np.int32)[at]


def _time(state: State) -> int:
    return ((state.high or 0) << HALF_WORD) | state.low


def _first_known(kinds: np.ndarray, state: State) -> int:
    """The word from which on events have a time and a row."""
    missing = [TIME_HIGH] * (state.high is None) + [ADDR_Y] * (state.y is None)
    starts = [np.flatnonzero(kinds == kind)[:1] for kind in missing]
    return max((int(start[0]) if start.size else len(kinds) for start in starts), default=0)


def _times(
    words: np.ndarray, kinds: np.ndarray, state: State
) -> tuple[np.ndarray, np.ndarray, State]:
    """Times after each time word, int64; which words those are, (W,) bool; the next state."""
    is_time = (kinds == TIME_HIGH) | (kinds == TIME_LOW)
    at = np.flatnonzero(is_time)
    if not at.size:
        return np.empty(0, np.int64), is_time, state
    values = (words[at] & 0xFFF).astype(np.int64)
    is_high = kinds[at] == TIME_HIGH
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
    return high << HALF_WORD | low, is_time, after


def _with_vectors(
    events: np.ndarray,
    words: np.ndarray,
    kinds: np.ndarray,
    vectors: np.ndarray,
    at: np.ndarray,
    state: State,
) -> tuple[np.ndarray, State]:
    """Replaces each event that stands for a vector by those of the vector's pixels.

    Args:
        events: (E,), one for each word in `at`.
        words: (W,).
        kinds: (W,).
        vectors: (V,) which of them stand for vectors.
        at: (E,) the words.
        state: that holds the base before the first word.

    Returns:
        The events (N,), and the state with the base after the last word.
    """
    is_base = kinds == BASE_X
    base_at = np.flatnonzero(is_base)
    if not (vectors.size or base_at.size):
        return events, state
    bases = words[base_at].astype(np.int64)
    vector_at = at[vectors]
    is_long = kinds[vector_at] == VECT_12
    # A base moves on with every vector: what has been moved before it is taken off.
    moved = np.concatenate([[0], np.cumsum(np.where(is_long, 12, 8))])  # (V + 1,)
    begins = (bases & 0x7FF) - moved[np.searchsorted(vector_at, base_at)]
    begins = np.concatenate([[state.base or 0], begins])
    polarities = np.concatenate([[state.polarity], bases >> 11 & 1])
    which = _count(is_base, vector_at)
    # Without a new base a damaged file could count x up until it wraps into the sensor again.
    events["x"][vectors] = np.minimum(begins[which] + moved[:-1], MOST_X)
    events["p"][vectors] = polarities[which]

    masks = words[vector_at] & np.where(is_long, 0xFFF, 0xFF).astype(np.uint16)
    if state.base is None:
        masks[which == 0] = 0  # nobody knows where their pixels are
    bits = np.unpackbits(masks.astype("<u2").view(np.uint8), bitorder="little").view(bool)
    counts = np.ones(len(events), np.int64)
    counts[vectors] = PIXELS[masks]
    is_vector = np.zeros(len(events), bool)
    is_vector[vectors] = True
    events = np.repeat(events, counts)
    events["x"][np.repeat(is_vector, counts)] += (np.flatnonzero(bits) & 15).astype(np.uint16)
    if base_at.size or state.base is not None:
        state = replace(state, base=int(begins[-1] + moved[-1]), polarity=int(polarities[-1]))
    return events, state


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
