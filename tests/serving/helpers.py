"""What the tests of the service share."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path

from vigilia.serving.journal import Journal
from vigilia.serving.reading import Reader
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.supervisor import Supervisor
from vigilia.stream import StreamClassifier
from vigilia.timeline import Timeline


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    """Waits until a condition holds; fails loudly if it never does."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


class Service:
    """A supervisor over a data folder."""

    def __init__(self, model: StreamClassifier, data: Path, **options) -> None:
        self.journal = Journal(data / "journal.sqlite", busy_seconds=0.1)
        self.supervisor = Supervisor(
            model, self.journal, data / "snapshots", snapshot_seconds=0.0, **options
        )
        self.reader = Reader(data / "journal.sqlite")

    def status(self, name: str) -> str:
        watched = self.supervisor.get(name)
        assert watched is not None
        return watched.status

    def problem(self, name: str) -> str:
        watched = self.supervisor.get(name)
        assert watched is not None
        return watched.problem

    def until(self, name: str) -> float:
        cursor = self.journal.cursor(name)
        return 0.0 if cursor is None else cursor.until_seconds or 0.0

    def timeline(self, name: str) -> tuple:
        """Segments and scores, to be compared with those of `vigilia.run`."""
        cursor = self.journal.cursor(name)
        assert cursor is not None
        segments = self.reader.segments(cursor, -1e18, 1e18, most=10**6)
        return tuple(segments), self.reader.scores(cursor, -1e18, 1e18)

    def close(self) -> None:
        self.supervisor.close()
        self.journal.close()


def file_options(path: Path, name: str = "pen", **options) -> StreamOptions:
    return StreamOptions(name, str(path), "folder" if path.is_dir() else "file", **options)


def same(service: Service, offline: Timeline, name: str = "pen") -> None:
    """The labels are those of an offline run, bit for bit."""
    segments, scores = service.timeline(name)
    assert segments == offline.segments
    assert scores == offline.scores


def tiles(rows: list[tuple[float, float, bytes | None]]) -> None:
    """Every second once: no overlap, and no hole without a row."""
    assert rows
    for (_, end, _), (start, after, _) in itertools.pairwise(rows):
        assert abs(start - end) < 1e-6
        assert after > start
