"""Long streams joined by chance from short recordings, and what is asked about them.

Two questions. `last`: between actions, which are on for two clips, unrelated material runs; at
every clip, which action was on last? `ago`: recordings follow one another, 3 to 6 clips each; at
every clip, what was on 10, 30, 60 and 120 seconds ago? Both look further back than a clip's 2 s.

Letters: S clips of a stream, Q questions, R parts of recordings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vigilia.bench.real.footage import Part
from vigilia.bench.streams import CLIP_FRAMES, CLIP_SECONDS, cue_times, last_time

__all__ = ["AGO_CLIPS", "Joined", "draw_ago", "draw_last"]

SHOWN_CLIPS = 2
"""How long an action is on in `last`."""

BOUT_CLIPS = (3, 6)
"""How long a recording is on in `ago`, both included."""

AGO_CLIPS = tuple(round(seconds / CLIP_SECONDS) for seconds in (10, 30, 60, 120))


@dataclass(frozen=True)
class Joined:
    """One stream.

    Attributes:
        parts: (S,) int64, which part of a recording is on.
        frames: (S,) int64, with which of its frames the clip begins; counted on and on, so to be
            taken modulo the number of clips.
        labels: (S, Q) int64, the right answers; -1 not scored.
        asked: (S, Q) int64, the part that is asked about; -1 not scored.
        ages: (S, Q) int64, clips since it was on; -1 not scored.
    """

    parts: np.ndarray
    frames: np.ndarray
    labels: np.ndarray
    asked: np.ndarray
    ages: np.ndarray

    def __len__(self) -> int:
        return len(self.parts)


def draw_last(parts: Sequence[Part], clips: int, random: np.random.Generator, gap: float) -> Joined:
    """A stream for "which action was on last?"; gaps between actions are log-uniform.

    Args:
        parts: of recordings; those with label -1 run between the actions, one a stream.
        clips: S.
        random: the source of chance.
        gap: mean clips from the beginning of one action to that of the next.
    """
    labels = np.array([part.label for part in parts])
    between = int(random.choice(np.flatnonzero(labels < 0)))
    shown = np.full(clips, between)
    frames = _run(random, clips)
    for time in cue_times(clips, random, gap):
        there = slice(time, time + SHOWN_CLIPS)
        shown[there] = _any_of_class(labels, int(random.integers(labels.max() + 1)), random)
        frames[there] = _run(random, len(shown[there]))
    last = last_time(labels[shown] >= 0)
    known = last >= 0
    asked = np.where(known, shown[last], -1)
    return Joined(
        parts=shown,
        frames=frames,
        labels=np.where(known, labels[asked], -1)[:, None],
        asked=asked[:, None],
        ages=np.where(known, np.arange(clips) - last, -1)[:, None],
    )


def draw_ago(
    parts: Sequence[Part],
    clips: int,
    random: np.random.Generator,
    ago: Sequence[int] = AGO_CLIPS,
) -> Joined:
    """A stream for "what was on so many clips ago?"; no class follows itself.

    Args:
        parts: of recordings; those with label -1 are not shown.
        clips: S.
        random: the source of chance.
        ago: Q distances in clips.
    """
    labels = np.array([part.label for part in parts])
    shown, frames = np.empty(clips, np.int64), np.empty(clips, np.int64)
    time, label = 0, -1
    while time < clips:
        label = int(random.choice([one for one in range(labels.max() + 1) if one != label]))
        there = slice(time, time + int(random.integers(BOUT_CLIPS[0], BOUT_CLIPS[1] + 1)))
        shown[there] = _any_of_class(labels, label, random)
        frames[there] = _run(random, len(shown[there]))
        time = there.stop
    asked = np.full((clips, len(ago)), -1)
    ages = np.full((clips, len(ago)), -1)
    for number, distance in enumerate(ago):
        asked[distance:, number] = shown[: max(0, clips - distance)]
        ages[distance:, number] = distance
    return Joined(shown, frames, np.where(asked < 0, -1, labels[asked]), asked, ages)


def _any_of_class(labels: np.ndarray, label: int, random: np.random.Generator) -> int:
    return int(random.choice(np.flatnonzero(labels == label)))


def _run(random: np.random.Generator, clips: int) -> np.ndarray:
    """First frames of clips that follow one another without overlap, from anywhere on."""
    return int(random.integers(1_000_000)) + CLIP_FRAMES * np.arange(clips)
