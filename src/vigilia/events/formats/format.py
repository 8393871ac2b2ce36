"""What a format is: how its files are opened, decoded piece by piece, and written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from vigilia.errors import InputError
from vigilia.events.array import empty_events

__all__ = [
    "CHUNK_BYTES",
    "Decoded",
    "Encoder",
    "Format",
    "Piece",
    "Recording",
    "Sensor",
    "decode_records",
    "read_start",
]

CHUNK_BYTES = 1 << 18
"""How much of a file is read at a time: fits the processor's cache, and bounds the memory."""

Sensor = tuple[int, int]
"""Width and height."""

Piece = tuple[np.ndarray, dict[str, int]]
"""Events (N,), and what was found beside them, by name of `repair.PROBLEMS`."""

S = TypeVar("S")


class Decoded(NamedTuple):
    """What a decoder makes of some bytes: events (N,), its next state, and what it found."""

    events: np.ndarray
    state: Any
    found: dict[str, int]


@dataclass(frozen=True)
class Recording:
    """An opened file.

    Attributes:
        pieces: its events, in order, as the file has them; can be gone through once.
        sensor: width and height, if the file says them.
        sensors: what cameras of this format have, smallest first, if the file does not.
    """

    pieces: Iterator[Piece]
    sensor: Sensor | None = None
    sensors: tuple[Sensor, ...] = ()


@dataclass(frozen=True)
class Encoder:
    """How a format is written.

    Attributes:
        header: width and height -> the bytes before the first event.
        encode: events (N,) and state -> bytes and the next state.
        start: the state before the first event.
        largest: the largest width and height that addresses can say.
        turn_us: times are stored modulo this; a turn is found again when it is read.
        longest_pause_us: a pause of this length or more cannot be told from a shorter one.
    """

    header: Callable[[int, int], bytes]
    encode: Callable[[np.ndarray, Any], tuple[bytes, Any]]
    start: Any
    largest: Sensor
    turn_us: int
    longest_pause_us: int


@dataclass(frozen=True)
class Format:
    """One file format of events.

    Attributes:
        title: what people call it.
        suffixes: endings of names that mean it when a file is written.
        open: a file -> its recording.
        encoder: None for what is only read.
    """

    title: str
    suffixes: tuple[str, ...]
    open: Callable[[Path], Recording]
    encoder: Encoder | None = None


def read_start(path: Path, count: int) -> bytes:
    """The first bytes of a file.

    Raises:
        InputError: it cannot be opened, or is empty.
    """
    try:
        with path.open("rb") as file:
            start = file.read(count)
    except OSError as error:
        problem = "there is no such file" if isinstance(error, FileNotFoundError) else None
        if isinstance(error, IsADirectoryError):
            problem = "it is a folder; name a file in it"
        reason = problem or f"cannot be opened ({error.strerror})"
        raise InputError(f"{path}: {reason}; check the path") from error
    if not start:
        raise InputError(f"{path}: the file is empty; was it copied whole?")
    return start


def decode_records(
    path: Path,
    offset: int,
    record_bytes: int,
    state: S,
    decode: Callable[[np.ndarray, S], Decoded],
    *,
    at_end: Callable[[S], dict[str, int]] | None = None,
) -> Iterator[Piece]:
    """Reads records of one length, a bounded number of bytes at a time.

    Args:
        path: the file.
        offset: where the first record begins.
        record_bytes: length of a record.
        state: of the decoder, before the first record.
        decode: bytes (N,) uint8, whole records, and state -> events and next state.
        at_end: what the last state says was wrong.

    Raises:
        InputError: the file cannot be read any further.
    """
    rest = b""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            while block := file.read(CHUNK_BYTES):
                data = rest + block if rest else block
                whole = len(data) - len(data) % record_bytes
                rest = data[whole:]
                if whole:
                    events, state, found = decode(np.frombuffer(data, np.uint8, whole), state)
                    yield events, found
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read to its end ({error.strerror}); copy it from its source again"
        ) from error
    if at_end is not None:
        yield empty_events(), at_end(state)
    if rest:
        yield empty_events(), {"cut_off_bytes": len(rest)}
