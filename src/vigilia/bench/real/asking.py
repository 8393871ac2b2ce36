"""One cell: a memory that has learned a question from a seed, and its answers.

Letters: N streams, S clips, Q questions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.bench.cells import Lesson, learn_from
from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import SIZE
from vigilia.bench.lessons import CARRIED
from vigilia.bench.real.answering import answers_after, history_of
from vigilia.bench.real.eyes import learn_to_see
from vigilia.bench.real.footage import Footage, Part
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.questions import Question, Size
from vigilia.bench.real.scores import memoryless_accuracy, tally
from vigilia.bench.real.shelf import Shelf, fill_shelf, join, places, windows
from vigilia.bench.real.streams import Joined
from vigilia.bench.seen import SeenStreams
from vigilia.bench.streams import CLIP_SECONDS
from vigilia.stream import StreamClassifier

__all__ = ["EYES", "answer_question"]

ROWS = 16
TEST_GAP = 110.0
"""Mean clips between actions in the test of `last`: ages beyond ten minutes occur."""

EYES = "eyes"
"""A row of the table: a perfect memory of what the backbone names in a single clip."""

EYES_TITLE = "perfect memory of what these eyes name in a clip"


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
        names: keys of `MEMORIES`, and `EYES`, which does not learn.
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

    def row(
        name: str, title: str, said: np.ndarray, model: StreamClassifier | None
    ) -> dict[str, Any]:
        return {
            "question": question.name,
            "title": question.title,
            "memory": name,
            "memory_title": title,
            "seed": seed,
            "kind": "joined",
            "asked": _asked(question, footage, streams, said),
            "other_recordings": [part.name for part in footage.test if part.other_recording],
            "left_out": list(footage.left_out),
            "classes": len(footage.classes),
            "eyes": _sight(footage, exam),
            "test_clips": size.streams * size.clips,
            "updates": sum(lesson.updates for lesson in curriculum),
            "longest_training_clips": max(lesson.clips for lesson in curriculum),
            "memory_parameters": sum(p.numel() for p in model.memory.parameters()) if model else 0,
            "state_bytes": model.init_state(1).nbytes if model else 0,
        }

    learned: dict[Contender, StreamClassifier] = {}
    for name in names:
        if name == EYES:
            yield row(name, EYES_TITLE, _remembered(exam, streams), None)
            continue
        memory = MEMORIES[name]
        if memory.pupil not in learned:
            learned[memory.pupil] = _learn(
                question, footage.train, shelf, memory.contender, eyes, seed, curriculum
            )
        model = learned[memory.pupil]
        said = answers_after(model, seen, history_of(seen, memory.history, seed))
        yield row(name, memory.contender.title, said, model)


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
        carried=CARRIED,
    )


def _asked(
    question: Question,
    footage: Footage,
    streams: Sequence[Joined],
    said: np.ndarray,
) -> list[dict[str, Any]]:
    """For every age that is asked about: right answers by recording. said: (N, S, Q)."""
    names = [part.name for part in footage.test]
    labels, asked, ages, shown = (
        np.stack(column)
        for column in zip(
            *((one.labels, one.asked, one.ages, one.parts) for one in streams), strict=True
        )
    )
    entries = []
    for low, high, text in question.ages():
        held = (ages >= low) & (ages < high)
        if not held.any():
            continue
        entries.append(
            {
                "low_seconds": low * CLIP_SECONDS,
                "label": text,
                "units": tally(names, asked[held], labels[held], (said == labels)[held]),
                "memoryless_ceiling": memoryless_accuracy(
                    np.broadcast_to(shown[..., None], held.shape)[held], asked[held], labels[held]
                ),
            }
        )
    return entries


def _remembered(exam: Shelf, streams: Sequence[Joined]) -> np.ndarray:
    """What the backbone names in the very clips that are asked about: (N, S, Q)."""
    rows = []
    for stream in streams:
        at = np.arange(len(stream))[:, None] - np.maximum(stream.ages, 0)  # (S, Q)
        rows.append(exam.named[places(exam, stream)[at]])
    return np.stack(rows)


def _sight(footage: Footage, exam: Shelf) -> dict[str, float]:
    """Share of single test clips that the backbone names right, a mean over recordings."""
    right: dict[bool, list[float]] = {True: [], False: []}
    for part, first, count in zip(footage.test, exam.first, exam.count, strict=True):
        if part.label >= 0:
            named = exam.named[first : first + count]
            right[part.other_recording].append(float((named == part.label).mean()))
    kinds = {"same_recordings": right[False], "other_recordings": right[True]}
    return {kind: float(np.mean(values)) for kind, values in kinds.items() if values}
