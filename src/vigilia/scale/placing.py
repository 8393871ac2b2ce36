"""Which worker a stream goes to, how many workers there are, who moves: plain functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Losses", "Seat", "choose", "pair_to_level", "wanted_workers"]

BUSY = 0.9
"""A worker that steps for a larger share of the time gets streams only if all do."""


@dataclass(frozen=True)
class Seat:
    """A worker, as placing sees it.

    Attributes:
        machine: where it runs.
        streams: that it has or is to get.
        room: for how many.
        busy: share of the time in which it steps.
        suspects: how many of its streams may be what kills workers.
    """

    machine: str
    streams: int
    room: int
    busy: float = 0.0
    suspects: int = 0


def choose(seats: Sequence[Seat], *, suspect: bool = False) -> int | None:
    """The index of the worker that a stream goes to; None if none has room.

    The emptiest one, for its room, on the emptiest machine. A stream that may be what kills workers
    goes to one that has no other such stream, so that it is known which it was.
    """
    streams: dict[str, int] = {}
    room: dict[str, int] = {}
    for one in seats:
        streams[one.machine] = streams.get(one.machine, 0) + one.streams
        room[one.machine] = room.get(one.machine, 0) + one.room
    able = [
        index
        for index, one in enumerate(seats)
        if one.streams < one.room and not (suspect and one.suspects)
    ]
    if not able:
        return None
    return min(
        able,
        key=lambda index: (
            seats[index].busy > BUSY,
            streams[seats[index].machine] / room[seats[index].machine],
            seats[index].streams / seats[index].room,
            index,
        ),
    )


def wanted_workers(slots: Mapping[str, int], streams: int) -> dict[str, int]:
    """How many workers each machine is to have: one at least, so that it can step in at once, and
    no more in all than there are streams.

    Args:
        slots: machine to the number of workers that it has room for.
        streams: how many there are.
    """
    wanted = {machine: min(1, room) for machine, room in slots.items()}
    while sum(wanted.values()) < streams:
        able = [machine for machine in slots if wanted[machine] < slots[machine]]
        if not able:
            break
        wanted[min(able, key=lambda machine: wanted[machine] / slots[machine])] += 1
    return wanted


def pair_to_level(seats: Sequence[Seat]) -> tuple[int, int] | None:
    """From which worker a stream should move to which one; None if it would change little."""
    able = [index for index, one in enumerate(seats) if one.room]
    if not able:
        return None

    def share(index: int) -> float:
        return seats[index].streams / seats[index].room

    full, empty = max(able, key=share), min(able, key=share)
    if seats[full].streams - seats[empty].streams < 2 or share(full) <= share(empty):
        return None
    return full, empty


@dataclass
class _Loss:
    count: int
    until_seconds: float | None


class Losses:
    """Which streams may be what kills the workers that have them.

    One whose worker died `tries` times in a row without labelling anything in between is given up.

    Args:
        tries: see above.
    """

    def __init__(self, tries: int = 3) -> None:
        self._tries = tries
        self._found: dict[str, _Loss] = {}

    def lost(self, name: str, until_seconds: float | None) -> bool:
        """A stream's worker died when it was labelled so far; whether the stream is given up."""
        loss = self._found.get(name)
        if loss is None or loss.until_seconds != until_seconds:
            loss = self._found[name] = _Loss(0, until_seconds)
        loss.count += 1
        return loss.count >= self._tries

    def suspected(self, name: str, until_seconds: float | None) -> bool:
        """Whether it has labelled nothing since its last worker died."""
        loss = self._found.get(name)
        return loss is not None and loss.until_seconds == until_seconds

    def clear(self, name: str) -> None:
        """It has lived long enough, or was stopped by a person."""
        self._found.pop(name, None)
