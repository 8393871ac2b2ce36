"""Prophesee DAT: a text header, two bytes, then eight bytes an event, little endian.

    uint32 t in microseconds; uint32  p << 28 | y << 14 | x

Letters: N events.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.array import empty_events, make_events
from vigilia.events.formats.format import Decoded, Encoder, Format, Recording, decode_records
from vigilia.events.formats.prophesee import read_header
from vigilia.events.formats.turns import unwrap

__all__ = ["DAT", "decode"]

RECORD_BYTES = 8
EVENT_TYPES = (0x00, 0x0C)
TIME_BITS = 32
SENSORS = ((304, 240), (640, 480), (1280, 720))


def decode(data: np.ndarray, latest: int | None) -> Decoded:
    """Decodes records; the state is the latest time as the file has it, turns included.

    Args:
        data: (8 N,) uint8.
        latest: None at the start of a file.
    """
    words = data.view("<u4").reshape(-1, 2)
    if not len(words):
        return Decoded(empty_events(), latest, {})
    t = unwrap(words[:, 0].astype(np.int64), TIME_BITS, latest)
    address = words[:, 1]
    x, y, p = address & 0x3FFF, address >> 14 & 0x3FFF, address >> 28 & 1
    return Decoded(make_events(t, x, y, p), int(t[-1]), {})


def _open(path: Path) -> Recording:
    header = read_header(path)
    with path.open("rb") as file:
        file.seek(header.offset)
        kind = file.read(2)
    if len(kind) < 2:
        raise InputError(f"{path}: ends within its header; copy it from its source again")
    if kind[0] not in EVENT_TYPES or kind[1] != RECORD_BYTES:
        raise InputError(
            f"{path}: holds records of type {kind[0]} with {kind[1]} bytes, not change events "
            f"(type 0 or 12, 8 bytes); name a file of events"
        )
    pieces = decode_records(path, header.offset + 2, RECORD_BYTES, None, decode)
    return Recording(pieces, header.sensor, SENSORS)


def _header(width: int, height: int) -> bytes:
    text = f"% Data file containing CD events.\n% Version 2\n% Height {height}\n% Width {width}\n"
    return text.encode("ascii") + bytes([0x0C, RECORD_BYTES])


def _encode(events: np.ndarray, state: None) -> tuple[bytes, None]:
    words = np.empty((len(events), 2), "<u4")
    words[:, 0] = events["t"] & 0xFFFFFFFF
    words[:, 1] = events["x"] | events["y"].astype(np.uint32) << 14
    words[:, 1] |= events["p"].astype(np.uint32) << 28
    return words.tobytes(), None


DAT = Format(
    title="Prophesee DAT",
    suffixes=(".dat",),
    open=_open,
    encoder=Encoder(
        header=_header,
        encode=_encode,
        start=None,
        largest=(1 << 14, 1 << 14),
        turn_us=1 << TIME_BITS,
        longest_pause_us=1 << 31,
    ),
)
