"""Which format a file has, from what it holds; only .bin and .bs2 must be called so."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.formats import atis
from vigilia.events.formats.format import read_start
from vigilia.events.formats.prophesee import LINE, read_header

__all__ = ["detect"]

START_BYTES = 5000
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
PROPHESEE_ENCODINGS = {"EVT2": "evt2", "EVT3": "evt3"}
MOST_STEPS_BACK = 0.05


def detect(path: Path) -> str:
    """The name of a file's format, one of FORMATS.

    Raises:
        InputError: the file cannot be opened, is empty, or holds none of the formats.
    """
    start = read_start(path, START_BYTES)
    if start.startswith(b"#!AER-DAT"):
        return _aedat(path, start)
    if start.startswith(b"Event Stream"):
        return "es"
    if start.startswith(HDF5_MAGIC):
        return "dsec"
    suffix = path.suffix.lower()
    headless = suffix in (".bin", ".bs2")
    # `%` is also 37, the first column of an event.
    if start.startswith(b"%") and (LINE.match(start) or not headless):
        return _prophesee(path)
    if headless:
        if _rises(start):
            return "atis"
        raise InputError(
            f"{path}: named {suffix}, but its times do not rise as those of N-MNIST and "
            f"N-Caltech101 do; {_advice()}"
        )
    if suffix in (".raw", ".dat"):
        raise InputError(
            f"{path}: has no header that says its encoding; name it with --from evt2, evt3 or dat"
        )
    raise InputError(f"{path}: not an event file of a format known here; {_advice()}")


def _aedat(path: Path, start: bytes) -> str:
    version = start[9:12].decode("latin-1")
    if version.startswith("2"):
        return "aedat2"
    if version.startswith("4"):
        return "aedat4"
    raise InputError(
        f"{path}: AEDAT {version}; versions 2.0 and 4.0 are read, so convert it to AEDAT4"
    )


def _prophesee(path: Path) -> str:
    header = read_header(path)
    encoding = header.encoding
    if encoding in PROPHESEE_ENCODINGS:
        return PROPHESEE_ENCODINGS[encoding]
    if encoding is not None:
        raise InputError(
            f"{path}: encoded as {encoding}; EVT2 and EVT3 are read, so save it as one of them"
        )
    if path.suffix.lower() == ".raw":
        raise InputError(
            f"{path}: its header does not say the encoding; name it with --from evt2 or evt3"
        )
    return "dat"


def _rises(start: bytes) -> bool:
    """Whether the first bytes are events whose times rise, but for a few."""
    whole = len(start) - len(start) % atis.RECORD_BYTES
    t = atis.decode(np.frombuffer(start, np.uint8, whole), 0).events["t"]
    steps_back = int(np.count_nonzero(np.diff(t) < 0))
    return t.size > 0 and steps_back <= MOST_STEPS_BACK * t.size


def _advice() -> str:
    return "docs/events.md lists what can be read"
