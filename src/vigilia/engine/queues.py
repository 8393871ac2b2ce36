"""What waits: a queue that never grows, and what it does when it is full.

A recording waits: its frames can be read later. A camera does not: the oldest clip is dropped, the
drop is counted, and the time it would have labelled becomes a hole in the timeline, *unobserved*
and not a guess. The holes of neighbouring drops are one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from vigilia.engine.pieces import Piece, Place
from vigilia.errors import OptionError

__all__ = ["PieceQueue", "Waiting"]


@dataclass(frozen=True, eq=False)
class Waiting:
    """A piece in the queue.

    Attributes:
        piece: what waits; a hole where clips were dropped.
        ready_at: on the engine's clock, when its last frame was there.
        dropped: how many clips its hole stands for; 0 for a piece as it came.
    """

    piece: Piece
    ready_at: float
    dropped: int = 0


class PieceQueue:
    """The pieces of one stream, oldest first.

    Args:
        size: how many may wait.

    Raises:
        OptionError: `size` is not positive.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise OptionError(f"a queue must hold at least 1 clip, got {size}")
        self.size = size
        self._items: deque[Waiting] = deque()
        self._lost: Waiting | None = None

    def __len__(self) -> int:
        return len(self._items)

    @property
    def full(self) -> bool:
        """Whether another piece would make one too many."""
        return len(self._items) >= self.size

    @property
    def lost(self) -> bool:
        """Whether clips were dropped whose hole has not been taken out yet."""
        return self._lost is not None

    @property
    def head(self) -> Waiting | None:
        """What comes next: the hole of dropped clips before everything else."""
        return self._lost or (self._items[0] if self._items else None)

    def push(self, piece: Piece, ready_at: float) -> int:
        """Adds a piece; a full queue drops its oldest. Returns how many clips were dropped."""
        before = 0 if self._lost is None else self._lost.dropped
        while self.full:
            self._lose(self._items.popleft())
        self._items.append(Waiting(piece, ready_at))
        return 0 if self._lost is None else self._lost.dropped - before

    def pop(self) -> Waiting:
        """Takes the head out."""
        if self._lost is not None:
            lost, self._lost = self._lost, None
            return lost
        return self._items.popleft()

    def _lose(self, oldest: Waiting) -> None:
        piece = oldest.piece
        start, ready, dropped = piece.start_seconds, oldest.ready_at, 0
        if self._lost is not None:
            start = self._lost.piece.start_seconds
            ready, dropped = self._lost.ready_at, self._lost.dropped
        dropped += piece.frames is not None
        place: Place | None = piece.place
        self._lost = Waiting(Piece(start, piece.end_seconds, None, place=place), ready, dropped)
