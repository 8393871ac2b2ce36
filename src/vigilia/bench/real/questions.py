"""The questions about joined streams, and one cell: a memory that learned one from a seed.

Letters: N streams, S clips, Q questions, R parts of recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.bench.ceilings import memoryless_accuracy
from vigilia.bench.cells import Lesson, learn_from
from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import SIZE
from vigilia.bench.real.answering import answers_after, history_of
from vigilia.bench.real.eyes import learn_to_see
from vigilia.bench.real.footage import Footage, Part, read_clips, read_mouse
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.scores import tally
from vigilia.bench.real.shelf import Shelf, fill_shelf, join, places, windows
from vigilia.bench.real.streams import AGO_CLIPS, Joined, draw_ago, draw_last
from vigilia.bench.seen import SeenStreams
from vigilia.bench.streams import CLIP_SECONDS
from vigilia.stream import StreamClassifier

__all__ = ["QUESTIONS", "Question", "Size", "answer_question"]

ROWS = 16
NEAR = (Lesson(8, 3.0, 60), Lesson(16, 5.0, 30), Lesson(32, 10.0, 20), Lesson(64, 24.0, 10))
EDGES = (0, 1, 5, 15, 30, 60, 150)
"""Ages in clips at which the bins of `last` begin: 0, 2, 10, 30, 60, 120 and 300 s."""

TEST_GAP = 110.0
"""Mean clips between actions in the test of `last`: ages beyond ten minutes occur."""


@dataclass(frozen=True)
class Question:
    """What is asked about which recordings.

    Attributes:
        name: key of tables and files.
        title: the question, in a few words.
        footage: reads the recordings.
        ago: distances in clips that are asked about at once; empty for the last action.
        curriculum: how memories learn.
        memories: who takes part by default.
        eyes_updates: how long the shared backbone learns.
        background: how much of what does not move the backbone is shown.
    """

    name: str
    title: str
    footage: Callable[[Path], Footage]
    ago: tuple[int, ...]
    curriculum: tuple[Lesson, ...]
    memories: tuple[str, ...]
    eyes_updates: int = 150
    background: float = 1.0

    def draw(
        self, parts: Sequence[Part], clips: int, random: np.random.Generator, gap: float
    ) -> Joined:
        """A stream from some parts."""
        if self.ago:
            return draw_ago(parts, clips, random, self.ago)
        return draw_last(parts, clips, random, gap)


QUESTIONS: dict[str, Question] = {
    one.name: one
    for one in (
        Question(
            "last",
            "which action was on last?",
            read_clips,
            ago=(),
            curriculum=NEAR,
            memories=tuple(MEMORIES),
        ),
        Question(
            "ago",
            "what was on so many seconds ago?",
            read_clips,
            ago=AGO_CLIPS,
            # Bouts are as long as they are; longer stretches bring the farther questions in.
            curriculum=(Lesson(20, 4.5, 100), Lesson(40, 4.5, 25), Lesson(72, 4.5, 10)),
            memories=tuple(MEMORIES),
        ),
        Question(
            "mouse",
            "which mouse behaviour was on last? (other recordings)",
            read_mouse,
            ago=(),
            curriculum=NEAR,
            memories=("none", "gru", "fam", "foreign"),
            background=0.0,
        ),
    )
}


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        streams: of the test.
        clips: of each.
        lessons: factor on the updates of every lesson, and of the eyes.
    """

    streams: int = 8
    clips: int = 600
    lessons: float = 1.0

    def times(self, updates: int) -> int:
        """So many updates in place of these."""
        return max(1, round(self.lessons * updates))


def answer_question(
    question: Question,
    footage: Footage,
    names: Sequence[str],
    out: Path,
    *,
    seed: int,
    size: Size,
) -> Iterator[dict[str, Any]]:
    """Every named memory learns a question and is tested; one result each.

    Args:
        question: to be learned.
        footage: what its `footage` reads.
        names: keys of `MEMORIES`.
        out: folder; the backbone is kept there.
        seed: of weights and streams; every memory gets the same streams.
        size: how much is done.
    """
    eyes = _eyes(question, footage, out, seed=seed, size=size)
    shelf, exam = fill_shelf(eyes, footage.train), fill_shelf(eyes, footage.test)
    random = np.random.default_rng([seed, 34, size.clips])
    streams = [
        question.draw(footage.test, size.clips, random, TEST_GAP) for _ in range(size.streams)
    ]
    seen = join(exam, streams)
    curriculum = tuple(
        Lesson(one.clips, one.gap, size.times(one.updates)) for one in question.curriculum
    )
    learned: dict[Contender, StreamClassifier] = {}
    for name in names:
        memory = MEMORIES[name]
        if memory.pupil not in learned:
            learned[memory.pupil] = _learn(
                question, footage.train, shelf, memory.contender, eyes, seed, curriculum
            )
        model = learned[memory.pupil]
        said = answers_after(model, seen, history_of(seen, memory.history, seed))
        yield {
            "question": question.name,
            "title": question.title,
            "memory": name,
            "memory_title": memory.contender.title,
            "seed": seed,
            "kind": "joined",
            "asked": _asked(question, footage, exam, streams, said),
            "other_recordings": [part.name for part in footage.test if part.other_recording],
            "left_out": list(footage.left_out),
            "classes": len(footage.classes),
            "eyes": _sight(footage, exam),
            "test_clips": size.streams * size.clips,
            "updates": sum(lesson.updates for lesson in curriculum),
            "longest_training_clips": max(lesson.clips for lesson in curriculum),
            "memory_parameters": sum(p.numel() for p in model.memory.parameters()),
            "state_bytes": model.init_state(1).nbytes,
        }


def _eyes(
    question: Question, footage: Footage, out: Path, *, seed: int, size: Size
) -> StreamClassifier:
    every = [windows(part.frames) for part in footage.train]
    clips = np.concatenate(every)
    other = len(footage.classes)
    labels = np.concatenate(
        [
            np.full(len(one), other if part.label < 0 else part.label)
            for one, part in zip(every, footage.train, strict=True)
        ]
    )
    return learn_to_see(
        out / f"eyes-{question.footage.__name__}-{seed}.safetensors",
        lambda chosen: clips[chosen],
        labels,
        classes=(*footage.classes, "other"),
        size=SIZE,
        seed=seed,
        updates=size.times(question.eyes_updates),
        background=question.background,
    )


def _learn(
    question: Question,
    parts: Sequence[Part],
    shelf: Shelf,
    contender: Contender,
    eyes: StreamClassifier,
    seed: int,
    curriculum: tuple[Lesson, ...],
) -> StreamClassifier:
    random = np.random.default_rng([seed, 32])

    def streams(lesson: Lesson) -> SeenStreams:
        drawn = [question.draw(parts, lesson.clips, random, lesson.gap) for _ in range(ROWS)]
        return join(shelf, drawn)

    names = eyes.classes[:-1]  # without "other"
    if question.ago:
        names = tuple(
            f"{name} {ago * CLIP_SECONDS:g} s ago" for ago in question.ago for name in names
        )
    return learn_from(
        streams,
        shelf.examples(),
        contender,
        eyes,
        name=question.name,
        classes=names,
        seed=seed,
        curriculum=curriculum,
    )


def _asked(
    question: Question,
    footage: Footage,
    exam: Shelf,
    streams: Sequence[Joined],
    said: np.ndarray,
) -> list[dict[str, Any]]:
    """For every age that is asked about: right answers by recording, and what could be right."""
    names = [part.name for part in footage.test]
    labels, asked, ages, shown = (
        np.stack(column)
        for column in zip(
            *((one.labels, one.asked, one.ages, one.parts) for one in streams), strict=True
        )
    )
    at = np.arange(labels.shape[1])[None, :, None] - np.maximum(ages, 0)
    clips = np.stack([places(exam, stream) for stream in streams])
    named = exam.said[np.take_along_axis(clips[..., None], at, axis=1)]  # (N, S, Q)
    entries = []
    for low, high, text in _ages(question):
        held = (ages >= low) & (ages < high)
        if not held.any():
            continue
        kept = np.where(held, labels, -1)
        ceiling = memoryless_accuracy(
            [
                (parts.astype(np.int16), np.zeros(len(parts), np.float32), truth)
                for question_number in range(labels.shape[2])
                for parts, truth in zip(shown, kept[..., question_number], strict=True)
                if (truth >= 0).any()
            ]
        )
        entries.append(
            {
                "low_seconds": low * CLIP_SECONDS,
                "label": text,
                "units": tally(names, asked[held], labels[held], (said == labels)[held]),
                "eyes_units": tally(names, asked[held], labels[held], (named == labels)[held]),
                "memoryless_ceiling": ceiling,
            }
        )
    return entries


def _ages(question: Question) -> list[tuple[float, float, str]]:
    """First age, first age beyond, and the name of the bin."""
    if question.ago:
        return [(ago, ago + 1, f"{ago * CLIP_SECONDS:g} s") for ago in question.ago]
    bins: list[tuple[float, float, str]] = []
    for low, high in zip(EDGES, (*EDGES[1:], np.inf), strict=True):
        start, end = low * CLIP_SECONDS, (high - 1) * CLIP_SECONDS
        text = f"{start:g} s+" if np.isinf(high) else f"{start:g}-{end:g} s"
        bins.append((low, high, f"{start:g} s" if start == end else text))
    return bins


def _sight(footage: Footage, exam: Shelf) -> dict[str, float]:
    """Share of single test clips that the backbone names right, a mean over recordings."""
    right: dict[bool, list[float]] = {True: [], False: []}
    for part, first, count in zip(footage.test, exam.first, exam.count, strict=True):
        if part.label >= 0:
            said = exam.said[first : first + count]
            right[part.other_recording].append(float((said == part.label).mean()))
    kinds = {"same_recordings": right[False], "other_recordings": right[True]}
    return {kind: float(np.mean(values)) for kind, values in kinds.items() if values}
