"""AEDAT4 of iniVation's cameras, read by the package aedat (extra `events`)."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vigilia.errors import InputError, MissingExtraError
from vigilia.events.array import make_events
from vigilia.events.formats.format import Format, Piece, Recording, read_start
from vigilia.installation import install_command

__all__ = ["AEDAT4"]


def _open(path: Path) -> Recording:
    read_start(path, 1)
    try:
        aedat: Any = importlib.import_module("aedat")
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: AEDAT4 is read by aedat; {install_command('events')}"
        ) from error
    try:
        decoder = aedat.Decoder(str(path))
        streams = decoder.id_to_stream()
    # The package raises bare RuntimeError and others, and panics of its Rust parts.
    except BaseException as error:
        raise _damaged(path, error) from error
    cameras = {
        number: (int(stream["width"]), int(stream["height"]))
        for number, stream in streams.items()
        if stream["type"] == "events"
    }
    if not cameras:
        kinds = ", ".join(sorted({stream["type"] for stream in streams.values()})) or "nothing"
        raise InputError(f"{path}: holds no events, only {kinds}; name another file")
    first = min(cameras)
    return Recording(_pieces(path, decoder, first), cameras[first])


def _pieces(path: Path, decoder: Any, stream: int) -> Iterator[Piece]:
    packets = iter(decoder)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except BaseException as error:
            raise _damaged(path, error) from error
        if packet.get("stream_id") == stream and "events" in packet:
            events = packet["events"]
            yield make_events(events["t"], events["x"], events["y"], events["on"]), {}


def _damaged(path: Path, error: BaseException) -> BaseException:
    if isinstance(error, (KeyboardInterrupt, SystemExit, GeneratorExit, MemoryError)):
        return error
    return InputError(f"{path}: damaged AEDAT4 ({error}); copy it from its source again")


AEDAT4 = Format(title="AEDAT4", suffixes=(".aedat4",), open=_open)
