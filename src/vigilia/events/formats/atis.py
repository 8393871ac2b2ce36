"""The .bin of N-MNIST and N-Caltech101, also called .bs2: five bytes an event, no header.

    x, y, polarity << 7 | t[22:16], t[15:8], t[7:0]       y = 240: no event, t += 8192 us from here

Orchard, Jayawant, Cohen, Thakor, "Converting static image datasets to spiking neuromorphic
datasets using saccades", 2015.

Letters: N records or events.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vigilia.events.array import make_events
from vigilia.events.formats.format import Decoded, Encoder, Format, Recording, decode_records

__all__ = ["ATIS", "RECORD_BYTES", "decode"]

RECORD_BYTES = 5
MARK_Y = 240
MARK_US = 1 << 13
TURN_US = 1 << 23
SENSORS = ((34, 34), (240, 180), (256, 240))


def decode(data: np.ndarray, offset_us: int) -> Decoded:
    """Decodes records; the state is what the marks so far add to times, in microseconds.

    Args:
        data: (5 N,) uint8.
        offset_us: 0 at the start of a file.
    """
    records = data.reshape(-1, RECORD_BYTES)
    x, y, top = records[:, 0], records[:, 1], records[:, 2]
    t = (top & 0x7F).astype(np.int64) << 16
    t |= records[:, 3].astype(np.int64) << 8
    t |= records[:, 4]
    marks = y == MARK_Y
    if not marks.any():
        return Decoded(make_events(t + offset_us, x, y, top >> 7), offset_us, {})
    offsets = np.cumsum(marks, dtype=np.int64) * MARK_US + offset_us
    events = make_events(t + offsets, x, y, top >> 7)[~marks]
    return Decoded(events, int(offsets[-1]), {})


def _open(path: Path) -> Recording:
    return Recording(decode_records(path, 0, RECORD_BYTES, 0, decode), sensors=SENSORS)


def _encode(events: np.ndarray, marks_before: int) -> tuple[bytes, int]:
    t = events["t"]
    marks = np.maximum(-((TURN_US - 1 - t) // MARK_US), marks_before)  # (N,) up to each event
    places = np.arange(len(t)) + marks - marks_before
    count = int(places[-1]) + 1 if len(t) else 0
    records = np.zeros((count, RECORD_BYTES), np.uint8)
    records[:, 1] = MARK_Y
    rest = t - marks * MARK_US
    records[places, 0] = events["x"]
    records[places, 1] = events["y"]
    records[places, 2] = (events["p"] << 7) | (rest >> 16).astype(np.uint8)
    records[places, 3] = rest >> 8 & 0xFF
    records[places, 4] = rest & 0xFF
    return records.tobytes(), int(marks[-1]) if len(t) else marks_before


ATIS = Format(
    title="N-MNIST, N-Caltech101 (.bin, .bs2)",
    suffixes=(".bin", ".bs2"),
    open=_open,
    encoder=Encoder(
        header=lambda width, height: b"",
        encode=_encode,
        start=0,
        largest=(256, MARK_Y),
        turn_us=TURN_US,
        longest_pause_us=1 << 40,
    ),
)
