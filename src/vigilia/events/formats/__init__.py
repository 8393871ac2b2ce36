"""Event files of the cameras and data sets that people use; one file a format, one dict of them."""

from __future__ import annotations

from pathlib import Path

from vigilia.errors import OptionError
from vigilia.events.formats.aedat2 import AEDAT2
from vigilia.events.formats.aedat4 import AEDAT4
from vigilia.events.formats.atis import ATIS
from vigilia.events.formats.dat import DAT
from vigilia.events.formats.detect import detect
from vigilia.events.formats.dsec import DSEC
from vigilia.events.formats.event_stream import EVENT_STREAM
from vigilia.events.formats.evt2 import EVT2
from vigilia.events.formats.evt3 import EVT3
from vigilia.events.formats.format import Format

__all__ = ["FORMATS", "detect", "find_format", "format_of_name"]

FORMATS: dict[str, Format] = {
    "atis": ATIS,
    "dat": DAT,
    "evt2": EVT2,
    "evt3": EVT3,
    "aedat2": AEDAT2,
    "aedat4": AEDAT4,
    "es": EVENT_STREAM,
    "dsec": DSEC,
}


def find_format(name: str) -> Format:
    """A format by its name.

    Raises:
        OptionError: there is none of that name.
    """
    if name not in FORMATS:
        raise OptionError(f"there is no event format '{name}'; choose one of {', '.join(FORMATS)}")
    return FORMATS[name]


def format_of_name(path: str | Path) -> str:
    """The format that a file's ending means when it is written.

    Raises:
        OptionError: the ending means none that is written.
    """
    ending = Path(path).name.lower()
    written = {name: one for name, one in FORMATS.items() if one.encoder is not None}
    for name, one in written.items():
        if ending.endswith(one.suffixes):
            return name
    endings = ", ".join(suffix for one in written.values() for suffix in one.suffixes)
    raise OptionError(f"{path}: its ending means no format that is written; use one of {endings}")
