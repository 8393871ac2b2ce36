"""Reads the one track of labels that training and evaluation need, from any format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from vigilia.errors import LabelError, OptionError
from vigilia.timeline.annotations import Annotations
from vigilia.timeline.choosing import states
from vigilia.timeline.formats import read_annotations
from vigilia.timeline.formats.boris_project import base_name
from vigilia.timeline.formats.csv_columns import VIDEO_NAMES
from vigilia.timeline.labels import Labels

__all__ = [
    "LabelOptions",
    "labels_of_video",
    "of_video",
    "read_label_table",
    "read_labels",
    "read_labels_of",
]


@dataclass(frozen=True)
class LabelOptions:
    """What a file of labels does not say by itself, and which of its labels are wanted.

    Attributes:
        fps: frames a second, needed where the file counts frames and has no times.
        epoch_seconds: length of an epoch, needed where the file holds one code an epoch.
        label_column: the column of the label, needed where several could be meant.
        recording: the recording, where its name has nothing to do with the video's.
        subject: whose behaviour, needed where there are several.
        scorer: according to whom, needed where there are several.
        person: who is said to have scored the file: taken as the scorer where the file names
            several and none is chosen.
    """

    fps: float | None = None
    epoch_seconds: float | None = None
    label_column: str | None = None
    recording: str | None = None
    subject: str | None = None
    scorer: str | None = None
    person: str | None = None


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
    options = LabelOptions(
        fps=fps,
        epoch_seconds=epoch_seconds,
        label_column=label_column,
        subject=subject,
        scorer=scorer,
    )
    return read_labels_of(path, [video], options)[0]


def read_labels_of(
    path: str | Path,
    videos: Sequence[str | None],
    options: LabelOptions = LabelOptions(),
) -> list[Labels]:
    """Reads the tracks of some videos out of one file; what it says of others is not looked at.

    Args:
        path: the file.
        videos: name of each; None for the only recording of the file. A single video has the
            labels of a file that names none.
        options: what the file does not say, and which of its labels are wanted.

    Raises:
        LabelError: the file cannot be used, or a video has no labels in it.
        OptionError: a recording is chosen for several videos.
    """
    if options.recording is not None and len(videos) > 1:
        raise OptionError(
            f"one recording, '{options.recording}', is chosen for {len(videos)} videos; "
            "leave --recording out, or give one video"
        )
    several = _annotations(path, options)
    scorer = options.scorer if options.scorer is not None else options.person
    if len(videos) == 1:
        video = options.recording if options.recording is not None else videos[0]
        if video is None and len(several) != 1:
            raise LabelError(
                f"{path} holds {len(several)} recordings; name one of them, such as "
                f"'{several[0].title}'"
                if several
                else f"{path} holds no recording"
            )
        one = several[0] if video is None else of_video(several, video, scorer=scorer)
        return [_track(one, options)]
    _refuse_nameless(several, path)
    return [_track(_fitting(several, str(video), scorer), options) for video in videos]


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
    options = LabelOptions(
        fps=fps,
        epoch_seconds=epoch_seconds,
        label_column=label_column,
        subject=subject,
        scorer=scorer,
    )
    several = _annotations(path, options)
    _refuse_nameless(several, path)
    videos = [one.media for one in several]
    return {
        one.media[0] if len(one.media) == 1 and videos.count(one.media) == 1 else one.title: _track(
            one, options
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


def of_video(
    several: tuple[Annotations, ...], video: str | Path, *, scorer: str | None = None
) -> Annotations:
    """The annotations of one video; a file that names no video is taken to mean this one.

    Args:
        several: what a file holds.
        video: its file name, or the recording's own name.
        scorer: who it must be by, if several recordings show the video, one a scorer.

    Raises:
        LabelError: none or several fit.
    """
    if len(several) == 1 and not several[0].media:
        return several[0]
    return _fitting(several, str(video), scorer)


def _fitting(several: tuple[Annotations, ...], video: str, scorer: str | None) -> Annotations:
    path = several[0].path if several else Path("the annotations")
    names = {
        str(number): tuple(
            filter(None, (one.recording, *(one.media if len(one.media) == 1 else ())))
        )
        for number, one in enumerate(several)
    }
    by_scorer = [key for key in names if scorer in several[int(key)].scorers]
    return several[int(_match(names, video, path, by_scorer))]


def _match(
    names: Mapping[str, tuple[str, ...]], video: str, path: Path, preferred: Sequence[str] = ()
) -> str:
    """The key of the one entry that has a name which fits the video, or of the preferred one."""

    def whole(name: str) -> str:
        return name

    def stem(name: str) -> str:
        return PurePath(base_name(name)).stem

    for part in (whole, base_name, stem):
        fits = [key for key, of_key in names.items() if part(video) in map(part, of_key)]
        wanted = [key for key in fits if key in preferred]
        if len(fits) == 1 or len(wanted) == 1:
            return (wanted or fits)[0]
        if fits:
            could_be = " or ".join(names[key][0] for key in fits[:4])
            raise LabelError(
                f"{path}: '{video}' could be {could_be}; choose one with --recording, or rename one"
            )
    known = [of_key[0] for of_key in names.values() if of_key]
    raise LabelError(
        f"{path} has no labels for '{video}'; it names {', '.join(known[:6])}"
        + (" ..." if len(known) > 6 else "")
    )


def _annotations(path: str | Path, options: LabelOptions) -> tuple[Annotations, ...]:
    return read_annotations(
        path,
        fps=options.fps,
        label_column=options.label_column,
        epoch_seconds=options.epoch_seconds,
        check=False,
    )


def _refuse_nameless(several: tuple[Annotations, ...], path: str | Path) -> None:
    if len(several) == 1 and not several[0].recording:
        if several[0].unreadable:
            raise LabelError(several[0].unreadable)
        if not several[0].events and several[0].observed is None:
            raise LabelError(f"{path} has a header but no rows")
        raise LabelError(
            f"{path} has no column that names the recording, which several videos need; "
            f"expected one of {', '.join(VIDEO_NAMES)}"
        )


def _track(annotations: Annotations, options: LabelOptions) -> Labels:
    if annotations.unreadable:
        raise LabelError(annotations.unreadable)
    if not annotations.events and annotations.observed is None:
        raise LabelError(
            f"{annotations.path} has a header but no rows"
            if not annotations.recording
            else f"{annotations.path} holds no labels of '{annotations.recording}'"
        )
    scorer = options.scorer
    if scorer is None and len(annotations.scorers) > 1 and options.person in annotations.scorers:
        scorer = options.person
    return states(annotations, subject=options.subject, scorer=scorer)
