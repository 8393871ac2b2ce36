"""Everything that the routes share: the streams, their journal, pictures, listeners, and the rules
for what comes from outside."""

from __future__ import annotations

import os
from pathlib import Path

from vigilia.errors import LabelError, OptionError, VideoError, VigiliaError
from vigilia.serving.config import ServeConfig
from vigilia.serving.event_stream import Listeners
from vigilia.serving.pictures import Pictures
from vigilia.serving.reading import Reader
from vigilia.serving.recordings import parts_of
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.supervisor import Supervisor
from vigilia.serving.watched import Watched
from vigilia.timeline import Labels, read_labels
from vigilia.timeline.intervals import ROUNDING_SECONDS
from vigilia.video import probe

__all__ = ["Room"]


class Room:
    """What the routes work with.

    Args:
        config: of the service.
        supervisor: of its streams.

    Attributes:
        reader: of the journal.
        pictures: of recordings.
        listeners: for events.
    """

    def __init__(self, config: ServeConfig, supervisor: Supervisor) -> None:
        self.config = config
        self.supervisor = supervisor
        self.reader = Reader(supervisor.journal.path)
        self.pictures = Pictures()
        self.listeners = Listeners(supervisor.hub)
        self._truths: dict[Path, Labels | None] = {}

    def truth(self, watched: Watched) -> Labels | None:
        """The hand labels of a stream; None if none are named, or they cannot be read."""
        path = watched.options.truth
        if path is None:
            return None
        if path not in self._truths:
            try:
                self._truths[path] = read_labels(path)
            except (VigiliaError, OSError):
                self._truths[path] = None
        return self._truths[path]

    def check_truths(self) -> None:
        """Reads all hand labels, so that a bad file is told at the start.

        Raises:
            LabelError: one cannot be used.
        """
        for options in self.config.streams:
            if options.truth is not None:
                try:
                    self._truths[options.truth] = read_labels(options.truth)
                except OSError as error:
                    raise LabelError(f"{options.truth}: cannot be read") from error

    def check_added(self, options: StreamOptions) -> None:
        """What may be added over HTTP: cameras, and files of the folders that are named for it.

        Raises:
            OptionError: this may not.
        """
        if options.truth is not None:
            raise OptionError("truth: is only taken from the configuration file")
        if options.live:
            return
        allowed = self.config.recordings
        path = Path(os.path.realpath(options.source))  # raises for nothing that is asked
        if not any(path.is_relative_to(folder) for folder in allowed):
            raise OptionError(
                "source: files may be added over HTTP from the folders that `recordings` lists "
                "in the configuration only"
            )
        if not os.path.exists(path):
            raise OptionError("source: there is no such file or folder")

    def check_correction(
        self, name: str, start_seconds: float, end_seconds: float, label: str | None
    ) -> None:
        """A correction is about time that was watched, and names a class.

        Raises:
            OptionError: it is not.
        """
        cursor = self.supervisor.journal.cursor(name)
        if cursor is None or cursor.until_seconds is None or cursor.start_seconds is None:
            raise OptionError("there are no results to correct yet")
        if label is not None and label not in cursor.segmenter.classes:
            shown = ", ".join(cursor.segmenter.classes[:12])
            raise OptionError(f"{label[:64]!r} is none of the classes ({shown})")
        if not end_seconds - start_seconds > ROUNDING_SECONDS:
            raise OptionError("a correction must end after it starts")
        inside = cursor.start_seconds - 1 <= start_seconds
        if not inside or end_seconds > cursor.until_seconds + 1:
            raise OptionError(
                f"the correction lies outside of what was watched, {cursor.start_seconds:.3f} to "
                f"{cursor.until_seconds:.3f} s"
            )

    @staticmethod
    def part(watched: Watched, number: int) -> Path:
        """A file of a recording.

        Raises:
            VideoError: there is none of that number.
        """
        parts = parts_of(watched.options.source, follow=watched.options.follow)
        if number >= len(parts):
            raise VideoError(f"{watched.name}: there is no part {number}, only {len(parts)}")
        return parts[number]

    def frame_rate(self, watched: Watched) -> float:
        """Frames a second of a stream's pictures, for formats that count frames.

        A camera keeps no file whose frames could be counted: there it is the model's own rate.
        """
        own = self.supervisor.model.preprocessing.fps
        if watched.options.live:
            return own
        try:
            parts = parts_of(watched.options.source, follow=watched.options.follow)
            return (probe(parts[0]).frame_rate if parts else None) or own
        except (VideoError, OSError):
            return own

    def close(self) -> None:
        """Closes what is open; the supervisor is closed by whoever made it."""
        self.pictures.close()
