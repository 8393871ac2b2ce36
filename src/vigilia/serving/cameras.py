"""Cameras that come and go, as one stream of samples on one clock.

A connection ends when the stream ends, when the sender falls silent (the reader's timeout), when
nothing answers, or when the camera's clock leaps. Then it is tried again, after a second, two,
four, up to a minute, each a little random so that forty cameras behind one switch do not come back
at the same moment. What was missed is a hole, written as it grows.

A first frame without a timestamp, and a picture whose resolution changes, are the reader's business
(`vigilia.video.reader`).
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from vigilia.errors import VigiliaError
from vigilia.serving.schema import Status
from vigilia.serving.wall_grid import ClockJumpedError, TickGrid
from vigilia.video import Gap, Sample

__all__ = ["Backoff", "Connection", "Watch", "camera_items"]

_HOLE_EVERY_SECONDS = 30.0

_MOST_BACKLOG_SECONDS = 10.0


class Connection(Protocol):
    """What is needed of `vigilia.video.VideoReader`.

    One that was opened before (`prepared.py`) also has `asked_at`, when that was by a clock like
    `Watch.clock`, and `kept_seconds`, how far back its samples reach: somebody else was still
    watching then.
    """

    start_seconds: float

    def samples(self, fps: float, max_gap_seconds: float = 2.0) -> Iterator[Sample | Gap]: ...

    def close(self) -> None: ...


@dataclass
class Watch:
    """How the thread that decodes hears and tells.

    Attributes:
        report: told the stream's status and, in one line, its problem.
        stopped: set when it is to end.
        clock: Unix time.
    """

    report: Callable[[Status, str], None]
    stopped: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.time

    def wait(self, seconds: float) -> bool:
        """Waits; True if it was stopped meanwhile."""
        return self.stopped.wait(seconds)


@dataclass
class Backoff:
    """How long to wait before the next try: doubling, with a limit, a little random.

    Attributes:
        first_seconds: before the second try.
        most_seconds: limit.
    """

    first_seconds: float = 1.0
    most_seconds: float = 60.0
    _tries: int = 0

    def next_seconds(self) -> float:
        """The next pause."""
        plain = min(self.most_seconds, self.first_seconds * 2 ** min(self._tries, 30))
        self._tries += 1
        return plain * random.uniform(0.8, 1.2)

    def reset(self) -> None:
        """The connection has worked."""
        self._tries = 0


def camera_items(
    connect: Callable[[], Connection],
    watch: Watch,
    *,
    fps: float,
    max_gap_seconds: float,
    wall_start: float | None,
    on_wall_start: Callable[[float], None],
    until_seconds: float = 0.0,
    backoff: Backoff | None = None,
) -> Iterator[Sample | Gap]:
    """Samples and holes of a camera for as long as it is watched.

    Args:
        connect: opens the camera; its errors are reported and it is tried again.
        watch: told what happens.
        fps: samples a second.
        max_gap_seconds: a longer time without a frame is a hole.
        wall_start: Unix time at 0 seconds; None if the camera was never seen.
        on_wall_start: told it when the first frame ever comes.
        until_seconds: up to where the stream is labelled.
        backoff: between tries.
    """
    backoff = backoff or Backoff()
    grid: TickGrid | None = None
    if wall_start is not None:
        # A tick that is partly labelled counts as taken.
        grid = TickGrid(fps, wall_start, next_tick=_first_free(until_seconds, fps))
    while not watch.stopped.is_set():
        asked = watch.clock()
        try:
            connection = connect()
        except (VigiliaError, OSError, ValueError) as error:
            problem = str(error)
        else:
            try:
                if watch.stopped.is_set():
                    return
                opened = watch.clock()
                kept = getattr(connection, "kept_seconds", 0.0)
                asked = min(asked, getattr(connection, "asked_at", asked))
                arrivals = _arrivals(connection, watch, fps, max_gap_seconds)
                early = _backlog(arrivals, fps, max(kept + 1.0, _MOST_BACKLOG_SECONDS))
                # What came at once was taken while the connection was being opened.
                ahead = max((tick.tick / fps - (wall - opened) for tick, wall in early), default=0)
                began = max(min(asked, opened), opened - max(0.0, ahead))
                if grid is None:
                    grid = TickGrid(fps, began)
                    on_wall_start(began)
                grid.connect(began, overlaps=kept > 0)
                watch.report("running", "")
                backoff.reset()
                yield from _samples(itertools.chain(early, arrivals), grid, watch)
                problem = "the camera ended the stream"
            except (VigiliaError, OSError, ValueError, ClockJumpedError) as error:
                problem = str(error)
            finally:
                connection.close()
        if watch.stopped.is_set():
            return
        watch.report("reconnecting", problem)
        yield from _absence(grid, watch, backoff.next_seconds())


def _arrivals(
    connection: Connection, watch: Watch, fps: float, max_gap_seconds: float
) -> Iterator[tuple[Sample, float]]:
    """The samples of a connection, each with the moment on the wall at which it came."""
    for item in connection.samples(fps, max_gap_seconds):
        if watch.stopped.is_set():
            return
        if not isinstance(item, Gap):  # the jump of the next tick's number says the same
            yield item, watch.clock()


def _backlog(
    arrivals: Iterator[tuple[Sample, float]], fps: float, most_seconds: float
) -> list[tuple[Sample, float]]:
    """The first samples, up to the first that had to be waited for."""
    early: list[tuple[Sample, float]] = []
    for sample, wall in itertools.islice(arrivals, max(1, round(most_seconds * fps))):
        waited = wall - early[-1][1] if early else 0.0
        early.append((sample, wall))
        if waited > 0.5 / fps:
            break
    return early


def _samples(
    arrivals: Iterator[tuple[Sample, float]], grid: TickGrid, watch: Watch
) -> Iterator[Sample | Gap]:
    """One connection, on the common grid."""
    for item, wall in arrivals:
        if watch.stopped.is_set():
            return
        expected = grid.next_tick
        number = grid.place(item.tick, wall)
        if number is None:
            continue
        if number > expected:
            yield Gap(grid.seconds(expected), grid.seconds(number))
        yield Sample(
            pixels=item.pixels,
            seconds=grid.seconds(number),
            frame_seconds=item.frame_seconds,
            tick=number,
        )


def _absence(grid: TickGrid | None, watch: Watch, seconds: float) -> Iterator[Gap]:
    """Waits; of a long absence the hole is written now and then, so that it can be seen."""
    watch.wait(seconds)
    if grid is None or watch.stopped.is_set():
        return
    start, now = grid.next_tick, grid.at(watch.clock())
    if grid.seconds(now) - grid.seconds(start) >= _HOLE_EVERY_SECONDS:
        grid.next_tick = now
        yield Gap(grid.seconds(start), grid.seconds(now))


def _first_free(until_seconds: float, fps: float) -> int:
    tick = round(until_seconds * fps)
    return tick if tick / fps >= until_seconds - 1e-6 else tick + 1
