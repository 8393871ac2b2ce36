"""Streams on their way from one worker to another: a machine is drained, or has more than others.

A camera is opened by the worker that is to have it while the other still watches it; only then is
that one told to let it go. So no second is lost, if the camera talks to two at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from vigilia.scale.crew import Crew, Hand
from vigilia.scale.live_book import Placement
from vigilia.scale.live_news import Told
from vigilia.scale.placing import Seat, choose, pair_to_level

__all__ = ["Moves"]

_MOST_AT_ONCE = 8
_PREPARE_SECONDS = 20.0
_LEVEL_SECONDS = 30.0


class Moves:
    """Decides who moves, and when its worker is to let go; used by one thread.

    Args:
        crew: the workers.
        placements: of all streams, by name.
        told: the last answer of each worker.
        stride_seconds: between two labels.

    Attributes:
        drained: machines that are to have no streams.
    """

    def __init__(
        self,
        crew: Crew,
        placements: Mapping[str, Placement],
        told: Mapping[Hand, Told],
        stride_seconds: float,
    ) -> None:
        self._crew = crew
        self._placements = placements
        self._told = told
        # Back to the last label of the other one, and some more.
        self._need_seconds = stride_seconds + 2.0
        self._levelled_at = time.monotonic()
        self.drained: set[str] = set()

    @property
    def able(self) -> list[Hand]:
        """The workers that may get streams."""
        return [
            hand
            for hand in self._crew.hands
            if hand.ready and hand.node.id not in self.drained and hand in self._told
        ]

    def seats(self, hands: Sequence[Hand]) -> list[Seat]:
        """How full they are; what is on its way to one counts."""
        coming = [one.target for one in self._placements.values() if one.target is not None]
        return [
            Seat(
                hand.node.id,
                len(hand.lot) + sum(one is hand for one in coming),
                self._told[hand].totals.room + self._told[hand].totals.streams,
                self._told[hand].busy,
            )
            for hand in hands
        ]

    def drain(self, machine: str, drained: bool) -> None:
        """A machine is to have no streams, or may have some again."""
        if drained:
            self.drained.add(machine)
            return
        self.drained.discard(machine)
        for one in self._placements.values():
            if one.target is not None and not one.leaving:
                one.target = None

    def due(self) -> list[Placement]:
        """The streams that their workers are to let go now."""
        self._begin()
        return [
            one
            for one in self._placements.values()
            if one.target is not None
            and one.hand is not None
            and not (one.leaving or one.stopping)
            and self._is_ready(one, one.target)
        ]

    def _is_ready(self, one: Placement, target: Hand) -> bool:
        if not one.watched.options.live or one.watched.status != "running":
            return True
        if time.monotonic() - one.moving_since > _PREPARE_SECONDS:
            return True  # the camera talks to one at a time, perhaps
        told = self._told.get(target)
        kept = 0.0 if told is None else told.prepared.get(one.name, 0.0)
        return kept is None or kept >= self._need_seconds

    def _begin(self) -> None:
        room = _MOST_AT_ONCE - sum(one.target is not None for one in self._placements.values())
        for one in self._placements.values():
            if room > 0 and one.settled and one.hand and one.hand.node.id in self.drained:
                able = self.able
                index = choose(self.seats(able))
                if index is None:
                    return  # better there than nowhere
                self._move(one, able[index])
                room -= 1
        if time.monotonic() - self._levelled_at > _LEVEL_SECONDS:
            self._levelled_at = time.monotonic()
            self._level()

    def _level(self) -> None:
        """One stream from the fullest worker to the emptiest, if nothing else moves."""
        if not all(one.settled for one in self._placements.values()):
            return
        able = self.able
        pair = pair_to_level(self.seats(able))
        if pair is None:
            return
        full, empty = able[pair[0]], able[pair[1]]
        for name in full.lot:
            one = self._placements.get(name)
            if one is not None and one.settled:
                self._move(one, empty)
                return

    def _move(self, one: Placement, target: Hand) -> None:
        one.target, one.moving_since = target, time.monotonic()
        if one.watched.options.live and one.watched.status == "running":
            target.actor.prepare.remote(one.watched.options)
