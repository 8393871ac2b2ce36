"""Real recordings with labels, small, in groups: what is tested comes from groups never seen.

- pushups: push-ups, arms bent or stretched, 92 clips of 45 groups; a group is one person.
- mouse: nine behaviours of a mouse in the open field, each as three tiles side by side (B-SOiD); a
  group is a tile, so each behaviour is in every group.
- digits: N-MNIST, digits seen by a moving event camera, 270 recordings; a group is one recording.

Letters: N frames, H W pixels, S clips, T frames of a clip.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from vigilia.bench.pushups import CLASSES as PHASES
from vigilia.bench.pushups import FRAMES_A_SECOND
from vigilia.errors import InputError
from vigilia.events import Binning, bin_events, open_events
from vigilia.preprocessing import Preprocessing
from vigilia.timeline import read_label_table
from vigilia.training import Recording, prepare_recording
from vigilia.video import Gap, open_video

__all__ = ["MATERIALS", "Material", "read_material"]

SIZE = 32
"""Height and width of the pictures."""
CLIP_FRAMES = 16
TILES = 3
TILE_PIXELS = 128
"""Height and width at which a tile is read, before the mouse is cut out of it."""
MOUSE_FPS = 7.5
DIGITS_FPS = 100.0
DIGIT_SIDE = 34
DIGIT_BINS = 30


@dataclass(frozen=True)
class Material:
    """Labelled recordings.

    Attributes:
        name: key of `MATERIALS`.
        title: for tables.
        classes: what the labels stand for.
        preprocessing: how frames become clips.
        recordings: all of them, labelled.
        groups: of each recording; groups are held out whole.
        units: of each recording; intervals come from drawing units again. A person, or a recording.
        folds: parts into which the groups are divided; a seed tests one of them.
        few: groups whose labels are used when labels are few.
        mirror: whether a mirrored picture shows the same class.
        turns: whether one that is turned does.
        near_seconds: for the contrastive method: how far apart clips of a pair end, at most.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    recordings: tuple[Recording, ...]
    groups: tuple[str, ...]
    units: tuple[str, ...]
    folds: int
    few: int
    mirror: bool
    turns: bool
    near_seconds: float


def read_material(name: str, folder: Path, cache: Path) -> Material:
    """The recordings of that name.

    Args:
        name: key of `MATERIALS`.
        folder: the shared data: clips/, animals/ and events/.
        cache: folder for decoded frames.

    Raises:
        InputError: they are not there.
    """
    return MATERIALS[name](folder, cache)


def _pushups(folder: Path, cache: Path) -> Material:
    home = folder / "clips" / "pushups"
    table = _there(home / "frames.csv")
    labels = read_label_table(table, fps=FRAMES_A_SECOND, label_column="phase")
    with table.open(newline="") as file:
        group_of = {row["file"]: row["group"] for row in csv.DictReader(file)}
    # What moves, in 2.6 s, as in the benchmark of push-ups: the room is no clue.
    how = _preprocessing(FRAMES_A_SECOND / 4, stride=2, background=0.0)
    names = sorted(group_of)
    recordings = tuple(
        prepare_recording(
            home / name, labels[name], classes=PHASES, preprocessing=how, cache=cache / "pushups"
        )
        for name in names
    )
    groups = tuple(group_of[name] for name in names)
    return Material(
        name="pushups",
        title="push-ups",
        classes=PHASES,
        preprocessing=how,
        recordings=recordings,
        groups=groups,
        units=groups,
        folds=3,
        few=4,
        mirror=True,
        turns=False,
        near_seconds=1.0,
    )


def _mouse(folder: Path, cache: Path) -> Material:
    home = _there(folder / "animals" / "mouse_bsoid")
    paths = sorted(home.glob("*_hstacked.mp4"))
    if not paths:
        raise InputError(f"{home}: no *_hstacked.mp4 in it; is it the shared data folder?")
    classes = tuple(path.name.removesuffix("_hstacked.mp4") for path in paths)
    # The three arenas differ, and not every behaviour was filmed in each: what stands still would
    # name the arena, so what moves is looked at, around the mouse.
    how = _preprocessing(MOUSE_FPS, stride=4, background=0.0)
    recordings, groups = [], []
    for label, path in enumerate(paths):
        with open_video(path, width=TILES * TILE_PIXELS, height=TILE_PIXELS) as video:
            shown = [one for one in video.samples(fps=MOUSE_FPS) if not isinstance(one, Gap)]
        whole = np.stack([one.pixels for one in shown])
        for tile, frames in enumerate(np.split(whole, TILES, axis=2)):
            recordings.append(_cut(f"{path.stem} tile {tile}", follow(frames), label, how))
            groups.append(f"tile {tile}")
    return Material(
        name="mouse",
        title="mouse",
        classes=classes,
        preprocessing=how,
        recordings=tuple(recordings),
        groups=tuple(groups),
        units=tuple(one.name for one in recordings),
        folds=TILES,
        few=1,
        mirror=True,
        turns=True,
        near_seconds=2.0,
    )


def _digits(folder: Path, cache: Path) -> Material:
    home = folder / "events" / "nmnist"
    with _there(home / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    how = _preprocessing(DIGITS_FPS, stride=7)
    recordings = [
        _cut(row["id"], _event_video(home / f"{row['id']}.bs2"), int(row["digit"]), how)
        for row in rows
    ]
    names = tuple(row["id"] for row in rows)
    return Material(
        name="digits",
        title="digits",
        classes=tuple(str(digit) for digit in range(10)),
        preprocessing=how,
        recordings=tuple(recordings),
        groups=names,
        units=names,
        folds=3,
        few=30,
        mirror=False,
        turns=False,
        near_seconds=0.2,
    )


MATERIALS: dict[str, Callable[[Path, Path], Material]] = {
    "pushups": _pushups,
    "mouse": _mouse,
    "digits": _digits,
}


def _preprocessing(fps: float, *, stride: int, background: float = 1.0) -> Preprocessing:
    return Preprocessing(
        fps=fps,
        clip_frames=CLIP_FRAMES,
        stride_frames=stride,
        height=SIZE,
        width=SIZE,
        background=background,
    )


def _event_video(path: Path) -> np.ndarray:
    """(N, H, W, 3) uint8: red where it got brighter within a bin, blue where darker, green both."""
    with open_events(path, width=DIGIT_SIDE, height=DIGIT_SIDE) as reader:
        binning = Binning(DIGIT_SIDE, DIGIT_SIDE, bin_us=round(1e6 / DIGITS_FPS), kind="binary")
        bins = np.concatenate([part.frames for part in bin_events(binning, reader)])[:DIGIT_BINS]
    edge = (DIGIT_SIDE - SIZE) // 2
    on, off = (bins[:, one, edge : edge + SIZE, edge : edge + SIZE] > 0 for one in (1, 0))
    frames = 255 * np.stack([on, on & off, off], axis=-1).astype(np.uint8)
    missing = DIGIT_BINS - len(frames)
    return np.concatenate([frames, np.zeros((missing, *frames.shape[1:]), np.uint8)])


def follow(frames: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) -> (N, 32, 32, 3): a window that moves with the mouse, averaged over a second.

    A mouse is darker than the arena, or redder.
    """
    x = torch.from_numpy(frames).float()
    dark, red = x.mean(dim=3), x[..., 0] - x[..., 2]  # (N, H, W)
    unlike = (dark.median() - dark).clamp(min=0) + 2 * (red - red.median()).clamp(min=0)
    unlike = F.avg_pool2d(unlike[:, None], 9, stride=1, padding=4)[:, 0]
    places = unlike.flatten(1).argmax(dim=1)
    width = frames.shape[2]
    centres = torch.stack([places // width, places % width], dim=1).float()  # (N, 2)
    around = round(MOUSE_FPS) // 2
    padded = torch.cat([centres[:1].expand(around, 2), centres, centres[-1:].expand(around, 2)])
    smooth = padded.unfold(0, 2 * around + 1, 1).mean(dim=2).round().long()
    corners = (smooth - SIZE // 2).clamp(min=0)
    corners = torch.minimum(corners, torch.tensor(frames.shape[1:3]) - SIZE)
    return np.stack(
        [
            one[top : top + SIZE, left : left + SIZE]
            for one, (top, left) in zip(frames, corners.tolist(), strict=True)
        ]
    )


def _cut(name: str, frames: np.ndarray, label: int, how: Preprocessing) -> Recording:
    """Whole clips of a recording that shows one class; the first sees the first frames alone."""
    last = np.arange(how.clip_frames - 1, len(frames), how.stride_frames)
    ends = (last + 1) / how.fps
    return Recording(
        name=name,
        frames=np.ascontiguousarray(frames),
        clips=last[:, None] - np.arange(how.clip_frames)[::-1],
        start_seconds=ends - how.stride_seconds,
        end_seconds=ends,
        labels=np.full(len(last), label, np.int64),
    )


def _there(path: Path) -> Path:
    if not path.exists():
        raise InputError(
            f"{path}: not there; name the folder that holds clips/, animals/ and events/"
        )
    return path
