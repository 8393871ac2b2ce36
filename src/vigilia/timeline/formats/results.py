"""What `vigilia run` wrote: a timeline in JSON, read as annotations with confidence."""

from __future__ import annotations

from pathlib import Path

from vigilia.timeline.annotations import Annotations, from_timeline
from vigilia.timeline.files import read_json
from vigilia.timeline.formats.format import Format, Options

__all__ = ["TIMELINE"]


def _read(path: Path, options: Options) -> tuple[Annotations, ...]:
    return (from_timeline(read_json(path), path),)


TIMELINE = Format(
    title="timeline of Vigilia, .json",
    suffixes=(),
    read=_read,
    write=None,
    keeps=frozenset({"confidence", "classes", "holes"}),
)
