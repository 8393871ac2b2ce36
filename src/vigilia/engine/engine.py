"""The step engine: many streams, one device, bounded everywhere.

    engine = StepEngine(model, streams=40, batch=8, drop_oldest=True)
    engine.add("barn-1")
    engine.offer("barn-1", piece)          # from any thread
    for result in engine.poll():           # from one thread
        ...

It has no thread and no clock of its own: time comes from the `clock` that is passed in, work is
done in `poll`. `threads.py` has the threads.

Letters: B rows of a batch, K classes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from vigilia.engine.batching import Candidate, choose, due_in_seconds
from vigilia.engine.members import Member
from vigilia.engine.pieces import Piece
from vigilia.engine.pool import StatePool
from vigilia.engine.queues import PieceQueue, Waiting
from vigilia.engine.results import EngineStats, Result, StreamStats
from vigilia.engine.stepping import BatchStepper, Begun, probabilities_of
from vigilia.errors import OptionError
from vigilia.stream import StreamClassifier, StreamState

__all__ = ["StepEngine"]


@dataclass(frozen=True)
class Turn:
    """A stream's clip in a batch, and whether the stream starts anew with it."""

    member: Member
    waiting: Waiting
    fresh: bool


class StepEngine:
    """Steps the clips of many streams in batches of a fixed size.

    Args:
        model: in evaluation mode.
        streams: how many there is room for; the memory for all of them is taken now.
        batch: B.
        deadline_seconds: how long a clip may wait for others to fill its batch.
        queue_clips: how many pieces of a stream may wait.
        drop_oldest: what a full queue does: true drops its oldest clip (cameras), false refuses
            the newest until there is room (recordings).
        clock: seconds, never going back.
        dtype: of what is remembered; by default the model's.
        ahead: batches that one `poll` begins before it waits for the first of them; by default 2 on
            a GPU, which else would idle while frames are laid out and copied, and 1 elsewhere.

    Raises:
        OptionError: a value that cannot work.
    """

    def __init__(
        self,
        model: StreamClassifier,
        *,
        streams: int,
        batch: int = 1,
        deadline_seconds: float = 0.05,
        queue_clips: int = 2,
        drop_oldest: bool = False,
        clock: Callable[[], float] = time.monotonic,
        dtype: torch.dtype | None = None,
        ahead: int | None = None,
    ) -> None:
        if ahead is not None and ahead < 1:
            raise OptionError(f"ahead must be at least 1, got {ahead}")
        if not deadline_seconds >= 0:
            raise OptionError(f"deadline_seconds must be 0 or above, got {deadline_seconds}")
        PieceQueue(queue_clips)
        self.model = model
        self.batch = batch
        self.deadline_seconds = deadline_seconds
        self.queue_clips = queue_clips
        self.drop_oldest = drop_oldest
        self.clock = clock
        self.changed = threading.Condition()
        """Notified when something was offered, taken or closed."""
        self._pool = StatePool(model, rows=streams, batch=batch, dtype=dtype)
        self._ahead = ahead or (2 if self._pool.device.type == "cuda" else 1)
        self._stepper = BatchStepper(model, self._pool, ahead=self._ahead)
        self._members: dict[str, Member] = {}
        self._batches = 0
        self._rows = 0

    # Streams come and go.

    def add(self, name: str, *, state: StreamState | None = None) -> None:
        """Makes room for a stream; from any thread, while others run.

        Args:
            name: of the stream, not used by another.
            state: where it goes on, with B = 1; None for one that has seen nothing.

        Raises:
            OptionError: the name is taken, there is no room, or the state is another model's.
        """
        with self.changed:
            if name in self._members:
                raise OptionError(f"there already is a stream named {name!r}")
            row = self._pool.take()
            self._members[name] = Member(name, row, PieceQueue(self.queue_clips))
            if state is not None:
                try:
                    self.resume(name, state)
                except OptionError:
                    self.remove(name)
                    raise

    def resume(self, name: str, state: StreamState) -> None:
        """Lets a stream go on from a state with B = 1; before its first piece, from any thread.

        Raises:
            OptionError: the state is another model's.
        """
        with self.changed:
            member = self._get(name)
            self._pool.write(member.row, state)
            member.fresh = False
            if bool(state.clips[0] > 0):
                member.last = probabilities_of(state.logits[0].cpu())

    def remove(self, name: str) -> None:
        """Forgets a stream and what it had waiting; from any thread, while others run."""
        with self.changed:
            member = self._get(name)
            del self._members[name]
            member.removed = True
            # A batch under way still needs the row; `poll` gives it back behind the batch.
            if not member.in_flight:
                self._pool.give_back(member.row)
            self.changed.notify_all()

    def restart(self, name: str) -> None:
        """Lets a stream start anew with its next step: what it remembers is forgotten."""
        with self.changed:
            member = self._get(name)
            member.fresh = True

    def offer(self, name: str, piece: Piece, *, ready_at: float | None = None) -> bool:
        """Queues a piece; from any thread.

        Args:
            name: of the stream.
            piece: behind those offered before.
            ready_at: when its last frame was there, on the engine's clock; None means now.

        Returns:
            False if the queue is full and the stream does not drop: offer it again later.
        """
        with self.changed:
            member = self._get(name)
            assert not member.closed, "nothing comes behind the end"
            if member.queue.full and not self.drop_oldest:
                return False
            dropped = member.queue.push(piece, self.clock() if ready_at is None else ready_at)
            member.dropped += dropped
            member.stale |= dropped > 0
            self.changed.notify_all()
            return True

    def close(self, name: str, error: Exception | None = None) -> None:
        """Nothing more will be offered; when all has its result, an "ended" comes.

        Args:
            name: of the stream; one that was removed meanwhile is passed over.
            error: why it ended, if not by itself; comes with the "ended".
        """
        with self.changed:
            if name in self._members:
                self._members[name].closed = True
                self._members[name].error = error
            self.changed.notify_all()

    # Work.

    def due_in_seconds(self) -> float | None:
        """Seconds until `poll` has something to do, 0 if it has; None if nothing waits."""
        with self.changed:
            if any(member.needs_no_step for member in self._members.values()):
                return 0.0
            return due_in_seconds(
                self._candidates(),
                batch=self.batch,
                deadline_seconds=self.deadline_seconds,
                now=self.clock(),
            )

    def poll(self, *, flush: bool = False) -> list[Result]:
        """Does what is due: at most one clip of every stream, holes before it, and one batch.

        Where more full batches wait, up to `ahead` of them are done, each begun before the one
        before is waited for.

        Results come in each stream's order. `state` then is each stream's state right behind its
        last result with probabilities.

        Args:
            flush: a batch that is not full does not wait for its deadline.
        """
        with self.changed:
            now = self.clock()
            results = self._pass_over(now)
            # A stream whose last result stands has had its turn; behind a hole it has not, or one
            # that keeps losing clips would never get a row.
            done = {one.name for one in results if one.kind == "kept"}
            waiting = [one for one in self._candidates() if one.name not in done]
            due = due_in_seconds(
                waiting, batch=self.batch, deadline_seconds=self.deadline_seconds, now=now
            )
            batches = []
            if due == 0 or (flush and waiting):
                chosen = choose(waiting, batch=self.batch, batches=self._ahead)
                batches = [[self._take(one.name) for one in batch] for batch in chosen]
            if batches or results:
                self.changed.notify_all()  # there is room in a queue
        begun = [self._begin(batch) for batch in batches]
        for batch, one in zip(batches, begun, strict=True):
            results += self._finish(batch, one)
        return results

    def state(self, name: str) -> StreamState:
        """A copy of what a stream remembers, B = 1; from the thread that polls."""
        with self.changed:
            return self._pool.read(self._get(name).row)

    def stats(self, name: str) -> StreamStats:
        """How a stream is doing; from any thread."""
        with self.changed:
            return self._get(name).stats()

    def totals(self) -> EngineStats:
        """How the engine is doing; from any thread."""
        with self.changed:
            return EngineStats(
                streams=len(self._members),
                room=self._pool.free,
                batches=self._batches,
                rows=self._rows,
                state_nbytes=self._pool.nbytes,
                nbytes_per_stream=self._pool.nbytes_per_stream,
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The streams there are, in the order in which they came."""
        with self.changed:
            return tuple(self._members)

    def _get(self, name: str) -> Member:
        if name not in self._members:
            raise OptionError(f"there is no stream named {name!r}")
        return self._members[name]

    def _candidates(self) -> list[Candidate]:
        found = (member.candidate for member in self._members.values())
        return [one for one in found if one is not None]

    def _pass_over(self, now: float) -> list[Result]:
        """What costs nothing: holes, and then a still clip or the end."""
        results = []
        for member in self._members.values():
            while member.needs_no_step:
                result = member.pass_over(now)
                results.append(result)
                if result.kind == "kept":
                    self._pool.set_seconds(member.row, result.end_seconds)
                    break
        return results

    def _take(self, name: str) -> Turn:
        """A stream's next clip, for a batch."""
        member = self._members[name]
        turn = Turn(member, member.queue.pop(), member.fresh)
        member.in_flight, member.fresh = True, False
        return turn

    def _begin(self, batch: list[Turn]) -> Begun:
        """One batch; this and waiting for it are all that is done without holding the lock."""
        pieces = [turn.waiting.piece for turn in batch]
        return self._stepper.begin(
            [turn.member.row for turn in batch],
            [piece.frames for piece in pieces if piece.frames is not None],
            [piece.end_seconds for piece in pieces],
            [turn.fresh for turn in batch],
            [piece.audio for piece in pieces],
        )

    def _finish(self, batch: list[Turn], begun: Begun) -> list[Result]:
        rows = self._stepper.finish(begun)
        results = []
        with self.changed:
            now = self.clock()
            self._batches += 1
            self._rows += len(batch)
            for turn, probabilities in zip(batch, rows, strict=True):
                member = turn.member
                result = member.stepped(turn.waiting, probabilities, self._batches, now)
                if member.removed:
                    self._pool.give_back(member.row)
                else:
                    results.append(result)
        return results
