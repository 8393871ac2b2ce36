"""What comes out of the engine: results, and how each stream is doing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vigilia.engine.pieces import Place

__all__ = ["EngineStats", "Result", "StreamStats"]


@dataclass(frozen=True, eq=False)
class Result:
    """What the engine says about a stretch of one stream.

    Attributes:
        name: of the stream.
        kind: "stepped"; "kept" where nothing moved and the last result stands; "hole" where the
            recording has one; "dropped" where clips were dropped; "ended" when a stream that was
            closed has nothing left.
        start_seconds: what it labels, half-open.
        end_seconds: the end of that.
        probabilities: (K,) float32; None where nothing was observed.
        lag_seconds: from the clip's last frame to this result, on the engine's clock.
        dropped: clips that the hole stands for.
        place: where the stream stands behind it, as it came with the piece.
        error: why a stream ended, if not by itself.
    """

    name: str
    kind: str
    start_seconds: float = 0.0
    end_seconds: float = 0.0
    probabilities: np.ndarray | None = None
    lag_seconds: float = 0.0
    dropped: int = 0
    place: Place | None = None
    error: Exception | None = None


@dataclass(frozen=True)
class StreamStats:
    """One stream, since it was added.

    Attributes:
        steps: clips that were stepped.
        kept: clips that needed no step, since nothing moved.
        dropped: clips that were lost because the stream was too slow.
        waiting: pieces in the queue now.
        lag_seconds: of the last result.
        lag_p50_seconds: median of the last 128.
        lag_p95_seconds: their 95th percentile.
    """

    steps: int
    kept: int
    dropped: int
    waiting: int
    lag_seconds: float
    lag_p50_seconds: float
    lag_p95_seconds: float


@dataclass(frozen=True)
class EngineStats:
    """All streams together.

    Attributes:
        streams: how many there are.
        room: how many more fit.
        batches: stepped so far.
        rows: of all batches, those that held a stream; with `batches` the mean fill.
        state_nbytes: of the pool, which never changes.
        nbytes_per_stream: what one stream remembers.
    """

    streams: int
    room: int
    batches: int
    rows: int
    state_nbytes: int
    nbytes_per_stream: int
