"""Three continuous recordings: learned from the first part, tested on the rest.

Their labels were derived, from poses or by eye at one sitting, and each is a single recording: the
rest of it says what such a model does an hour later, not what it does elsewhere.

Letters: S clips, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.bench.cells import Lesson, learn_from
from vigilia.bench.real.answering import answers_after
from vigilia.bench.real.eyes import learn_to_see
from vigilia.bench.real.footage import FIRST_PART
from vigilia.bench.real.linear import fit_linear, small_grey
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.questions import Size
from vigilia.bench.real.scores import bouts, tally
from vigilia.bench.seen import SeenStreams, see_frames
from vigilia.bench.streams import CLIP_FRAMES
from vigilia.errors import InputError
from vigilia.preprocessing import Preprocessing
from vigilia.stream import StreamClassifier
from vigilia.timeline import read_labels
from vigilia.training.recordings import Recording, prepare_recording

__all__ = ["BASELINES", "RECORDINGS", "Continuous", "answer_recording", "cut_recording"]

ROWS = 16
CURRICULUM = (Lesson(16, 1.0, 25), Lesson(32, 1.0, 15))
BASELINES = ("majority", "linear")
BATCH = 64
PREPROCESSING = Preprocessing(
    # A small net with little data: what does not move is dimmed, as advised for fixed cameras.
    fps=8.0,
    clip_frames=CLIP_FRAMES,
    stride_frames=2,
    height=48,
    width=48,
    background=0.25,
)


@dataclass(frozen=True)
class Continuous:
    """A recording and its labels.

    Attributes:
        name: key of tables and files.
        title: for tables.
        video: file in continuous/.
        labels: file in continuous/.
        origin: where the labels come from.
        label_fps: frames a second, where the labels count frames.
    """

    name: str
    title: str
    video: str
    labels: str
    origin: str
    label_fps: float | None = None


RECORDINGS: dict[str, Continuous] = {
    one.name: one
    for one in (
        Continuous(
            *("exercise", "three people exercising", "exercise_39s.avi", "exercise_39s.hand.csv"),
            origin="set by eye",
            label_fps=10.0,
        ),
        Continuous(
            *("fly", "pair of flies", "fly_pair_120s.mp4", "fly_pair_120s.derived.csv"),
            origin="derived from tracked poses",
        ),
        Continuous(
            *("mabe", "three mice", "mabe_triplet_60s.mp4", "mabe_triplet_60s.derived.csv"),
            origin="derived from tracked poses",
        ),
    )
}


@dataclass(frozen=True)
class Cut:
    """A recording in two parts that share no frame.

    Attributes:
        classes: the labels that occur.
        recording: the whole.
        train: numbers of the clips that are learned from.
        test: of those that are tested on.
        unlearned: classes of the rest that the first part does not hold; not scored.
        labels: (S,) int64, -1 not scored.
    """

    classes: tuple[str, ...]
    recording: Recording
    train: np.ndarray
    test: np.ndarray
    unlearned: tuple[str, ...]
    labels: np.ndarray

    def frames(self, clips: np.ndarray) -> np.ndarray:
        """(B,) numbers of clips -> (B, T, H, W, 3) uint8."""
        return np.asarray(self.recording.frames[self.recording.clips[clips]])


def cut_recording(one: Continuous, folder: Path, cache: Path) -> Cut:
    """Reads a recording and cuts it.

    Args:
        one: which.
        folder: the shared data folder.
        cache: for decoded frames.

    Raises:
        InputError: a file is not there or cannot be used.
    """
    video, table = (folder / "continuous" / name for name in (one.video, one.labels))
    for path in (video, table):
        if not path.exists():
            raise InputError(
                f"{path}: not there; name the folder that holds clips/ and continuous/"
            )
    labels = read_labels(table, fps=one.label_fps)
    recording = prepare_recording(
        video, labels, classes=labels.classes, preprocessing=PREPROCESSING, cache=cache
    )
    at = round(FIRST_PART * len(recording.frames))
    train = np.flatnonzero(recording.clips.max(axis=1) < at)
    test = np.flatnonzero(recording.clips.min(axis=1) >= at)
    learned = np.unique(recording.labels[train])
    known = np.isin(recording.labels, learned[learned >= 0])
    if not known[train].any() or not known[test].any():
        raise InputError(f"{table}: the first part and the rest have no label in common")
    missing = np.setdiff1d(np.unique(recording.labels[test]), learned)
    return Cut(
        classes=labels.classes,
        recording=recording,
        train=train,
        test=test,
        unlearned=tuple(labels.classes[code] for code in missing if code >= 0),
        labels=np.where(known, recording.labels, -1),
    )


def answer_recording(
    one: Continuous, cut: Cut, names: Sequence[str], out: Path, *, seed: int, size: Size
) -> Iterator[dict[str, Any]]:
    """Every named memory, or baseline, learns the first part and is tested on the rest.

    Args:
        one: the recording.
        cut: its parts.
        names: keys of `MEMORIES`, and of `BASELINES`, which need no seed.
        out: folder; the backbone is kept there.
        seed: of weights and stretches.
        size: how much is done.
    """
    learned, truth = cut.labels[cut.train], cut.labels[cut.test]
    numbers = bouts(truth)
    bout_names = [f"bout {number}" for number in range(numbers.max() + 1)]
    test = train = None
    for name in names:
        if name == "majority":
            title, said = (
                "always the commonest",
                np.full(len(truth), np.bincount(learned[learned >= 0]).argmax()),
            )
        elif name == "linear":
            title = "linear model of single frames"
            grey = small_grey(cut.recording.frames[cut.recording.clips[:, -1]])
            said = fit_linear(grey[cut.train], learned, len(cut.classes))(grey[cut.test])
        else:
            if test is None or train is None:
                eyes = _eyes(one, cut, out, seed=seed, size=size)
                train, test = (_seen(eyes, cut, part) for part in (cut.train, cut.test))
            title = MEMORIES[name].contender.title
            model = _learn(one, name, cut, eyes, train, seed=seed, size=size)
            said = answers_after(model, test, test)[0]
        yield {
            "question": one.name,
            "title": one.title,
            "memory": name,
            "memory_title": title,
            "seed": seed,
            "kind": "continuous",
            "origin": one.origin,
            "units": tally(bout_names, numbers, truth, said == truth),
            "classes": list(cut.classes),
            "not_learned": list(cut.unlearned),
            "training_clips": len(cut.train),
            "test_clips": int((truth >= 0).sum()),
        }


def _eyes(one: Continuous, cut: Cut, out: Path, *, seed: int, size: Size) -> StreamClassifier:
    return learn_to_see(
        out / f"eyes-{one.name}-{seed}.safetensors",
        lambda chosen: cut.frames(cut.train[chosen]),
        cut.labels[cut.train],
        classes=cut.classes,
        size=PREPROCESSING.height,
        seed=seed,
        updates=size.times(60),
        fps=PREPROCESSING.fps,
        background=PREPROCESSING.background,
    )


def _seen(eyes: StreamClassifier, cut: Cut, clips: np.ndarray) -> SeenStreams:
    """A part of the recording as one stream."""
    batches = (cut.frames(clips[first : first + BATCH]) for first in range(0, len(clips), BATCH))
    tokens, pooled = see_frames(eyes, batches)
    labels = torch.from_numpy(cut.labels[clips])
    return SeenStreams((), tokens[None], pooled[None], labels[None], PREPROCESSING.stride_seconds)


def _learn(
    one: Continuous,
    name: str,
    cut: Cut,
    eyes: StreamClassifier,
    train: SeenStreams,
    *,
    seed: int,
    size: Size,
) -> StreamClassifier:
    random = np.random.default_rng([seed, 35])
    labels = train.labels[0].numpy()
    ends = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]

    def stretches(lesson: Lesson) -> SeenStreams:
        """Stretches that end in every class equally often."""
        length = min(lesson.clips, len(labels))
        last = [random.choice(ends[random.integers(len(ends))]) for _ in range(ROWS)]
        starts = np.maximum(0, np.array(last) - length + 1)
        where = torch.from_numpy(starts[:, None] + np.arange(length))
        return SeenStreams(
            (),
            train.tokens[0][where],
            train.pooled[0][where],
            train.labels[0][where],
            train.step_seconds,
        )

    return learn_from(
        stretches,
        train,
        MEMORIES[name].contender,
        eyes,
        name=one.name,
        classes=cut.classes,
        seed=seed,
        curriculum=tuple(
            Lesson(lesson.clips, lesson.gap, size.times(lesson.updates)) for lesson in CURRICULUM
        ),
    )
