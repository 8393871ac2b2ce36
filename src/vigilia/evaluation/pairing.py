"""Which labels belong to which prediction, when both are files and folders."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from vigilia.errors import LabelError, OptionError, VigiliaError
from vigilia.evaluation.comparison import Comparison, compare, with_consensus
from vigilia.timeline import LabelOptions, Labels, Timeline, check_labels, read_labels_of

__all__ = [
    "Prediction",
    "find_predictions",
    "labels_of_predictions",
    "named_paths",
    "pair",
    "read_animals",
]

TIMELINE = "timeline.json"
ENDINGS = (".json", ".csv", ".vtt")


@dataclass(frozen=True)
class Prediction:
    """A timeline and the name of its recording.

    Attributes:
        name: of the recording: what the timeline says, else what folder or file are called.
        path: the file.
        timeline: what it holds.
    """

    name: str
    path: Path
    timeline: Timeline


def find_predictions(paths: Sequence[Path]) -> list[Prediction]:
    """Reads timelines: files, folders that `vigilia run` wrote, or folders of either.

    Raises:
        OptionError: a folder holds none, or one recording came twice.
        InputError: a file cannot be read.
    """
    found = [_read(file) for path in paths for file in _files(path)]
    for index, one in enumerate(found):
        for other in found[:index]:
            if one.name == other.name:
                raise OptionError(
                    f"{other.path} and {one.path} are both of '{one.name}'; evaluate one of them"
                )
    return found


def named_paths(words: Sequence[str], kind: str) -> dict[str, Path]:
    """Scorers by name: `NAME=PATH`, or the name of the file or folder.

    Raises:
        OptionError: two have one name.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, sign, rest = word.partition("=")
        path = Path(rest) if sign and name and not Path(word).exists() else Path(word)
        name = name if path != Path(word) else path.stem
        if name in found:
            raise OptionError(
                f"two of --{kind} are called '{name}'; write --{kind} NAME={word} to part them"
            )
        found[name] = path
    return found


def pair(
    predictions: Sequence[Prediction],
    truths: Mapping[str, Path],
    *,
    scorers: Mapping[str, Path] | None = None,
    animals: Mapping[str, str] | None = None,
    step_seconds: float = 1.0,
    options: Mapping[str, LabelOptions] | None = None,
) -> list[Comparison]:
    """Puts each prediction on one grid with its labels.

    Args:
        predictions: from `find_predictions`.
        truths: scorer to a file of one recording, a file that names the recordings, or a folder of
            files called like the recordings; with several the truth is their consensus.
        scorers: the same for people who are compared, but are no part of the truth.
        animals: name of the recording to animal.
        step_seconds: length of a cell.
        options: scorer to what the files do not say, and which of their labels are wanted.

    Raises:
        LabelError: labels do not fit their recording, or are missing.
        OptionError: an option cannot work.
    """
    everybody = {**truths, **(scorers or {})}
    if len(everybody) < len(truths) + len(scorers or {}):
        twice = next(name for name in truths if name in (scorers or {}))
        raise OptionError(f"'{twice}' is both a truth and a scorer; name one of them otherwise")
    told = options or {}
    labels = {
        name: labels_of_predictions(path, predictions, told.get(name, LabelOptions(person=name)))
        for name, path in everybody.items()
    }
    first = next(iter(truths))
    comparisons = []
    for index, one in enumerate(predictions):
        of_this = {name: rows[index] for name, rows in labels.items()}
        timeline = _with_all_classes(one, list(of_this.values()))
        for mine in of_this.values():
            check_labels(mine, classes=timeline.classes, duration_seconds=timeline.end_seconds)
        comparisons.append(
            compare(
                timeline,
                of_this[first],
                scorers=of_this if len(of_this) > 1 else None,
                name=one.name,
                animal=_animal_of(one.name, animals),
                step_seconds=step_seconds,
            )
        )
    return comparisons if len(truths) == 1 else with_consensus(comparisons, list(truths))


def read_animals(path: Path) -> dict[str, str]:
    """Reads a table of two columns, the recording and the animal, below a header.

    Raises:
        LabelError: it cannot be read so.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"cannot read {path}: {error}") from error
    found = {}
    for number, row in enumerate(rows[1:], start=2):
        if len(row) < 2 or not row[0].strip() or not row[1].strip():
            raise LabelError(f"{path}, row {number}: expected a recording and an animal")
        found[row[0].strip()] = row[1].strip()
    if not found:
        raise LabelError(f"{path} names no animal; expected a header, then recording,animal")
    return found


def _animal_of(name: str, animals: Mapping[str, str] | None) -> str:
    if animals is None:
        return ""
    for key in (name, PurePath(name).stem):
        if key in animals:
            return animals[key]
    by_stem = {PurePath(one).stem: animal for one, animal in animals.items()}
    if PurePath(name).stem in by_stem:
        return by_stem[PurePath(name).stem]
    raise LabelError(f"the table of animals does not say whom '{name}' shows")


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    if (path / TIMELINE).is_file():
        return [path / TIMELINE]
    inside = sorted(path.iterdir())
    runs = [one / TIMELINE for one in inside if (one / TIMELINE).is_file()]
    alone = [one for one in inside if one.is_file() and one.suffix.lower() in ENDINGS]
    # A timeline that lies there in several formats is one timeline.
    best: dict[str, Path] = {}
    for one in sorted(alone, key=lambda one: ENDINGS.index(one.suffix.lower())):
        best.setdefault(one.stem, one)
    if not runs and not best:
        raise OptionError(f"{path} holds no timeline; expected {TIMELINE} or folders with one")
    return runs + sorted(best.values())


def _read(path: Path) -> Prediction:
    timeline = Timeline.read(path)
    if timeline.source:
        return Prediction(timeline.source, path, timeline)
    name = path.stem if path.stem != "timeline" else path.resolve().parent.name
    return Prediction(name.removesuffix(".vigilia"), path, timeline)


def labels_of_predictions(
    path: Path, predictions: Sequence[Prediction], options: LabelOptions
) -> list[Labels]:
    """The labels of each prediction: from one file, or from a folder of files called like them.

    Raises:
        LabelError: some are missing, or cannot be read.
        OptionError: one recording of the file is chosen for several predictions.
    """
    if path.is_dir():
        return [_in_folder(path, one, options) for one in predictions]
    if len(predictions) == 1:
        return read_labels_of(path, [predictions[0].timeline.source or None], options)
    return read_labels_of(path, [one.name for one in predictions], options)


def _in_folder(folder: Path, prediction: Prediction, options: LabelOptions) -> Labels:
    stem = PurePath(prediction.name).stem
    fits = [
        one
        for one in sorted(folder.iterdir())
        if one.is_file() and one.stem in (stem, prediction.name)
    ]
    readable = []
    refused: VigiliaError | None = None
    for one in fits:
        try:
            readable += read_labels_of(one, [prediction.timeline.source or None], options)
        except VigiliaError as error:
            refused = error
    if len(readable) == 1:
        return readable[0]
    if refused is not None and not readable:
        raise refused
    raise LabelError(
        f"{folder} holds no labels for '{prediction.name}'; expected a file called {stem}"
        if not readable
        else f"{folder} holds {len(readable)} label files for '{prediction.name}'; keep one"
    )


def _with_all_classes(prediction: Prediction, labels: Sequence[Labels]) -> Timeline:
    """Tables and subtitles name only the classes that occurred, not all the model knows."""
    timeline = prediction.timeline
    if prediction.path.suffix.lower() == ".json":
        return timeline
    more = dict.fromkeys(label for one in labels for label in one.classes)
    classes = (*timeline.classes, *(one for one in more if one not in timeline.classes))
    return dataclasses.replace(timeline, classes=classes, scores=None)
