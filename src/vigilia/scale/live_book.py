"""Which worker has which stream: the book that is kept of it, in one place.

A placement has a number. What a worker says is heard while its number stands in the book, and not
any more once the stream was given to another: so a worker that was taken for dead and is not can
say what it likes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vigilia.scale.crew import Hand
from vigilia.scale.live_news import Assignment
from vigilia.serving.status import set_status
from vigilia.serving.supervisor import Tools
from vigilia.serving.watched import Watched

__all__ = ["Book", "Placement"]

log = logging.getLogger("vigilia.serving")


@dataclass(eq=False)
class Placement:
    """Where a stream is.

    Attributes:
        watched: the stream.
        again: look at a recording that was read to its end, too.
        number: another each time a worker gets it.
        hand: the worker that has it; None while it waits for one.
        target: the worker to which it moves.
        moving_since: when that began.
        leaving: its worker was told to let it go.
        stopping: it goes nowhere from there.
        over: it has ended or failed by itself.
        placed_at: when its worker got it.
        reconnects: connections that broke before that.
        frames: by outcome, likewise.
        gone: set when nobody has it any more.
    """

    watched: Watched
    again: bool
    number: int = 0
    hand: Hand | None = None
    target: Hand | None = None
    moving_since: float = 0.0
    leaving: bool = False
    stopping: bool = False
    over: bool = False
    placed_at: float = field(default_factory=time.monotonic)
    reconnects: int = 0
    frames: Mapping[str, int] = field(default_factory=dict)
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        """Of the stream."""
        return self.watched.name

    @property
    def settled(self) -> bool:
        """Whether a worker has it and nothing else is meant to happen."""
        return self.hand is not None and not (self.target or self.leaving or self.stopping)


class Book:
    """The placements of all streams that run; used by one thread.

    Args:
        tools: of the service.

    Attributes:
        placements: by name.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._by_number: dict[int, Placement] = {}
        self._number = 0
        self.placements: dict[str, Placement] = {}

    def heard(self, number: int) -> Placement | None:
        """The placement of a number that is still valid."""
        return self._by_number.get(number)

    def add(self, watched: Watched, *, again: bool) -> None:
        """A stream that waits for a worker."""
        self.placements[watched.name] = Placement(watched, again)

    def give(
        self, placement: Placement, hand: Hand, *, ended: bool, wall_start: float | None
    ) -> None:
        """A worker gets a stream, with everything that it must know of it.

        Args:
            placement: of the stream, which nobody has.
            hand: the worker.
            ended: it is a recording that was read to its end.
            wall_start: Unix time at 0 seconds, if it is known.
        """
        watched, name = placement.watched, placement.name
        self._number += 1
        placement.number, placement.hand = self._number, hand
        placement.placed_at, placement.reconnects = time.monotonic(), watched.reconnects
        placement.frames = watched.frames.now()
        self._by_number[placement.number] = placement
        hand.lot.append(name)
        watched.machine = hand.node.host
        set_status(self._tools.hub, watched, "waiting", "")
        given = Assignment(
            number=placement.number,
            options=watched.options,
            again=placement.again,
            ended=ended,
            until_seconds=self._tools.journal.until_seconds(name),
            wall_start=wall_start,
            snapshot=self._tools.snapshots.read(name),
        )
        hand.actor.watch.remote(given)
        log.info("a stream is placed", extra={"stream": name, "why": hand.node.host})

    def let_go(self, placements: Iterable[Placement]) -> None:
        """Tells the workers that have them to stop these streams and to say what they found out."""
        leaving: dict[Hand, dict[str, int]] = {}
        for one in placements:
            assert one.hand is not None
            one.leaving = True
            leaving.setdefault(one.hand, {})[one.name] = one.number
        for hand, numbers in leaving.items():
            hand.actor.let_go.remote(numbers)

    def take_from(self, placement: Placement) -> None:
        """Its worker, if it has one, has it no more; nothing that it still says is heard."""
        if placement.hand is not None:
            placement.hand.lot.remove(placement.name)
        self._by_number.pop(placement.number, None)
        placement.hand, placement.leaving = None, False

    def left(self, placement: Placement) -> None:
        """Its worker has said all; it goes to another, unless it is over or was stopped."""
        self.take_from(placement)
        if placement.stopping or placement.over:
            self.finish(placement)

    def finish(self, placement: Placement) -> None:
        """Nobody is to have it any more."""
        placement.watched.running = False
        if self.placements.get(placement.name) is placement:
            del self.placements[placement.name]
        placement.gone.set()

    def fail(self, placement: Placement, problem: str) -> None:
        """It cannot go on."""
        if placement.hand is not None:
            self.let_go([placement])
        self.take_from(placement)
        set_status(self._tools.hub, placement.watched, "failed", problem)
        self.finish(placement)

    # For the thread of somebody who stops streams.

    def begin_to_stop(self, streams: Sequence[Watched]) -> list[Placement]:
        """Lets streams go for good; those of them that ran."""
        found = [self.placements[one.name] for one in streams if one.name in self.placements]
        for placement in found:
            placement.stopping = True
            if placement.hand is None:
                self.finish(placement)
        self.let_go(one for one in found if one.hand is not None and not one.leaving)
        return found

    def give_up(self, stopping: Sequence[Placement]) -> None:
        """What is not back by now is heard no more."""
        for placement in stopping:
            if not placement.gone.is_set():
                self.take_from(placement)
                self.finish(placement)
