"""An event file as a model sees it: bins of one length, at the model's size, by the file's clock.

Letters: T bins, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vigilia.errors import InputError
from vigilia.events.binning import bin_events
from vigilia.events.bins import Binning, Bins
from vigilia.events.reader import EventReader, open_events

__all__ = ["fit_events", "model_bins"]

DAY_US = 86_400_000_000
"""A clock that shows more than a day counts from another beginning than the recording's."""


def fit_events(events: np.ndarray, sensor: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """The same events on a picture of another size: the whole view, without smoothing.

    Args:
        events: (N,) of type EVENT.
        sensor: width and height that they come from.
        size: width and height that they are to have.
    """
    if sensor == size:
        return events
    moved = events.copy()
    for axis, old, new in zip("xy", sensor, size, strict=True):
        moved[axis] = events[axis].astype(np.int64) * new // old
    return moved


def model_bins(
    path: str | Path,
    *,
    height: int,
    width: int,
    bin_seconds: float,
    found: dict[str, int] | None = None,
) -> Iterator[tuple[Bins, np.ndarray]]:
    """Bins of a file, some at a time, and when each began, (T,) float64 seconds.

    A pixel of a bin is 1 where there was an event, ON and OFF apart. Bins lie on multiples of their
    length from the zero of the file's clock, so that labels in the same clock fit; of a clock that
    shows more than a day, from the first event.

    Args:
        path: a file of any format in `vigilia.events`.
        height: H of the model.
        width: W of the model.
        bin_seconds: length of a bin.
        found: what was put right or left out is counted in it, by name of `repair.PROBLEMS`.

    Raises:
        InputError: the file cannot be used, or holds no event.
    """
    with open_events(path) as reader:
        pieces = _fitted(reader, (width, height))
        first = next(pieces, None)
        if first is None:
            raise InputError(f"{path}: holds no event")
        bin_us, began = max(1, round(bin_seconds * 1e6)), int(first["t"][0])
        zero = began if began > DAY_US else 0
        binning = Binning(
            width,
            height,
            bin_us=bin_us,
            kind="binary",
            start_us=zero + (began - zero) // bin_us * bin_us,
        )
        dropped = 0
        for bins in bin_events(binning, _joined(first, pieces)):
            dropped += int(bins.dropped.sum())
            if found is not None:
                found.update(reader.problems, **({"dropped_events": dropped} if dropped else {}))
            yield bins, (bins.start_us - zero) / 1e6


def _fitted(reader: EventReader, size: tuple[int, int]) -> Iterator[np.ndarray]:
    for events in reader:
        yield fit_events(events, (reader.width, reader.height), size)


def _joined(first: np.ndarray, others: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield first
    yield from others
