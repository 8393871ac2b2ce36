"""Events of a file, a bounded piece at a time, repaired and in order of time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np

from vigilia.errors import InputError, OptionError
from vigilia.events.array import empty_events
from vigilia.events.formats import detect, find_format
from vigilia.events.formats.format import Sensor
from vigilia.events.repair import Clock, drop_outside, repair_times

__all__ = ["EventReader", "open_events", "read_events"]


def open_events(
    path: str | Path,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
) -> EventReader:
    """Opens a file of events.

    Args:
        path: the file.
        format: one of FORMATS; found from what the file holds if not given.
        width: of the sensor; from the file if not given, see `EventReader.sensor_from`.
        height: likewise; the two go together.

    Raises:
        InputError: the file cannot be used; the message says what to do.
        OptionError: an argument cannot work.
        MissingExtraError: what reads the format is not installed.
    """
    if (width is None) != (height is None):
        raise OptionError(f"width and height go together, got width={width}, height={height}")
    if width is not None and height is not None and not (0 < width < 65536 > height > 0):
        raise OptionError(f"a sensor has 1..65535 pixels a side, got {width}x{height}")
    sensor = None if width is None or height is None else (width, height)
    return EventReader(Path(path), format, sensor)


def read_events(
    path: str | Path,
    *,
    format: str | None = None,
    width: int | None = None,
    height: int | None = None,
) -> np.ndarray:
    """All events of a file at once: for small recordings. Arguments as of `open_events`.

    Returns:
        (N,) of type EVENT.
    """
    with open_events(path, format=format, width=width, height=height) as reader:
        pieces = list(reader)
    return np.concatenate(pieces) if pieces else empty_events()


class EventReader:
    """Iterates over the events of a file; made by `open_events`.

    Every item is an array (N,) of type EVENT with at least one event, of bounded length. Times
    never go back and no event lies outside the sensor: `repair` says what is put right.

    Use it as a context manager, or go through it to the end.

    Attributes:
        path: the file.
        format: its format, one of FORMATS.
        width, height: of the sensor.
        sensor_from: where the size is from: "given", "file", or "guess": the smallest sensor in
            use with this format that holds all events, found by a first reading of the file. What
            a model is trained on should not be a guess.
        problems: what has been found so far and how often, by name of `repair.PROBLEMS`.
    """

    def __init__(self, path: Path, format: str | None, sensor: Sensor | None) -> None:
        self.path = path
        self.format = detect(path) if format is None else format
        self.problems: dict[str, int] = {}
        self.sensor_from = "given"
        recording = find_format(self.format).open(path)
        if sensor is None:
            self.sensor_from = "file"
            sensor = recording.sensor
        if sensor is None:
            self.sensor_from = "guess"
            sensor = _guess_sensor(path, self.format)
        self.width, self.height = sensor
        if not (self.width and self.height):
            raise InputError(
                f"{path}: its header says a sensor of {self.width}x{self.height}; give the width "
                "and height"
            )
        self._pieces = recording.pieces
        self._clock = Clock()

    def __iter__(self) -> Iterator[np.ndarray]:
        return self

    def __next__(self) -> np.ndarray:
        while True:
            events, found = next(self._pieces)
            self._count(found)
            events, outside = drop_outside(events, self.width, self.height)
            try:
                t, self._clock, found = repair_times(events["t"], self._clock)
            except InputError as error:
                raise InputError(f"{self.path}: {error}") from None
            self._count(found | {"outside_sensor": outside})
            if len(events):
                if t is not events["t"]:
                    events["t"] = t
                return events

    def close(self) -> None:
        """Closes the file; nothing can be read any more."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()
        self._pieces = iter(())

    def __enter__(self) -> EventReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"EventReader({str(self.path)!r}, {self.format}, {self.width}x{self.height})"

    def _count(self, found: dict[str, int]) -> None:
        for name, number in found.items():
            if number:
                self.problems[name] = self.problems.get(name, 0) + number


def _guess_sensor(path: Path, format: str) -> Sensor:
    recording = find_format(format).open(path)
    width, height = 1, 1
    for events, _ in recording.pieces:
        if len(events):
            width = max(width, int(events["x"].max()) + 1)
            height = max(height, int(events["y"].max()) + 1)
    fitting = (one for one in recording.sensors if one[0] >= width and one[1] >= height)
    return next(fitting, (width, height))
