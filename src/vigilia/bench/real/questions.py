"""The questions about joined streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vigilia.bench.cells import Lesson
from vigilia.bench.real.footage import Footage, Part, read_clips, read_mouse
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.streams import AGO_CLIPS, Joined, draw_ago, draw_last
from vigilia.bench.streams import CLIP_SECONDS

__all__ = ["QUESTIONS", "Question", "Size"]


NEAR = (Lesson(8, 3.0, 60), Lesson(16, 5.0, 30), Lesson(32, 10.0, 20), Lesson(64, 24.0, 10))
EDGES = (0, 1, 5, 15, 30, 60, 150)
"""Ages in clips at which the bins of `last` begin: 0, 2, 10, 30, 60, 120 and 300 s."""


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

    def ages(self) -> list[tuple[float, float, str]]:
        """First age of each bin in clips, first age beyond it, and its name."""
        if self.ago:
            return [(ago, ago + 1, f"{ago * CLIP_SECONDS:g} s") for ago in self.ago]
        bins: list[tuple[float, float, str]] = []
        for low, high in zip(EDGES, (*EDGES[1:], np.inf), strict=True):
            start, end = low * CLIP_SECONDS, (high - 1) * CLIP_SECONDS
            text = f"{start:g} s+" if np.isinf(high) else f"{start:g}-{end:g} s"
            bins.append((low, high, f"{start:g} s" if start == end else text))
        return bins


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
