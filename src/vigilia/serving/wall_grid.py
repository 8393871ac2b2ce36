"""A camera's ticks on the wall's clock: connections come and go, time does not.

Ticks of a camera are numbered from the first frame that was ever seen. Each connection counts from
its own first frame; `TickGrid` moves its numbers onto the common grid by whole ticks, so that every
second has one label however often the camera was away, and reboots of the service change nothing.

Within a connection the camera's own timestamps count, which are free of the network's jitter. A
camera's clock drifts, though: some seconds a day. A frame can come late but not early, so the least
lateness of a minute tells the drift, and once it exceeds a second the numbers move with it: a hole
if the camera is slow, ticks left out if it is fast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["ClockJumpedError", "TickGrid"]

DRIFT_SECONDS = 1.0
WATCH_SECONDS = 60.0
JUMP_SECONDS = 10.0


class ClockJumpedError(Exception):
    """The camera's timestamps have leapt; connecting again puts them right."""


@dataclass
class TickGrid:
    """The numbers of one camera's ticks.

    Attributes:
        fps: ticks a second.
        wall_start: Unix time of tick 0.
        next_tick: the first that is not taken yet.
    """

    fps: float
    wall_start: float
    next_tick: int = 0

    def __post_init__(self) -> None:
        self._offset = self.next_tick
        self._least = math.inf
        self._watched_until = -math.inf

    def seconds(self, tick: int) -> float:
        """When a tick is, on the stream's clock; multiplied, never accumulated."""
        return tick / self.fps

    def at(self, wall: float) -> int:
        """The tick nearest to a moment on the wall, never one that is taken."""
        return max(self.next_tick, round((wall - self.wall_start) * self.fps))

    def connect(self, wall: float, *, overlaps: bool = False) -> None:
        """A connection whose first frame came at `wall`: its ticks count from there.

        Args:
            wall: Unix time.
            overlaps: it may have begun while another still ran: ticks that are taken are passed
                over and not counted from the first free one.
        """
        self._offset = round((wall - self.wall_start) * self.fps) if overlaps else self.at(wall)
        self._least, self._watched_until = math.inf, wall + WATCH_SECONDS

    def place(self, tick: int, wall: float) -> int | None:
        """The number of a connection's tick that arrives at `wall`; None if it is taken.

        Raises:
            ClockJumpedError: it would lie in the future.
        """
        number = self._offset + tick
        late = wall - self.wall_start - self.seconds(number)
        if late < -JUMP_SECONDS and number > self.next_tick:
            raise ClockJumpedError("the camera's clock has jumped; connecting again")
        self._least = min(self._least, late)
        if wall >= self._watched_until:
            # A fast camera's ticks are left out until time catches up; beyond JUMP_SECONDS it is
            # the wall's clock that was put back, and waiting for it could take hours.
            if self._least > DRIFT_SECONDS or -JUMP_SECONDS < self._least < -DRIFT_SECONDS:
                moved = round(self._least * self.fps)
                self._offset += moved
                number += moved
            self._least, self._watched_until = math.inf, wall + WATCH_SECONDS
        if number < self.next_tick:
            return None
        self.next_tick = number + 1
        return number
