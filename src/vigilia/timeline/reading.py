"""Reads the one track of labels that training and evaluation need, from any format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath

from vigilia.errors import LabelError
from vigilia.timeline.annotations import Annotations
from vigilia.timeline.choosing import states
from vigilia.timeline.formats import read_annotations
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.csv_table import VIDEO_NAMES
from vigilia.timeline.labels import Labels

__all__ = ["labels_of_video", "of_video", "read_label_table", "read_labels"]


def read_labels(
    path: str | Path,
    *,
    video: str | None = None,
    fps: float | None = None,
    label_column: str | None = None,
    epoch_seconds: float | None = None,
    subject: str | None = None,
    scorer: str | None = None,
) -> Labels:
    """Reads the annotations of one recording, in any format, as one track.

    Args:
        path: the file.
        video: the recording, needed where the file holds several; matched by file name, else stem.
        fps: frames a second, needed where the file counts frames and has no times.
        label_column: the column of the label, needed where several could be meant.
        epoch_seconds: length of an epoch, needed where the file holds one code an epoch.
        subject: whose behaviour, needed where there are several.
        scorer: according to whom, needed where there are several.

    Raises:
        LabelError: the file cannot be used; the message names the row.
    """
    several = read_annotations(
        path, fps=fps, label_column=label_column, epoch_seconds=epoch_seconds, check=False
    )
    if video is not None:
        chosen = of_video(several, video)
    elif len(several) == 1:
        chosen = several[0]
    else:
        raise LabelError(
            f"{path} holds {len(several)} recordings; name one of them, such as "
            f"'{several[0].title}'"
            if several
            else f"{path} holds no recording"
        )
    return _track(chosen, subject, scorer)


def read_label_table(
    path: str | Path,
    *,
    fps: float | None = None,
    label_column: str | None = None,
    epoch_seconds: float | None = None,
    subject: str | None = None,
    scorer: str | None = None,
) -> dict[str, Labels]:
    """Reads the annotations of several recordings, by the names that the file gives them.

    A recording is known by its video where no other has the same, else by its own name.

    Raises:
        LabelError: the file cannot be used, or does not name the recordings.
    """
    several = read_annotations(
        path, fps=fps, label_column=label_column, epoch_seconds=epoch_seconds, check=False
    )
    if len(several) == 1 and not several[0].recording:
        if not several[0].events and several[0].observed is None:
            raise LabelError(f"{path} has a header but no rows")
        raise LabelError(
            f"{path} has no column that names the recording, which several videos need; "
            f"expected one of {', '.join(VIDEO_NAMES)}"
        )
    videos = [one.media for one in several]
    return {
        one.media[0] if len(one.media) == 1 and videos.count(one.media) == 1 else one.title: _track(
            one, subject, scorer
        )
        for one in several
    }


def labels_of_video(table: Mapping[str, Labels], video: str | Path) -> Labels:
    """Finds a recording in what `read_label_table` returned, by file name, else by stem.

    Raises:
        LabelError: none or several fit.
    """
    path = next(iter(table.values())).path if table else Path("the label table")
    return table[_match({name: (name,) for name in table}, str(video), path)]


def of_video(several: tuple[Annotations, ...], video: str | Path) -> Annotations:
    """The annotations of one video; a file that names no video is taken to mean this one.

    Args:
        several: what a file holds.
        video: its file name, or the recording's own name.

    Raises:
        LabelError: none or several fit.
    """
    if len(several) == 1 and not several[0].media:
        return several[0]
    path = several[0].path if several else Path("the annotations")
    names = {
        str(number): tuple(
            filter(None, (one.recording, *(one.media if len(one.media) == 1 else ())))
        )
        for number, one in enumerate(several)
    }
    return several[int(_match(names, str(video), path))]


def _match(names: Mapping[str, tuple[str, ...]], video: str, path: Path) -> str:
    """The key of the one entry that has a name which fits the video."""

    def whole(name: str) -> str:
        return name

    def stem(name: str) -> str:
        return PurePath(base_name(name)).stem

    for part in (whole, base_name, stem):
        fits = [key for key, of_key in names.items() if part(video) in map(part, of_key)]
        if len(fits) == 1:
            return fits[0]
        if fits:
            could_be = " or ".join(names[key][0] for key in fits[:4])
            raise LabelError(f"{path}: '{video}' could be {could_be}; rename one")
    known = [of_key[0] for of_key in names.values() if of_key]
    raise LabelError(
        f"{path} has no labels for '{video}'; it names {', '.join(known[:6])}"
        + (" ..." if len(known) > 6 else "")
    )


def _track(annotations: Annotations, subject: str | None, scorer: str | None) -> Labels:
    if not annotations.events and annotations.observed is None:
        raise LabelError(
            f"{annotations.path} has a header but no rows"
            if not annotations.recording
            else f"{annotations.path} holds no labels of '{annotations.recording}'"
        )
    return states(annotations, subject=subject, scorer=scorer)
