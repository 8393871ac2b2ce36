"""The thread that sees to it that every stream has a worker, and takes what the workers say."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

from vigilia.scale.crew import Crew, Hand
from vigilia.scale.live_book import Book, Placement
from vigilia.scale.live_taking import Taking
from vigilia.scale.moves import Moves
from vigilia.scale.placing import Losses, choose, wanted_workers
from vigilia.serving.calls import ANSWER_SECONDS, Calls
from vigilia.serving.status import set_status
from vigilia.serving.supervisor import Tools

__all__ = ["LiveLoop"]

log = logging.getLogger("vigilia.serving")

T = TypeVar("T")

SILENT_SECONDS = 20.0
"""A worker that does not answer for so long is taken for dead."""

OPENING_SECONDS = 600.0
"""Likewise while it loads PyTorch and the model."""

_NEWS_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_GATHER_SECONDS = 30.0
_PATIENCE_SECONDS = 60.0
_SAY_SECONDS = 10.0
_CLEARED_SECONDS = 60.0


class LiveLoop:
    """Runs until it is closed.

    Args:
        tools: of the service.
        crew: the workers.
        book: of the placements.

    Attributes:
        taking: of what workers say.
        moves: of streams.
        waits_for: why no worker is ready, in words, once that lasts; else empty.
        broken: what ended it, if not `close`.
    """

    def __init__(self, tools: Tools, crew: Crew, book: Book) -> None:
        self._tools = tools
        self._crew = crew
        self._book = book
        self._calls = Calls(lambda: None)
        self._losses = Losses()
        self._stopping = threading.Event()
        self._first_ready_at: float | None = None
        self._able_at = time.monotonic()
        self._said_at = -_SAY_SECONDS
        self.waits_for = ""
        self.taking = Taking(tools, book)
        self.moves = Moves(
            crew, book.placements, self.taking.told, tools.model.preprocessing.stride_seconds
        )
        self.broken: Exception | None = None
        tools.writer.on_retry = self._between_tries
        self._thread = threading.Thread(target=self._run, name="vigilia-cluster", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._thread.is_alive()

    def call(self, function: Callable[[], T]) -> T:
        """Runs a function between two rounds and waits for its result."""
        return self._calls.call(function) if self.alive else function()

    def forgive(self, name: str) -> None:
        """A person has stopped or started a stream: what happened to it counts no more."""
        self._losses.clear(name)

    def close(self) -> None:
        """Ends it behind the round it is at; idempotent."""
        self._stopping.set()
        self._thread.join(timeout=ANSWER_SECONDS)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._calls.run()
                if self._crew.look():
                    self._hire()
                self._place()
                self._book.let_go(self.moves.due())
                for hand in self._crew.idle:
                    self._crew.ask(
                        hand, self.taking.taken(hand), _NEWS_SECONDS, len(self._book.placements)
                    )
                self._hear()
                self._look_for_silence()
            self._calls.run()
        except Exception as error:
            self.broken = error
            log.exception("the cluster is lost")

    def _between_tries(self, seconds: float) -> bool:
        """Waits while results cannot be written; False if the service is ending."""
        for hand in self._crew.hands:
            if hand.ready:
                hand.actor.stay.remote()
                hand.asked_at = time.monotonic()
        until = time.monotonic() + seconds
        while not self._stopping.is_set() and time.monotonic() < until:
            self._calls.run()
            time.sleep(min(_LOOK_SECONDS, max(0.0, until - time.monotonic())))
        return not self._stopping.is_set()

    # Workers come.

    def _hire(self) -> None:
        nodes = {node.id: node for node in self._crew.nodes if node.id not in self.moves.drained}
        slots = {id: node.slots for id, node in nodes.items()}
        for id, number in wanted_workers(slots, len(self._book.placements)).items():
            self._crew.hire(nodes[id], number)
        for hand in list(self._crew.hands):
            if hand.node.id in self.moves.drained and not hand.lot:
                self._dismiss(hand)

    def _dismiss(self, hand: Hand) -> None:
        self._crew.dismiss(hand)
        self.taking.forget(hand)

    # Streams get one.

    def _place(self) -> None:
        able = self.moves.able
        if not able:
            self._say_what_it_waits_for()
            return
        self._able_at, self.waits_for = time.monotonic(), ""
        if self._is_gathering():
            return
        for placement in list(self._book.placements.values()):
            if placement.hand is not None or placement.stopping:
                continue
            target, placement.target = placement.target, None
            hand = target if target in able else self._chosen(placement, able)
            if hand is None:
                problem = "no machine of the cluster has room for it; it waits for one"
                set_status(self._tools.hub, placement.watched, "waiting", problem)
                continue
            journal, kept = self._tools.journal, self.taking.kept
            ended = kept(partial(journal.ended, placement.name))
            wall_start = kept(partial(journal.wall_start, placement.name))
            self._book.give(placement, hand, ended=ended, wall_start=wall_start)

    def _say_what_it_waits_for(self) -> None:
        """Ray lets workers wait for machines that others have, and says nothing."""
        now = time.monotonic()
        if now - self._able_at < _PATIENCE_SECONDS or now - self._said_at < _SAY_SECONDS:
            return
        self._said_at = now
        self.waits_for = self._crew.why or self._crew.room()
        problem = f"no machine of the cluster is ready ({self.waits_for}); it waits for one"
        for placement in list(self._book.placements.values()):
            if placement.hand is None and not placement.stopping:
                set_status(self._tools.hub, placement.watched, "waiting", problem)

    def _is_gathering(self) -> bool:
        """Whether the first worker is there and others still come: it should not get all."""
        if self._first_ready_at is None:
            self._first_ready_at = time.monotonic()
        late = time.monotonic() - self._first_ready_at > _GATHER_SECONDS
        return not late and any(hand not in self.taking.told for hand in self._crew.hands)

    def _chosen(self, placement: Placement, able: Sequence[Hand]) -> Hand | None:
        seats = [
            replace(seat, suspects=sum(map(self._suspected, hand.lot)))
            for hand, seat in zip(able, self.moves.seats(able), strict=True)
        ]
        index = choose(seats, suspect=self._suspected(placement.name))
        return None if index is None else able[index]

    def _suspected(self, name: str) -> bool:
        return self._losses.suspected(name, self._tools.journal.until_seconds(name))

    # Workers speak, or do not.

    def _hear(self) -> None:
        answers = []
        for hand, told in self._crew.news(_LOOK_SECONDS):
            if told is None or isinstance(told, BaseException):
                self._lost(hand, "its machine or process died" if told is None else str(told))
            else:
                answers.append((hand, told))
        if self.taking.take(answers):
            for hand, told in answers:
                if told.problem:
                    self._lost(hand, told.problem)

    def _look_for_silence(self) -> None:
        now = time.monotonic()
        for hand in list(self._crew.hands):
            patience = SILENT_SECONDS if hand.ready else OPENING_SECONDS
            if now - hand.asked_at > patience:
                self._lost(hand, f"it has not answered for {patience:.0f} s")
        for placement in self._book.placements.values():
            if placement.hand is not None and now - placement.placed_at > _CLEARED_SECONDS:
                self._losses.clear(placement.name)

    def _lost(self, hand: Hand, why: str) -> None:
        """A worker is gone; its streams go to others, from their last snapshots."""
        log.warning("a worker is lost", extra={"why": f"{hand.node.host}: {why}"})
        self._dismiss(hand)
        for placement in list(self._book.placements.values()):
            if placement.target is hand:
                placement.target = None
            if placement.hand is hand:
                self._book.left(placement)
                if not placement.gone.is_set():
                    self._go_on(placement)

    def _go_on(self, placement: Placement) -> None:
        """A stream whose worker died waits for another, unless it is what kills them."""
        until = self._tools.journal.until_seconds(placement.name)
        if self._losses.lost(placement.name, until):
            self._losses.clear(placement.name)
            self._book.fail(
                placement,
                "whoever watched it died three times at the same place; it is left alone until it "
                "is started again",
            )
            return
        problem = "the machine that watched it is gone; another takes over"
        set_status(self._tools.hub, placement.watched, "waiting", problem)
