"""What is put right in events as they are read, and counted; nothing else is ever changed.

- An event outside the sensor is left out.
- An event that lies up to 10 ms before the latest one gets the latest one's time: cameras'
  time words jitter by some microseconds.
- A larger step back is a clock that was started anew: time goes on from the latest event.

So times never go back, and what reads them needs to remember no more than the latest.

Letters: N events, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vigilia.errors import InputError

__all__ = ["PROBLEMS", "Clock", "drop_outside", "repair_times"]

JITTER_US = 10_000
"""Steps back up to this are jitter: more than one turn of EVT3's low time word, 4096 us."""

MOST_RESTARTS = 100
"""More restarts of the clock than this in one recording: what is read are no times."""

PROBLEMS = {
    "cut_off_bytes": "bytes at the end are less than an event: the file was cut off",
    "outside_sensor": "events outside the sensor were left out",
    "jittered_times": "events lay slightly before the one before and got its time",
    "clock_restarts": "times the clock jumped back; time goes on from there",
    "unknown_words": "words of no known kind were passed over",
    "events_before_time": "events before the first full time or address were left out",
    "special_events": "events of no pixel (triggers, markers) were passed over",
    "exposure_events": "exposure measurements, which are no changes, were passed over",
    "dropped_events": "events beyond what a bin may hold were left out",
    "constant_polarity": "events, all of one polarity: the polarity bit is broken, or left out",
    "no_events": "no event at all",
}
"""Every problem that a reading can count, and what the number says."""


@dataclass(frozen=True)
class Clock:
    """What repairing times remembers from one piece of a stream to the next.

    Attributes:
        latest: time of the latest event delivered, in microseconds; None before the first.
        shift: what is added to the file's own times since the last restart.
        restarts: how often the clock has jumped back.
    """

    latest: int | None = None
    shift: int = 0
    restarts: int = 0


def repair_times(t: np.ndarray, clock: Clock) -> tuple[np.ndarray, Clock, dict[str, int]]:
    """Makes times never go back.

    Args:
        t: (N,) int64 microseconds, as the file says.
        clock: of the events before.

    Returns:
        The times (N,) int64, the clock after them, and what was found by name of PROBLEMS.

    Raises:
        InputError: the clock has jumped back more often than any real one.
    """
    if not t.size:
        return t, clock, {}
    t = t + clock.shift if clock.shift else t
    latest = int(t[0]) if clock.latest is None else clock.latest
    if t[0] >= latest and bool(np.all(t[1:] >= t[:-1])):
        return t, Clock(int(t[-1]), clock.shift, clock.restarts), {}
    shift, restarts, start = clock.shift, clock.restarts, 0
    t = t.copy()
    while True:
        peak = np.maximum.accumulate(np.concatenate([[latest], t[start:]]))  # (N - start + 1,)
        jumps = peak[:-1] - t[start:] > JITTER_US
        if not jumps.any():
            break
        first = int(jumps.argmax())
        back = int(peak[first]) - int(t[start + first])
        np.maximum(t[start : start + first], peak[:first], out=t[start : start + first])
        t[start + first :] += back
        latest, start = int(peak[first]), start + first
        shift, restarts = shift + back, restarts + 1
        if restarts > MOST_RESTARTS:
            raise InputError(
                f"its times jump back more than {MOST_RESTARTS} times: it is not sorted, damaged, "
                "or of another format; name the format, or export it again"
            )
    found = {"clock_restarts": restarts - clock.restarts}
    jittered = t[start:] < peak[1:]
    found["jittered_times"] = int(np.count_nonzero(jittered))
    t[start:] = peak[1:]
    return t, Clock(int(t[-1]), shift, restarts), found


def drop_outside(events: np.ndarray, width: int, height: int) -> tuple[np.ndarray, int]:
    """Leaves out events outside the sensor.

    Args:
        events: (N,) of type EVENT.
        width: W of the sensor.
        height: H of the sensor.

    Returns:
        The events inside, and how many were not.
    """
    if not events.size:
        return events, 0
    if events["x"].max() < width and events["y"].max() < height:
        return events, 0
    inside = (events["x"] < width) & (events["y"] < height)
    kept = events[inside]
    return kept, len(events) - len(kept)
