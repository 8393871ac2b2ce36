"""What `vigilia labels convert` writes: one file, or a folder with a file a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vigilia.timeline import Annotations

__all__ = ["Written", "write_file", "write_folder"]


@dataclass(frozen=True)
class Written:
    """What became of recordings.

    Attributes:
        recordings: those that are in the files.
        files: how many there are.
        lost: what the format cannot hold.
        refused: why other recordings are in no file.
    """

    recordings: Sequence[Annotations]
    files: int
    lost: frozenset[str]
    refused: Sequence[str]


def write_file(several: Sequence[Annotations], out: Path, **told: Any) -> Written:
    """Writes one file of all recordings that the format can hold, if there are any.

    Args:
        several: the recordings.
        out: the file.
        told: the options of `write_annotations`.

    Raises:
        LabelError: the only recording cannot be written, or the format holds just one.
    """
    from vigilia.timeline.formats import unwritable, write_annotations

    why = [unwritable(one, out, **told) for one in several] if len(several) > 1 else [""]
    good = [one for one, reason in zip(several, why, strict=True) if not reason]
    lost = frozenset(write_annotations(good, out, **told)) if good else frozenset[str]()
    return Written(good, min(len(good), 1), lost, [reason for reason in why if reason])


def write_folder(several: Sequence[Annotations], out: Path, to: str, **told: Any) -> Written:
    """Writes a file for each recording that the format can hold.

    Args:
        several: the recordings.
        out: the folder, made if it is not there.
        to: the format.
        told: the other options of `write_annotations`.
    """
    from vigilia.errors import LabelError
    from vigilia.timeline.formats import write_annotations

    out.mkdir(parents=True, exist_ok=True)
    good, lost, refused = [], set[str](), []
    for one, path in zip(several, _paths(out, several, to), strict=True):
        try:
            lost |= set(write_annotations(one, path, format=to, **told))
        except LabelError as error:
            refused.append(str(error))
        else:
            good.append(one)
    return Written(good, len(good), frozenset(lost), refused)


def _paths(folder: Path, several: Sequence[Annotations], to: str) -> list[Path]:
    """A name of its own for each recording's file."""
    from vigilia.timeline.formats import FORMATS

    endings = {"boris-tabular": ".csv", "boris-aggregated": ".csv", "deepethogram": "_labels.csv"}
    suffixes = FORMATS[to].suffixes
    ending = suffixes[0] if suffixes else endings.get(to, ".txt")
    paths: list[Path] = []
    for one in several:
        name = Path(one.media[0]).stem if len(one.media) == 1 else one.title
        if any(other is not one and other.media == one.media for other in several):
            name = one.title
        plain = "".join(letter if letter.isalnum() or letter in " ._-#" else "_" for letter in name)
        path = folder / f"{plain}{ending}"
        number = 2
        # Where letters and capitals are the same to the disk, `Pen` would take the place of `pen`.
        while str(path).casefold() in {str(other).casefold() for other in paths}:
            path = folder / f"{plain} ({number}){ending}"
            number += 1
        paths.append(path)
    return paths
