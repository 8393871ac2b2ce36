"""Which recordings an archive holds, and what one of them is, to know it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vigilia.errors import OptionError, VideoError
from vigilia.video import find_videos
from vigilia.video.source import SUFFIXES, natural_key, resolve

__all__ = ["identity_of", "on_every_machine", "recordings_in"]


def recordings_in(named: Sequence[str]) -> list[str]:
    """The recordings that are named; a folder stands for all that it holds.

    Of a folder, every video file is a recording, and every folder in it that holds videos is one,
    too: a folder of recorder chunks is one timeline here as everywhere. What is no folder stays as
    it was named.

    Raises:
        VideoError: a folder holds no video.
    """
    return [
        recording
        for one in named
        for recording in (_inside(Path(one)) if Path(one).is_dir() else [one])
    ]


def _inside(archive: Path) -> list[str]:
    found = []
    for entry in sorted(archive.iterdir(), key=natural_key):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            try:
                find_videos(entry)
            except VideoError:
                continue  # results, notes: no recording
            found.append(str(entry))
        elif entry.suffix.lower() in SUFFIXES:
            found.append(str(entry))
    if not found:
        find_videos(archive)  # says what a folder must hold
    return found


def on_every_machine(video: str | Path) -> str:
    """The name under which every machine finds a recording: files with their whole path.

    Raises:
        OptionError: a camera; it belongs to one machine and has no end.
    """
    text = str(video)
    try:
        source = resolve(text)
    except VideoError:
        return str(Path(text).absolute())  # whoever opens it says what is wrong
    if source.live:
        raise OptionError(f"{source.name}: a camera cannot be run over Ray; name recordings")
    return text if "://" in text else str(Path(text).expanduser().absolute())


def identity_of(video: str) -> list[Any]:
    """Names and sizes of a recording's files, as JSON values; an address without its password."""
    try:
        source = resolve(video)
    except VideoError:
        return [Path(video).name]
    if not source.parts:
        return [source.name]
    return [[part.name, part.stat().st_size] for part in source.parts]
