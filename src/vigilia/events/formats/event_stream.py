"""Event Stream, .es, version 2: a text, a version, a type, width and height, then bytes.

    DVS     t << 1 | p                    x  x  y  y      127: 0xFF adds it and is one byte long
    ATIS    t << 2 | p << 1 | exposure    x  x  y  y      63: 0xFD, 0xFE, 0xFF add it 1, 2, 3 times

`t` counts microseconds since the event before; longer pauses are spelled by the bytes that only
add. 0xFE (DVS) and 0xFC (ATIS) do nothing. y counts from the bottom. Exposure measurements
of an ATIS are no changes and are passed over. Events have five bytes and pauses one, so where
an event begins depends on all before it: see `_beginnings`.

Marcireau, Ieng, Benosman, "Sepia, Tarsier, and Chameleon: a modular C++ framework for event-based
computer vision", 2020.

Letters: N bytes or events.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.array import empty_events, make_events
from vigilia.events.formats.format import (
    Decoded,
    Format,
    Recording,
    decode_records,
    read_start,
)

__all__ = ["EVENT_STREAM", "State", "decode"]

MAGIC = b"Event Stream"
KINDS = ("generic data", "DVS events", "ATIS events", "display events", "color events")
DVS, ATIS = 1, 2
EVENT_BYTES = 5
HEADER_BYTES = 20
BLOCK_BYTES = 1 << 15


@dataclass(frozen=True)
class State:
    """What the decoder remembers.

    Attributes:
        kind: DVS or ATIS.
        height: of the sensor.
        t: of the last event, in microseconds.
        rest: the bytes of an event that is not complete yet.
    """

    kind: int
    height: int
    t: int = 0
    rest: bytes = b""


def decode(data: np.ndarray, state: State) -> Decoded:
    """Decodes bytes. data: (N,) uint8."""
    pieces = []
    found: dict[str, int] = {}
    # In small blocks, because finding the beginnings costs N log N and wants the cache.
    for start in range(0, len(data), BLOCK_BYTES):
        events, state, skipped = _decode_block(data[start : start + BLOCK_BYTES], state)
        pieces.append(events)
        for name, count in skipped.items():
            found[name] = found.get(name, 0) + count
    return Decoded(np.concatenate(pieces) if pieces else empty_events(), state, found)


def _decode_block(data: np.ndarray, state: State) -> Decoded:
    data = np.concatenate([np.frombuffer(state.rest, np.uint8), data])
    shift, pause = (1, 0xFE) if state.kind == DVS else (2, 0xFC)
    is_pause = data >= pause
    at, end = _beginnings(is_pause)
    first = data[at]
    pauses = is_pause[at]
    longest = pause >> shift  # 127 or 63
    # DVS: 0xFE does nothing and 0xFF adds 127 once; ATIS: 0xFC + k adds 63 k times.
    steps = np.where(pauses, (first - np.uint8(pause)).astype(np.int64) * longest, first >> shift)
    t = np.cumsum(steps) + state.t
    after = State(state.kind, state.height, int(t[-1]) if t.size else state.t, data[end:].tobytes())
    at, first, t = at[~pauses], first[~pauses], t[~pauses]
    x = data[at + 1].astype(np.uint16) | data[at + 2].astype(np.uint16) << 8
    y = data[at + 3].astype(np.uint16) | data[at + 4].astype(np.uint16) << 8
    # Too large a y stays too large, and is left out later.
    y = np.where(y < state.height, state.height - 1 - y, np.uint16(0xFFFF))
    p = first & 1 if state.kind == DVS else first >> 1 & 1
    events = make_events(t, x, y, p)
    if state.kind == DVS:
        return Decoded(events, after, {})
    exposure = (first & 1).astype(bool)
    return Decoded(events[~exposure], after, {"exposure_events": int(np.count_nonzero(exposure))})


def _beginnings(is_pause: np.ndarray) -> tuple[np.ndarray, int]:
    """Where events and pauses begin.

    Each byte would be followed, if something began there, by one that begins 1 or 5 further. The
    places reached from 0 in 1, 2, 4, ... steps double with each look at that table, and the table
    of twice as many steps is the table of itself.

    Args:
        is_pause: (N,) whether a byte would be a pause if something began there.

    Returns:
        The places of what is complete, in order, and the end of the last.
    """
    size = len(is_pause)
    places = np.arange(size + 1, dtype=np.int32)  # the last is the end
    table = places.copy()
    table[:-1] += np.where(is_pause, np.int32(1), np.int32(EVENT_BYTES))
    # Nothing follows the end or an incomplete event: they lead to themselves.
    table = np.where(table <= size, table, places)
    reached = places[:1]
    while table[reached[-1]] != reached[-1]:
        reached = np.concatenate([reached, table[reached]])
        table = table[table]
    end = reached[-1]
    return reached[: np.searchsorted(reached, end)], int(end)


def _open(path: Path) -> Recording:
    header = read_start(path, HEADER_BYTES)
    if not header.startswith(MAGIC):
        raise InputError(f"{path}: does not begin with '{MAGIC.decode()}' as .es files do")
    if len(header) < 16:
        raise InputError(f"{path}: ends within its header; copy it from its source again")
    version, kind = header[12], header[15]
    if version != 2:
        raise InputError(f"{path}: Event Stream version {version}; only version 2 is read")
    if kind not in (DVS, ATIS):
        name = KINDS[kind] if kind < len(KINDS) else f"type {kind}"
        raise InputError(f"{path}: holds {name}, not events of pixels; name another file")
    if len(header) < HEADER_BYTES:
        raise InputError(f"{path}: ends within its header; copy it from its source again")
    width, height = (int(side) for side in np.frombuffer(header, "<u2", 2, 16))
    state = State(kind, height)
    pieces = decode_records(path, HEADER_BYTES, 1, state, decode, at_end=_cut_off)
    return Recording(pieces, (width, height))


def _cut_off(state: State) -> dict[str, int]:
    return {"cut_off_bytes": len(state.rest)}


EVENT_STREAM = Format(title="Event Stream (.es)", suffixes=(".es",), open=_open)
