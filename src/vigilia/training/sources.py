"""What the user names for training: which videos there are, and which labels belong to which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vigilia.errors import LabelError, OptionError, VideoError
from vigilia.timeline import LabelOptions, Labels, read_labels_of
from vigilia.video import find_videos
from vigilia.video.source import SUFFIXES

__all__ = ["Annotated", "read_annotated", "split_validation"]


@dataclass(frozen=True)
class Annotated:
    """A recording and what people scored in it."""

    video: Path
    labels: Labels


def read_annotated(
    videos: Sequence[str | Path],
    labels: str | Path,
    options: LabelOptions | None = None,
    *,
    find: Callable[[str | Path], list[Path]] = find_videos,
) -> list[Annotated]:
    """Pairs videos with their labels.

    Args:
        videos: files, folders of recordings, or patterns.
        labels: a file of any format that names the videos; one that does not, for a single video;
            or a folder that holds a file of the name STEM, such as STEM.csv, for each video.
        options: what the labels do not say, and which of them are wanted.
        find: the files that a name stands for.

    Raises:
        VideoError: nothing is found.
        LabelError: a video has no labels, or a table cannot be used.
        OptionError: one recording of the labels is chosen for several videos.
    """
    paths = list(dict.fromkeys(path for video in videos for path in find(video)))
    if not paths:
        raise VideoError(f"{videos[0]}: no video found")
    labels, options = Path(labels), options or LabelOptions()
    if labels.is_dir():
        return [
            Annotated(path, read_labels_of(_file_of(labels, path), [path.name], options)[0])
            for path in paths
        ]
    names = [str(path) if len(paths) > 1 else path.name for path in paths]
    found = read_labels_of(labels, names, options)
    return [Annotated(path, of_path) for path, of_path in zip(paths, found, strict=True)]


def _file_of(folder: Path, video: Path) -> Path:
    """The label file of a video: STEM.csv, else the one other file called STEM or STEM_labels."""
    table = folder / f"{video.stem}.csv"
    if table.exists():
        return table
    names = (video.stem, f"{video.stem}_labels")
    found = [
        path
        for path in sorted(folder.iterdir())
        if Path(path.name.removesuffix(".gz")).stem in names and path.suffix.lower() not in SUFFIXES
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise LabelError(
            f"{video.name} has several files of labels ({', '.join(one.name for one in found)}); "
            "keep one in the folder"
        )
    raise LabelError(f"{video.name} has no labels: {table} does not exist")


def split_validation(
    annotated: Sequence[Annotated], names: Sequence[str]
) -> tuple[list[Annotated], list[Annotated]]:
    """Keeps the named recordings apart; a recording is never in both halves.

    Args:
        annotated: all of them.
        names: file names or stems.

    Raises:
        OptionError: a name fits no recording, or nothing is left to learn from.
    """
    apart = []
    for name in names:
        found = [one for one in annotated if name in (one.video.name, one.video.stem)]
        if not found:
            known = ", ".join(one.video.name for one in annotated[:6])
            raise OptionError(f"no recording named {name!r} to keep apart; there are {known}")
        apart += found
    rest = [one for one in annotated if one not in apart]
    if not rest:
        raise OptionError("every recording is kept apart; none is left to learn from")
    return rest, apart
