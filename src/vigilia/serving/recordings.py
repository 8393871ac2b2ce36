"""Recordings: files, folders, and folders to which a recorder keeps adding."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vigilia.errors import VideoError
from vigilia.serving.cameras import Watch
from vigilia.video import Gap, Position, Sample, VideoReader, find_videos

__all__ = ["parts_of", "recording_identity", "recording_items", "wait_for_first"]

SETTLED_SECONDS = 20.0
"""A file that did not change for so long is complete, even if no newer one stands beside it."""

_LOOK_EVERY_SECONDS = 2.0


def parts_of(source: str, *, follow: bool, now: float | None = None) -> list[Path]:
    """The files of a recording; of a followed folder those that are complete.

    Raises:
        VideoError: there is nothing of that name, or no video in it.
    """
    try:
        parts = find_videos(source)
    except VideoError:
        if follow and Path(source).is_dir():
            return []
        raise
    if follow and parts:
        age = (time.time() if now is None else now) - parts[-1].stat().st_mtime
        if age < SETTLED_SECONDS:
            parts.pop()
    return parts


def wait_for_first(source: str, watch: Watch) -> bool:
    """Waits until a followed folder has a complete file; False if it is stopped meanwhile.

    Raises:
        VideoError: it is not there.
    """
    while not parts_of(source, follow=True):
        watch.report("waiting", "")
        if watch.wait(_LOOK_EVERY_SECONDS):
            return False
    return True


def recording_identity(source: str, *, follow: bool) -> list[Any]:
    """What makes it this recording: names and sizes of its files; of a followed folder its first.

    Whoever goes on in a followed folder needs none: the frame where it stood is looked for in the
    file where it was, and the first file may long be gone.

    Raises:
        VideoError: it is not there.
    """
    parts = parts_of(source, follow=follow)
    try:
        return [[part.name, part.stat().st_size] for part in (parts[:1] if follow else parts)]
    except OSError as error:
        raise VideoError(f"{source}: cannot be looked at ({error.strerror})") from error


def recording_items(
    open_parts: Callable[[list[Path]], VideoReader],
    watch: Watch,
    *,
    source: str,
    follow: bool,
    realtime: bool,
    fps: float,
    max_gap_seconds: float,
    resume: Position | None,
    on_open: Callable[[VideoReader], None] = lambda reader: None,
) -> Iterator[Sample | Gap]:
    """Samples and holes of a recording, bit for bit those of `vigilia.run`.

    Args:
        open_parts: opens files as one recording.
        watch: told what happens.
        source: file, folder or pattern.
        follow: wait for more files at the end; there is none then, and damage ends nothing.
        realtime: wait until each sample's time has come.
        fps: samples a second.
        max_gap_seconds: a longer time without a frame is a hole.
        resume: the place of an earlier sample, to go on behind it.
        on_open: told of every reader that was opened.

    Raises:
        VideoError: it cannot be read, or has changed.
        BrokenVideoError: it breaks half-way.
    """
    pace = _Pace(watch) if realtime else None
    if follow and not wait_for_first(source, watch):
        return
    parts = parts_of(source, follow=follow)
    while True:
        problem = ""
        try:
            reader = open_parts(parts)
        except VideoError as error:
            if not follow:
                raise
            problem = str(error)
        else:
            with reader:
                on_open(reader)
                watch.report("running", "")
                items = reader.samples(fps, max_gap_seconds, resume=resume)
                try:
                    for item in _named(items, parts[0].name) if follow else items:
                        if watch.stopped.is_set() or (pace is not None and pace.wait(item)):
                            return
                        if isinstance(item, Sample):
                            resume = item.position
                        yield item
                except VideoError as error:
                    if not follow:
                        raise
                    problem = str(error)
        if not follow:
            return
        # The newest may be damaged only for now; once another stands behind it, it is passed over.
        watch.report("waiting", problem)
        known = parts
        while parts == known or not parts:
            if watch.wait(_LOOK_EVERY_SECONDS):
                return
            parts = parts_of(source, follow=True)


def _named(items: Iterator[Sample | Gap], only: str) -> Iterator[Sample | Gap]:
    """An only file is not named in positions, but others will stand beside it, or in its place: a
    recorder deletes its oldest."""
    for item in items:
        if isinstance(item, Sample) and not item.part:
            yield replace(item, part=only)
        else:
            yield item


class _Pace:
    """Lets a sample pass when its time has come, counted from the first."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._offset: float | None = None

    def wait(self, item: Sample | Gap) -> bool:
        """True if it was stopped meanwhile."""
        due = item.seconds if isinstance(item, Sample) else item.end_seconds
        now = time.monotonic()
        if self._offset is None:
            self._offset = now - due
        return self._watch.wait(max(0.0, due + self._offset - now))
