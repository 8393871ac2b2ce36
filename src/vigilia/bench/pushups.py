"""Up or down: real clips of push-ups, learned from some people and tested on others.

The folder holds the clips and frames.csv (file, group, frame, phase; 25 frames a second). Clips of
one group show one person, so whole groups are held out, in turn: every clip is tested once.

Letters: K classes.
"""

from __future__ import annotations

import csv
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vigilia.checkpoint import load_classifier
from vigilia.evaluation.agreement import balanced_accuracy, confusion_matrix
from vigilia.running import run
from vigilia.stream import StreamClassifier
from vigilia.timeline import Interval, Labels, read_label_table
from vigilia.training import Annotated, TrainOptions, train_recordings

__all__ = [
    "CLASSES",
    "FRAMES_A_SECOND",
    "Outcome",
    "PushUps",
    "Setting",
    "classify",
    "fit_linear",
    "held_out",
    "mistakes",
    "outcome",
    "read_frames",
    "shuffled",
    "train_fold",
]

FRAMES_A_SECOND = 25.0
CLASSES = ("down", "up")
RESAMPLES = 2000

PushUps = dict[str, tuple[str, np.ndarray]]
"""For each clip its group and the phase of every frame."""
SaidBy = Callable[[Path, int], np.ndarray]
"""(video, frames) -> the phase of every frame."""


@dataclass(frozen=True)
class Setting:
    """What learns, and how it samples.

    Clips of 2.6 s, the length of one push-up, and of what moves in them: where a linear model sees
    the room, and a room that it does not know costs it half of what it learned.

    Attributes:
        model: a backbone's name.
        memory: a key of `vigilia.memory.MEMORIES`.
        memory_options: of that memory.
        fps: samples per second.
        clip_frames: T.
        stride_frames: from one step to the next.
        size: height and width; None for the backbone's own.
        epochs: passes over the clips.
    """

    model: str
    memory: str
    memory_options: Mapping[str, Any] = field(default_factory=dict)
    fps: float = 6.25
    clip_frames: int = 16
    stride_frames: int = 2
    size: int | None = None
    epochs: int = 16


@dataclass(frozen=True)
class Outcome:
    """How well the frames of unseen people were told.

    Attributes:
        accuracy: balanced, over all frames.
        low95: lower end of its 95 % interval, from resampling groups.
        high95: its upper end.
        groups: people.
        frames: tested, each once.
    """

    accuracy: float
    low95: float
    high95: float
    groups: int
    frames: int


def read_frames(path: Path) -> PushUps:
    """Reads frames.csv."""
    rows = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            rows[row["file"]].append((row["group"], CLASSES.index(row["phase"])))
    return {
        name: (entries[0][0], np.array([phase for _, phase in entries]))
        for name, entries in rows.items()
    }


def held_out(frames: PushUps, *, folds: int, seed: int) -> Iterator[tuple[PushUps, PushUps]]:
    """What is learned from and what is tested, fold by fold; no group is in both."""
    groups = sorted({group for group, _ in frames.values()})
    order = np.random.default_rng(seed).permutation(len(groups))
    for fold in range(folds):
        apart = {groups[index] for index in order[fold::folds]}
        yield (
            {name: one for name, one in frames.items() if one[0] not in apart},
            {name: one for name, one in frames.items() if one[0] in apart},
        )


def train_fold(
    folder: Path,
    frames: PushUps,
    setting: Setting,
    *,
    out: Path,
    seed: int,
    shuffle: bool = False,
    cache: Path | None = None,
) -> tuple[SaidBy, float]:
    """Trains a model; what classifies a video's frames with its last epoch, and its last loss.

    Args:
        folder: of the clips.
        frames: to learn from.
        setting: what learns.
        out: the model file.
        seed: of the training.
        shuffle: learn the phases of other clips: a control that must fail.
        cache: folder for decoded frames; by default beside `out`.
    """
    labels: Mapping[str, Labels] = read_label_table(
        folder / "frames.csv", fps=FRAMES_A_SECOND, label_column="phase"
    )
    names = list(frames)
    given = shuffled(names, frames, seed) if shuffle else labels
    history = train_recordings(
        [Annotated(folder / name, given[name]) for name in names],
        out=out,
        model=setting.model,
        memory=setting.memory,
        memory_options=dict(setting.memory_options),
        classes=CLASSES,
        fps=setting.fps,
        clip_frames=setting.clip_frames,
        stride_frames=setting.stride_frames,
        size=setting.size,
        background=0.0,
        options=TrainOptions(
            epochs=setting.epochs,
            rows=8,
            chunk_clips=4,
            learning_rate=1e-3,
            brightness=0.3,
            zoom=0.15,
            seed=seed,
        ),
        cache=cache or out.parent / "frames",
    )
    model = load_classifier(out)
    return (lambda path, count: classify(path, model, count)), float(history[-1]["loss"])


def shuffled(names: list[str], frames: PushUps, seed: int) -> dict[str, Labels]:
    """Each clip gets another clip's phases, moved round by a random time.

    Without the moving the control would not fail: push-ups begin with the arms stretched, so the
    time since the beginning alone tells more than chance.
    """
    random = np.random.default_rng(seed)
    given = {}
    for name, other in zip(names, random.permutation(names), strict=True):
        phases = frames[str(other)][1]
        moved = np.roll(np.resize(phases, len(frames[name][1])), random.integers(len(phases)))
        edges = np.flatnonzero(np.diff(moved, prepend=-1))
        given[name] = Labels(
            tuple(
                Interval(start / FRAMES_A_SECOND, end / FRAMES_A_SECOND, CLASSES[moved[start]])
                for start, end in zip(edges, [*edges[1:], len(moved)], strict=True)
            ),
            Path(name),
        )
    return given


def classify(path: Path, model: StreamClassifier, frames: int) -> np.ndarray:
    """The phase of every frame, streaming."""
    timeline = run(path, model=model)
    moments = timeline.start_seconds + (np.arange(frames) + 0.5) / FRAMES_A_SECOND
    scores = timeline.scores
    assert scores is not None
    index = np.searchsorted(scores.end_seconds, moments, side="right")
    said: np.ndarray = scores.probabilities[np.minimum(index, len(scores) - 1)].argmax(axis=1)
    return said


def fit_linear(folder: Path, frames: PushUps) -> SaidBy:
    """Logistic regression on the pixels of single frames, both phases counting the same."""
    pixels = np.concatenate(
        [_grey(folder / name, len(truth)) for name, (_, truth) in frames.items()]
    )
    mean, deviation = pixels.mean(axis=0), pixels.std(axis=0) + 1e-3
    x = torch.from_numpy((pixels - mean) / deviation)
    y = torch.from_numpy(np.concatenate([truth for _, truth in frames.values()])).float()
    weight = torch.where(y > 0, 1 / y.mean(), 1 / (1 - y.mean()))
    linear = torch.zeros(x.shape[1] + 1, requires_grad=True)
    optimiser = torch.optim.LBFGS([linear], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = F.binary_cross_entropy_with_logits(x @ linear[:-1] + linear[-1], y, weight=weight)
        total = each + 0.01 * linear[:-1].square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    found = linear.detach().numpy()

    def said_by(path: Path, count: int) -> np.ndarray:
        score = (_grey(path, count) - mean) / deviation @ found[:-1] + found[-1]
        return (score > 0).astype(int)

    return said_by


def _grey(path: Path, count: int) -> np.ndarray:
    """The first frames of a video, (count, 24 * 32) float32 from 0 to 1."""
    import av

    with av.open(str(path)) as video:
        pictures = [
            frame.to_ndarray(format="gray", width=32, height=24).ravel()
            for frame in itertools.islice(video.decode(video=0), count)
        ]
    pictures += pictures[-1:] * (count - len(pictures))
    return np.stack(pictures).astype(np.float32) / 255


def mistakes(folder: Path, tested: PushUps, said_by: SaidBy) -> dict[str, np.ndarray]:
    """The confusion matrix (K, K) of every group."""
    found: dict[str, np.ndarray] = {}
    for name, (group, truth) in tested.items():
        matrix = confusion_matrix(truth, said_by(folder / name, len(truth)), len(CLASSES))
        found[group] = found[group] + matrix if group in found else matrix
    return found


def outcome(matrices: Mapping[str, np.ndarray]) -> Outcome:
    """Balanced accuracy over all frames, with an interval over groups.

    Args:
        matrices: by group, (K, K), truth down, answers across.
    """
    every = np.stack(list(matrices.values()))
    random = np.random.default_rng(0)
    draws = [
        balanced_accuracy(every[random.integers(len(every), size=len(every))].sum(axis=0))
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(draws, [2.5, 97.5])
    total = every.sum(axis=0)
    return Outcome(
        float(balanced_accuracy(total)), float(low), float(high), len(every), int(total.sum())
    )
