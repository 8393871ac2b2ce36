"""Prophesee EVT2: 32-bit words, little endian, whose top four bits say their kind.

    0 OFF, 1 ON     kind[31:28]  t[5:0] in [27:22]  x in [21:11]  y in [10:0]
    8 TIME_HIGH     t[33:6] in [27:0], holds for the events after it
    10, 14, 15      triggers and others

Prophesee, "EVT 2.0 format", documentation of the Metavision SDK.

Letters: N words or events.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.array import make_events
from vigilia.events.formats.format import Decoded, Encoder, Format, Recording, decode_records
from vigilia.events.formats.prophesee import raw_header, read_header
from vigilia.events.formats.turns import unwrap

__all__ = ["EVT2", "decode"]

RECORD_BYTES = 4
TIME_HIGH = 8
HIGH_BITS = 28
LOW_BITS = 6
LATE_HIGHS = 1024
SENSORS = ((640, 480), (1280, 720))
KNOWN = np.isin(np.arange(16), (0, 1, TIME_HIGH, 10, 14, 15))


def decode(data: np.ndarray, high: int | None) -> Decoded:
    """Decodes words; the state is the latest TIME_HIGH, turns included.

    Args:
        data: (4 N,) uint8.
        high: None before the first TIME_HIGH: events before it have no time.
    """
    words = data.view("<u4")
    kinds = (words >> 28).astype(np.uint8)
    is_high = kinds == TIME_HIGH
    at = np.flatnonzero(kinds <= 1)
    highs = unwrap(words[is_high].astype(np.int64) & 0xFFFFFFF, HIGH_BITS, high, LATE_HIGHS)
    found = {"unknown_words": int(np.count_nonzero(~KNOWN[kinds]))}
    which = np.cumsum(is_high, dtype=np.int32)[at]
    if high is None:
        timed = which > 0
        found["events_before_time"] = int(len(at) - np.count_nonzero(timed))
        at, which = at[timed], which[timed]
    times = np.concatenate([[0 if high is None else high], highs]) << LOW_BITS
    word = words[at]
    t = times[which] + (word >> 22 & 0x3F)
    events = make_events(t, word >> 11 & 0x7FF, word & 0x7FF, kinds[at])
    return Decoded(events, int(highs[-1]) if highs.size else high, found)


def _open(path: Path) -> Recording:
    header = read_header(path)
    if header.encoding not in (None, "EVT2"):
        raise InputError(f"{path}: its header says {header.encoding}, not EVT2")
    pieces = decode_records(path, header.offset, RECORD_BYTES, None, decode)
    return Recording(pieces, header.sensor, SENSORS)


def _encode(events: np.ndarray, high: int | None) -> tuple[bytes, int | None]:
    if not len(events):
        return b"", high
    highs = events["t"] >> LOW_BITS
    first = int(highs[0])
    new = np.diff(highs, prepend=first - 1 if high is None else high) != 0
    places = np.arange(len(events)) + np.cumsum(new)
    words = np.empty(int(places[-1]) + 1, "<u4")
    words[places[new] - 1] = (highs[new] & 0xFFFFFFF) | TIME_HIGH << 28
    words[places] = (
        events["p"].astype(np.uint32) << 28
        | (events["t"] & 0x3F).astype(np.uint32) << 22
        | events["x"].astype(np.uint32) << 11
        | events["y"]
    )
    return words.tobytes(), int(highs[-1])


EVT2 = Format(
    title="Prophesee EVT2",
    suffixes=(".evt2.raw", ".evt2"),
    open=_open,
    encoder=Encoder(
        header=lambda width, height: raw_header("EVT2", "2.0", width, height),
        encode=_encode,
        start=None,
        largest=(1 << 11, 1 << 11),
        turn_us=1 << (HIGH_BITS + LOW_BITS),
        longest_pause_us=1 << (HIGH_BITS + LOW_BITS - 1),
    ),
)
