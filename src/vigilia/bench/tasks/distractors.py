"""T6, distractors: as T1, but every second clip shows something that is not to be remembered.

Distractors have the shapes of the cues in other colours, among them the colours of the other cues:
neither shape nor colour alone tells a cue.
"""

from __future__ import annotations

import numpy as np

from vigilia.bench.sprites import COLOURS, sprite
from vigilia.bench.streams import Stream, Task, cue_times, plain_levels
from vigilia.bench.tasks.last_event import CUES, LAST_EVENT, last_event, rotated

__all__ = ["DISTRACTORS", "DISTRACTOR_SPRITES"]

DISTRACTOR_SPRITES = tuple(
    number
    for shape in ("cross", "disc", "square", "triangle")
    for colour in COLOURS
    if (number := sprite(shape, colour)) not in CUES
)
DISTRACTOR_SHARE = 0.5


def _draw(clips: int, random: np.random.Generator, gap: float) -> Stream:
    shown = random.random(clips) < DISTRACTOR_SHARE
    symbols = np.where(shown, random.choice(DISTRACTOR_SPRITES, clips), 0).astype(np.int16)
    times = cue_times(clips, random, gap)
    symbols[times] = random.choice(CUES, len(times))
    return Stream(symbols, *last_event(symbols), plain_levels(clips))


DISTRACTORS = Task(
    name="T6",
    title="distractors",
    classes=LAST_EVENT.classes,
    symbols=len(CUES) + len(DISTRACTOR_SPRITES),
    gap=220.0,
    drawing=_draw,
    solution=lambda stream, _gap: last_event(stream.symbols)[0],
    twins=rotated,
)
