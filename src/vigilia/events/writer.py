"""Writes events to a file, piece by piece, so that a reader never meets half of one."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vigilia.errors import InputError, OptionError, OutputError
from vigilia.events.array import EVENT
from vigilia.events.formats import find_format, format_of_name
from vigilia.events.formats.format import Encoder

__all__ = ["Written", "write_events"]


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        events: how many.
        format: one of FORMATS.
        earlier_us: how much earlier every time is in the file, because its times start anew after
            a turn: a multiple of the format's turn, 0 unless the first event lies beyond one.
    """

    events: int
    format: str
    earlier_us: int


def write_events(
    path: str | Path,
    events: np.ndarray | Iterable[np.ndarray],
    *,
    width: int,
    height: int,
    format: str | None = None,
) -> Written:
    """Writes events whole or not at all.

    Args:
        path: the file; what has the name is replaced when all is written.
        events: (N,) of type EVENT, or pieces of that; times must not go back.
        width: of the sensor.
        height: of the sensor.
        format: one of FORMATS that is written; found from the name's ending if not given.

    Raises:
        InputError: the events are not in order, lie outside the sensor, or have another type.
        OptionError: the format is not written, or cannot hold the sensor.
        OutputError: the file cannot be written.
    """
    name = format_of_name(path) if format is None else format
    encoder = find_format(name).encoder
    if encoder is None:
        raise OptionError(f"{name} is only read; write atis, dat, evt2 or evt3")
    if not (0 < width <= encoder.largest[0] and 0 < height <= encoder.largest[1]):
        raise OptionError(
            f"{path}: {name} holds sensors up to {encoder.largest[0]}x{encoder.largest[1]}, "
            f"and this one has {width}x{height}; write evt3 or dat"
        )
    pieces = [events] if isinstance(events, np.ndarray) else events
    with _replacing(Path(path)) as file:
        file.write(encoder.header(width, height))
        count, earlier = _write(file, pieces, encoder, width, height)
    return Written(count, name, earlier)


def _write(
    file: BinaryIO, pieces: Iterable[np.ndarray], encoder: Encoder, width: int, height: int
) -> tuple[int, int]:
    state = encoder.start
    count, earlier, latest = 0, 0, None
    for events in pieces:
        if not len(events):
            continue
        _check(events, latest, width, height, encoder.longest_pause_us, count)
        if latest is None:
            first = int(events["t"][0])
            earlier = first - first % encoder.turn_us
        latest = int(events["t"][-1])
        if earlier:
            events = events.copy()
            events["t"] -= earlier
        data, state = encoder.encode(events, state)
        file.write(data)
        count += len(events)
    return count, earlier


def _check(
    events: np.ndarray, latest: int | None, width: int, height: int, longest: int, count: int
) -> None:
    if events.dtype != EVENT or events.ndim != 1:
        raise InputError(f"events must be (N,) of type EVENT, got {events.shape} {events.dtype}")
    steps = np.diff(events["t"], prepend=events["t"][0] if latest is None else latest)
    if steps.min() < 0:
        number = count + int(np.argmax(steps < 0))
        raise InputError(f"event {number} is earlier than the one before it; sort them by time")
    if steps.max() >= longest:
        number = count + int(np.argmax(steps >= longest))
        raise InputError(
            f"event {number} comes {int(steps.max()) / 1e6:.0f} s after the one before it, too "
            f"long a pause for this format (below {longest / 1e6:.0f} s); write another one"
        )
    outside = (events["x"] >= width) | (events["y"] >= height) | (events["p"] > 1)
    if outside.any():
        number = int(np.argmax(outside))
        x, y, p = (int(events[name][number]) for name in ("x", "y", "p"))
        raise InputError(
            f"event {count + number} is x={x}, y={y}, p={p}: outside {width}x{height}, or its "
            "polarity is not 0 or 1"
        )


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the name `path` when it is complete; a pipe is written to directly."""
    target = Path(os.path.realpath(path))
    direct = target.exists() and not target.is_file() and not target.is_dir()
    temporary = target.with_name(f".{target.name[:32]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError(21, "it is a folder; name a file in it")
        with open(target if direct else temporary, "wb" if direct else "xb") as file:
            yield file
            file.flush()
            if not direct:
                os.fsync(file.fileno())
        if not direct:
            os.replace(temporary, target)
    except OSError as error:
        reason = error.strerror or str(error)
        if isinstance(error, FileNotFoundError):
            reason = f"the folder {target.parent} does not exist; make it first"
        raise OutputError(f"cannot write {path}: {reason.lower()}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
