"""The value that everything here passes on: an array of events.

Letters: N events.
"""

from __future__ import annotations

import numpy as np

__all__ = ["EVENT", "empty_events", "make_events"]

EVENT = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")], align=True)
"""One event: `t` microseconds, `x` from the left, `y` from the top, `p` 1 for ON and 0 for OFF.

ON: the pixel became brighter. 16 bytes, aligned; the last three are padding.
"""


def make_events(t: np.ndarray, x: np.ndarray, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Four arrays (N,) -> events (N,) of type EVENT, in the same order."""
    events = np.empty(len(t), EVENT)
    events["t"] = t
    events["x"] = x
    events["y"] = y
    events["p"] = p
    return events


def empty_events() -> np.ndarray:
    """No events. -> (0,) of type EVENT."""
    return np.empty(0, EVENT)
