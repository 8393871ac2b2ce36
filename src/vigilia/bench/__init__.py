"""The memory benchmark: rendered videos whose right answer depends on what was shown long ago.

Eight tasks, T1 to T8, each a `Task` that draws a `Stream` (what every clip shows and what should be
answered), tells how far a model without memory can come, and what a full memory answers.
`render_clips` turns a stream into pixels. A clip is 8 frames at 4 frames a second, without overlap.
"""

from __future__ import annotations

from vigilia.bench.render import render_clips
from vigilia.bench.streams import (
    CLIP_FPS,
    CLIP_FRAMES,
    CLIP_SECONDS,
    AgeBin,
    Stream,
    Task,
    age_bins,
)
from vigilia.bench.tasks import TASKS

__all__ = [
    "CLIP_FPS",
    "CLIP_FRAMES",
    "CLIP_SECONDS",
    "TASKS",
    "AgeBin",
    "Stream",
    "Task",
    "age_bins",
    "render_clips",
]
