"""AEDAT 2.0 of a DVS128: lines that begin with `#`, then eight bytes an event, big endian.

    uint32 address: y in [14:8], x in [7:1], 1 for OFF in [0]; uint32 t in microseconds

The camera counts x from the right and y from the bottom. An address with a higher bit set is no
pixel. Other cameras lay their addresses out in other ways and are refused.

Lichtsteiner, Posch, Delbruck, "A 128x128 120 dB 15 us latency asynchronous temporal contrast vision
sensor", 2008; iniVation, "AEDAT file formats".

Letters: N records or events.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.array import make_events
from vigilia.events.formats.format import (
    Decoded,
    Format,
    Recording,
    decode_records,
    read_start,
)
from vigilia.events.formats.turns import unwrap

__all__ = ["AEDAT2", "decode"]

RECORD_BYTES = 8
SIDE = 128
TIME_BITS = 32
MOST_HEADER_BYTES = 1 << 20


def decode(data: np.ndarray, latest: int | None) -> Decoded:
    """Decodes records; the state is the latest time as the file has it, turns included.

    Args:
        data: (8 N,) uint8.
        latest: None at the start of a file.
    """
    words = data.view(">u4").astype(np.uint32).reshape(-1, 2)
    t = unwrap(words[:, 1].astype(np.int64), TIME_BITS, latest)
    address = words[:, 0]
    x = SIDE - 1 - (address >> 1 & 0x7F)
    y = SIDE - 1 - (address >> 8 & 0x7F)
    events = make_events(t, x, y, ~address & 1)
    after = int(t[-1]) if t.size else latest
    is_pixel = address < 1 << 15
    if is_pixel.all():
        return Decoded(events, after, {})
    special = int(np.count_nonzero(~is_pixel))
    return Decoded(events[is_pixel], after, {"special_events": special})


def _open(path: Path) -> Recording:
    data = read_start(path, MOST_HEADER_BYTES)
    offset = 0
    chip = "DVS128"
    while line := re.match(rb"#[\t\x20-\x7e\x80-\xff]*\r?\n", data[offset : offset + 65536]):
        offset += line.end()
        text = line[0].decode("latin-1")
        if found := re.search(r"AEChip:\s*(\S+)", text):
            chip = found[1].rpartition(".")[2]
        if text.lower().startswith("#end of ascii header"):
            break
    if "DVS128" not in chip.upper():
        raise InputError(
            f"{path}: AEDAT 2 of a {chip}, and only a DVS128's is read; save it as AEDAT4"
        )
    pieces = decode_records(path, offset, RECORD_BYTES, None, decode)
    return Recording(pieces, (SIDE, SIDE))


AEDAT2 = Format(title="AEDAT 2.0 of a DVS128", suffixes=(".aedat",), open=_open)
