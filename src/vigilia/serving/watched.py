"""One stream of the service: what it is, how it is doing, and what the page may want of it."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

import av
import numpy as np

from vigilia.engine import Feeder, Place
from vigilia.serving.cameras import Connection, Watch
from vigilia.serving.cursor import Cursor
from vigilia.serving.frame_counts import FrameCounts
from vigilia.serving.schema import Status
from vigilia.serving.stream_options import StreamOptions
from vigilia.stream import StreamState
from vigilia.video.source import hidden_parts

__all__ = ["LastRead", "Watched", "scrubbed"]

MEMORY_WANTED_SECONDS = 60.0


@dataclass(frozen=True, eq=False)
class LastRead:
    """What the last clip saw and could read.

    Attributes:
        state: what the model remembered when it came.
        frames: (T, H, W, 3) uint8.
        end_seconds: when it ended.
    """

    state: StreamState
    frames: np.ndarray
    end_seconds: float


@dataclass(eq=False)
class Watched:
    """A stream and everything the service knows of it; of a bounded size.

    Attributes:
        options: as declared.
        declared: it was added over HTTP, and is remembered there.
        forgotten: its results are not wanted any more, those that wait to be written neither.
        status, problem: see `vigilia.serving.schema.Stream`.
        engine_name: in the engine; another one each time it is started.
        machine: of a cluster, that watches it or did last; empty where there is none.
        running: whoever steps it has it.
        feeder, watch: the thread that decodes, and how to reach it; None while it does not run.
        opened: a camera that was opened for it beforehand; taken by the first connection.
        place: where the frames stand behind the last result, if a snapshot may be taken there.
        counts: clips by outcome, since the service was started.
        frames: likewise frames.
        label_seconds: time in each label since then; None for holes.
        picture: the last one decoded.
        duration_seconds: of a recording, as its header says.
        read: for the memory view, while somebody looks.
    """

    options: StreamOptions
    declared: bool = False
    forgotten: bool = False
    status: Status = "stopped"
    problem: str = ""
    engine_name: str = ""
    machine: str = ""
    running: bool = False
    feeder: Feeder | None = None
    watch: Watch | None = None
    opened: Connection | None = None
    place: Place | None = None
    counts: Counter[str] = field(default_factory=Counter)
    frames: FrameCounts = field(default_factory=FrameCounts)
    label_seconds: defaultdict[str | None, float] = field(
        default_factory=lambda: defaultdict(float)
    )
    reconnects: int = 0
    lag_seconds: float | None = None
    confidence: float | None = None
    picture: av.VideoFrame | None = None
    duration_seconds: float | None = None
    saved_at: float = field(default_factory=time.monotonic)
    read: LastRead | None = None
    state_kept: StreamState | None = None
    memory_wanted_until: float = 0.0
    known_parts: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.options.name

    @property
    def memory_wanted(self) -> bool:
        """Whether somebody looked at its memory lately."""
        return time.monotonic() < self.memory_wanted_until

    def want_memory(self) -> None:
        """Somebody looks at its memory."""
        self.memory_wanted_until = time.monotonic() + MEMORY_WANTED_SECONDS

    def label_of(self, cursor: Cursor | None) -> str | None:
        """The state now."""
        now = None if cursor is None else cursor.now
        return None if now is None else now.label


def scrubbed(text: str, options: StreamOptions) -> str:
    """One line of text without the credentials of a stream's source, whoever put them there."""
    text = " ".join(text.split())
    if options.kind != "address":
        return text
    text = text.replace(options.source, options.shown_source)
    for secret in hidden_parts(options.source):
        text = text.replace(secret, "***")
    return text
