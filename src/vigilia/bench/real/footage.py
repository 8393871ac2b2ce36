"""Real recordings, cut in two: what is learned from, and what is tested on.

A class that has one recording is learned from its first part and tested on its last; no frame is in
both, but the person, the place and the light are. A class that has two is learned from one and
tested on the other.

Letters: N sampled frames, H W pixels.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vigilia.bench.eyes import SIZE
from vigilia.bench.streams import CLIP_FPS, CLIP_FRAMES
from vigilia.errors import InputError, LabelError, VideoError
from vigilia.video import Gap, open_video

__all__ = ["FIRST_PART", "Footage", "Part", "read_clips", "read_mouse"]

FIRST_PART = 0.6
"""Share of a recording that is learned from."""

OTHER = ("vtest.avi", "mouse_openfield_77s.mp4", "fly_centred_73s.mp4")
"""In continuous/: what is on while no action is."""

SUFFIXES = (".avi", ".mp4", ".mkv")
TILES = 3


@dataclass(frozen=True)
class Part:
    """A part of a recording.

    Attributes:
        name: of the recording.
        label: number of the class; -1 for material that is no action.
        frames: (N, H, W, 3) uint8, four a second.
        other_recording: a test part of a recording that nothing was learned from.
    """

    name: str
    label: int
    frames: np.ndarray
    other_recording: bool = False


@dataclass(frozen=True)
class Footage:
    """All parts.

    Attributes:
        classes: names that the labels stand for.
        train: parts that are learned from.
        test: parts that are tested on.
        left_out: recordings too short to be cut in two.
    """

    classes: tuple[str, ...]
    train: tuple[Part, ...]
    test: tuple[Part, ...]
    left_out: tuple[str, ...] = ()


def read_clips(folder: Path) -> Footage:
    """The action clips of clips/labels.csv, and what is on between them.

    Raises:
        InputError: a file is not there or cannot be read.
    """
    recordings = [
        (name, label, sampled(_there(folder / "clips" / name))[0])
        for name, label in _labelled(_there(folder / "clips" / "labels.csv"))
    ]
    return cut(recordings, _between(folder))


def read_mouse(folder: Path) -> Footage:
    """The mouse behaviours of animals/mouse_bsoid: three tiles of each, the third for the test.

    Raises:
        InputError: a file is not there or cannot be read.
    """
    home = _there(folder / "animals" / "mouse_bsoid")
    paths = sorted(home.glob("*_hstacked.mp4"))
    if not paths:
        raise VideoError(f"{home}: no *_hstacked.mp4 in it; is it the shared data folder?")
    classes = tuple(path.name.removesuffix("_hstacked.mp4") for path in paths)
    train: list[Part] = []
    test: list[Part] = []
    for label, path in enumerate(paths):
        for tile, frames in enumerate(sampled(path, tiles=TILES), start=1):
            last = tile == TILES
            part = Part(f"{path.stem} tile {tile}", label, frames, other_recording=last)
            (test if last else train).append(part)
    between = [cut_in_two(name, -1, frames) for name, frames in _between(folder)]
    return Footage(
        classes,
        (*train, *(first for first, _ in between)),
        (*test, *(rest for _, rest in between)),
    )


def cut(
    recordings: Sequence[tuple[str, str, np.ndarray]], between: Sequence[tuple[str, np.ndarray]]
) -> Footage:
    """Decides what is learned from and what is tested on.

    Args:
        recordings: name, class and frames (N, H, W, 3) of each.
        between: name and frames of what is no action.
    """
    by_class: dict[str, list[tuple[str, np.ndarray]]] = {}
    for name, label, frames in recordings:
        by_class.setdefault(label, []).append((name, frames))
    left_out = [
        name
        for several in by_class.values()
        for name, frames in several
        if len(several) == 1 and len(frames) < 2 * CLIP_FRAMES
    ]
    classes = tuple(label for label, several in by_class.items() if several[0][0] not in left_out)
    train: list[Part] = []
    test: list[Part] = []
    for number, label in enumerate(classes):
        (name, frames), *others = by_class[label]
        if others:
            train.append(Part(name, number, frames))
            test += [Part(other, number, seen, other_recording=True) for other, seen in others]
        else:
            first, rest = cut_in_two(name, number, frames)
            train.append(first)
            test.append(rest)
    for name, frames in between:
        first, rest = cut_in_two(name, -1, frames)
        train.append(first)
        test.append(rest)
    return Footage(classes, tuple(train), tuple(test), tuple(left_out))


def cut_in_two(name: str, label: int, frames: np.ndarray) -> tuple[Part, Part]:
    """The first part of a recording and the rest of it."""
    at = round(FIRST_PART * len(frames))
    return Part(name, label, frames[:at]), Part(name, label, frames[at:])


def sampled(path: Path, *, tiles: int = 1) -> list[np.ndarray]:
    """The frames of a video at the benchmark's rate and size.

    Args:
        path: the video.
        tiles: pictures that lie side by side in it.

    Returns:
        For each tile (N, H, W, 3) uint8.

    Raises:
        VideoError: it cannot be read.
    """
    with open_video(path, width=tiles * SIZE, height=SIZE) as video:
        frames = [one.pixels for one in video.samples(fps=CLIP_FPS) if not isinstance(one, Gap)]
    whole = np.stack(frames)
    return [np.ascontiguousarray(one) for one in np.split(whole, tiles, axis=2)]


def _between(folder: Path) -> list[tuple[str, np.ndarray]]:
    return [(name, sampled(_there(folder / "continuous" / name))[0]) for name in OTHER]


def _labelled(path: Path) -> list[tuple[str, str]]:
    """File name and class of every clip that is a video of its own in the folder."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "class"} <= rows[0].keys():
        raise LabelError(f"{path}: expected rows under the columns file and class")
    chosen = [(row["file"], row["class"]) for row in rows]
    chosen = [one for one in chosen if "/" not in one[0] and one[0].endswith(SUFFIXES)]
    if len({label for _, label in chosen}) < 2:
        raise LabelError(f"{path}: names videos of fewer than two classes; is it whole?")
    return chosen


def _there(path: Path) -> Path:
    if not path.exists():
        raise InputError(f"{path}: not there; name the folder that holds clips/ and continuous/")
    return path
