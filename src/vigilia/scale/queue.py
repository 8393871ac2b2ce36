"""Which recordings wait, how often one was lost, and when to give one up."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

__all__ = ["Queue"]


class Queue:
    """Recordings by number, handed out in lots.

    A recording whose machine or process died goes back into the queue. It is given up after it was
    lost `tries` times in a row without getting further: a machine that fails now and then costs
    nothing, a file that kills whoever decodes it does not kill for ever.

    Args:
        waiting: numbers, in the order in which they are to run.
        tries: see above.
    """

    def __init__(self, waiting: Iterable[int], *, tries: int = 3) -> None:
        self._waiting = deque(waiting)
        self._out: set[int] = set()
        self._tries = tries
        self._steps: dict[int, int] = {}
        self._steps_when_lost: dict[int, int] = {}
        self._losses: dict[int, int] = {}

    @property
    def open(self) -> int:
        """How many have not ended."""
        return len(self._waiting) + len(self._out)

    def take(self, most: int, *, among: int) -> list[int]:
        """The next lot; empty if none wait.

        Args:
            most: recordings in it.
            among: how many workers there are: near the end each gets its share.
        """
        share = min(most, math.ceil(len(self._waiting) / max(1, among)))
        lot: list[int] = []
        while self._waiting and len(lot) < share:
            # One that was lost may be what kills: it travels alone.
            if lot and self._losses.get(self._waiting[0], 0):
                break
            lot.append(self._waiting.popleft())
            if self._losses.get(lot[0], 0):
                break
        self._out.update(lot)
        return lot

    def note(self, index: int, steps: int) -> None:
        """A recording has come so far."""
        self._steps[index] = steps

    def done(self, index: int) -> None:
        """A recording has ended."""
        self._out.remove(index)

    def lost(self, index: int) -> bool:
        """Whoever ran a recording is gone; returns whether it is given up.

        One that is given up is still open until `done`.
        """
        further = self._steps.get(index, 0) > self._steps_when_lost.get(index, 0)
        self._losses[index] = 1 if further else self._losses.get(index, 0) + 1
        self._steps_when_lost[index] = max(
            self._steps.get(index, 0), self._steps_when_lost.get(index, 0)
        )
        if self._losses[index] >= self._tries:
            return True
        self._out.remove(index)
        self._waiting.append(index)
        return False
