"""The text before the events in Prophesee's files: lines that begin with `%`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vigilia.errors import InputError
from vigilia.events.formats.format import Sensor, read_start

__all__ = ["LINE", "Header", "raw_header", "read_header"]

MOST_HEADER_BYTES = 1 << 16
LINE = re.compile(rb"%(?:[\t ][\t\x20-\x7e\x80-\xff]{0,4096})?\r?\n")
"""A line of a header."""
GENERATIONS = (("gen4", (1280, 720)), ("imx636", (1280, 720)), ("gen3", (640, 480)))


@dataclass(frozen=True)
class Header:
    """What the lines say.

    Attributes:
        fields: words of the lines by their first word, lower case.
        offset: where they end, in bytes.
        sensor: width and height, if a line says them.
    """

    fields: dict[str, str]
    offset: int
    sensor: Sensor | None

    @property
    def encoding(self) -> str | None:
        """`EVT2`, `EVT21`, `EVT3`, ...; None if no line says one."""
        name = self.fields.get("format", "").split(";")[0].strip().upper()
        version = self.fields.get("evt", "").replace(".", "")
        return name or (f"EVT{version.removesuffix('0')}" if version else None)


def read_header(path: Path) -> Header:
    """Reads the lines that begin with `%`.

    Raises:
        InputError: the file cannot be opened, is empty, or holds nothing but such lines.
    """
    data = read_start(path, MOST_HEADER_BYTES)
    fields: dict[str, str] = {}
    offset = 0
    # `%` is also a byte like any other: a line is text throughout.
    while line := LINE.match(data, offset):
        offset = line.end()
        words = line[0].decode("latin-1")[1:].split(None, 1)
        if words and words[0].lower() == "end":
            break
        if words:
            fields[words[0].lower()] = words[1].strip() if len(words) > 1 else ""
    if data[:1] == b"%" and offset == 0:
        raise InputError(f"{path}: its header is cut off or damaged; copy it from its source again")
    return Header(fields, offset, _sensor(fields))


def raw_header(encoding: str, version: str, width: int, height: int) -> bytes:
    """The lines of a .raw file as today's tools expect them."""
    return (
        f"% evt {version}\n% format {encoding};height={height};width={width}\n"
        f"% geometry {width}x{height}\n% end\n"
    ).encode("ascii")


def _sensor(fields: dict[str, str]) -> Sensor | None:
    if found := re.fullmatch(r"(\d+)x(\d+)", fields.get("geometry", "")):
        return int(found[1]), int(found[2])
    words = f"{fields.get('format', '')};width={fields.get('width')};height={fields.get('height')}"
    width, height = re.search(r"width=(\d+)", words), re.search(r"height=(\d+)", words)
    if width and height:
        return int(width[1]), int(height[1])
    camera = " ".join(fields.get(name, "") for name in ("plugin_name", "sensor_name")).lower()
    return next((sensor for name, sensor in GENERATIONS if name in camera), None)
