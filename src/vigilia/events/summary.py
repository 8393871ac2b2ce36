"""What a recording of events holds, in one reading and with bounded memory.

Letters: H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vigilia.events.reader import EventReader

__all__ = ["Activity", "Summary", "summarise"]

BUCKETS = 1000
FIRST_BUCKET_US = 1000


@dataclass(frozen=True)
class Summary:
    """Figures of a recording.

    Attributes:
        file: its path.
        format: one of FORMATS.
        width: of the sensor.
        height: of the sensor.
        sensor_from: where the size is from, see `EventReader`.
        events: how many.
        start_us: time of the first event; None if there is none.
        duration_seconds: from the first to the last event.
        events_per_second: over that time; None if it is 0.
        peak_events_per_second: in the busiest `peak_seconds`.
        peak_seconds: how long that is: 1 ms, doubled until 1000 of it cover the recording.
        on_share: share of ON events.
        active_share: share of pixels that fired at all.
        problems: what was found and how often, by name of PROBLEMS.
    """

    file: str
    format: str
    width: int
    height: int
    sensor_from: str
    events: int
    start_us: int | None
    duration_seconds: float
    events_per_second: float | None
    peak_events_per_second: float | None
    peak_seconds: float
    on_share: float | None
    active_share: float
    problems: dict[str, int]


@dataclass(frozen=True, eq=False)
class Activity:
    """Where and when a recording's events are.

    Attributes:
        counts: (2, H, W) int64, OFF and ON events of each pixel.
        rates: (2, 1000) int64, OFF and ON events in each bucket of time.
        bucket_us: length of a bucket, in microseconds.
        start_us: where the first bucket begins.
    """

    counts: np.ndarray
    rates: np.ndarray
    bucket_us: int
    start_us: int


def summarise(reader: EventReader) -> tuple[Summary, Activity]:
    """Reads a recording to its end.

    Raises:
        InputError: it breaks half-way.
    """
    size = reader.width * reader.height
    counts = np.zeros((2, size), np.int64)
    rates = np.zeros((2, BUCKETS), np.int64)
    bucket_us = FIRST_BUCKET_US
    first = last = None
    for events in reader:
        first = int(events["t"][0]) if first is None else first
        last = int(events["t"][-1])
        place = events["y"].astype(np.int64) * reader.width + events["x"]
        np.add.at(counts.reshape(-1), events["p"] * np.int64(size) + place, 1)
        while (last - first) // bucket_us >= BUCKETS:
            rates = np.pad(rates.reshape(2, -1, 2).sum(axis=2), ((0, 0), (0, BUCKETS // 2)))
            bucket_us *= 2
        bucket = (events["t"] - first) // bucket_us
        np.add.at(rates, (events["p"], bucket), 1)
    total, on = int(counts.sum()), int(counts[1].sum())
    problems = dict(reader.problems)
    if total == 0:
        problems["no_events"] = 1
    elif total > 1 and on in (0, total):
        problems["constant_polarity"] = total
    seconds = 0.0 if first is None or last is None else (last - first) / 1e6
    summary = Summary(
        file=str(reader.path),
        format=reader.format,
        width=reader.width,
        height=reader.height,
        sensor_from=reader.sensor_from,
        events=total,
        start_us=first,
        duration_seconds=seconds,
        events_per_second=total / seconds if seconds else None,
        peak_events_per_second=int(rates.sum(axis=0).max()) / (bucket_us / 1e6) if total else None,
        peak_seconds=bucket_us / 1e6,
        on_share=on / total if total else None,
        active_share=float(np.count_nonzero(counts.sum(axis=0)) / size),
        problems=problems,
    )
    shape = (2, reader.height, reader.width)
    return summary, Activity(counts.reshape(shape), rates, bucket_us, first or 0)
