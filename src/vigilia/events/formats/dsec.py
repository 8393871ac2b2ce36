"""DSEC's HDF5, `events/x`, `y`, `p`, `t` and `t_offset`: read by h5py and hdf5plugin.

Both come with the extra `events`.

Gehrig, Aarents, Gehrig, Scaramuzza, "DSEC: a stereo event camera dataset for driving scenarios",
2021.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.errors import InputError, MissingExtraError
from vigilia.events.array import make_events
from vigilia.events.formats.format import Format, Piece, Recording, read_start
from vigilia.installation import install_command

__all__ = ["DSEC"]

CHUNK_EVENTS = 1 << 18
SENSORS = ((640, 480), (1280, 720))
COLUMNS = ("t", "x", "y", "p")


def _open(path: Path) -> Recording:
    read_start(path, 1)
    try:
        h5py: Any = importlib.import_module("h5py")
        importlib.import_module("hdf5plugin")  # registers the compression that DSEC uses
    except ImportError as error:
        raise MissingExtraError(
            f"{path}: HDF5 is read by h5py and hdf5plugin; {install_command('events')}"
        ) from error
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: HDF5 that is cut off or damaged; copy it from its source again"
        ) from error
    group = file.get("events")
    if not isinstance(group, h5py.Group) or not all(name in group for name in COLUMNS):
        held = ", ".join(list(file)[:6]) or "nothing"
        file.close()
        raise InputError(
            f"{path}: HDF5 without events/x, y, p, t (it holds {held}); only DSEC's layout is "
            "read: Prophesee's own files can be saved as RAW or DAT"
        )
    return Recording(_pieces(path, file, group), sensors=SENSORS)


def _pieces(path: Path, file: Any, group: Any) -> Iterator[Piece]:
    with file:
        count = min(len(group[name]) for name in COLUMNS)
        offset = int(np.asarray(file["t_offset"])) if "t_offset" in file else 0
        for start in range(0, count, CHUNK_EVENTS):
            part = slice(start, min(start + CHUNK_EVENTS, count))
            try:
                t, x, y, p = (group[name][part] for name in COLUMNS)
            except OSError as error:
                raise InputError(
                    f"{path}: cannot be read from event {start} on ({error}); copy it from its "
                    "source again"
                ) from error
            yield make_events(t.astype(np.int64) + offset, x, y, p > 0), {}


DSEC = Format(title="DSEC HDF5", suffixes=(".h5", ".hdf5"), open=_open)
