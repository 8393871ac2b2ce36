"""Recordings side by side: each row of a batch plays a stretch of one recording, in order.

Clips are never shuffled within a stretch, because each is classified with the memory of those
before it. But a row that played one recording for hours would show the optimiser nearly the same
picture, with the same label, update after update. So a row plays on only with a stated probability
(random state passing: Hwang et al., "TransformerFAM", 2024, section 3.4); otherwise it jumps to
another place and starts with an empty memory there, as it does when a recording ends.

Letters: B rows, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vigilia.training.recordings import Recording

__all__ = ["Batch", "Cursor", "first_cursor", "jump", "next_batch", "place_of"]

GOLDEN_RATIO = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Cursor:
    """Where every row stands; small enough to be saved with each checkpoint.

    Attributes:
        plays: (B,) number of the stretch that each row plays; it says where that began.
        clips: (B,) the row's next clip.
        starts: (B,) whether that clip is the first of its stretch.
    """

    plays: tuple[int, ...]
    clips: tuple[int, ...]
    starts: tuple[bool, ...]


class Batch(NamedTuple):
    """One clip of each row.

    frames (B, T, H, W, 3) uint8; labels (B,) int64, -1 unscored; seconds (B,) float64, when each
    clip ended; starts (B,) bool, rows whose memory must be empty; plays (B,) which stretch it is.
    """

    frames: np.ndarray
    labels: np.ndarray
    seconds: np.ndarray
    starts: np.ndarray
    plays: tuple[int, ...]


def place_of(recordings: list[Recording], play: int, seed: int) -> tuple[int, int]:
    """Where a stretch begins: recording and clip.

    Places follow the golden ratio along all clips laid end to end, so that any number of them
    covers the recordings evenly, each in proportion to its length.
    """
    ends = np.cumsum([len(recording) for recording in recordings])
    offset = np.random.default_rng([seed, 1]).random()
    along = int((offset + play * GOLDEN_RATIO) % 1.0 * ends[-1])
    index = int(np.searchsorted(ends, along, side="right"))
    return index, along - int(ends[index]) + len(recordings[index])


def first_cursor(recordings: list[Recording], *, rows: int, seed: int) -> Cursor:
    """Every row at the beginning of a stretch."""
    plays = tuple(range(rows))
    clips = tuple(place_of(recordings, play, seed)[1] for play in plays)
    return Cursor(plays, clips, starts=(True,) * rows)


def jump(recordings: list[Recording], cursor: Cursor, rows: np.ndarray, *, seed: int) -> Cursor:
    """Sends the chosen rows, (B,) bool, to new places."""
    plays, clips, starts = list(cursor.plays), list(cursor.clips), list(cursor.starts)
    for row in np.flatnonzero(rows):
        plays[row] = max(plays) + 1
        clips[row] = place_of(recordings, plays[row], seed)[1]
        starts[row] = True
    return Cursor(tuple(plays), tuple(clips), tuple(starts))


def next_batch(recordings: list[Recording], cursor: Cursor, *, seed: int) -> tuple[Batch, Cursor]:
    """The clips under the cursor, and the cursor behind them."""
    frames, labels, seconds = [], [], []
    ended = np.zeros(len(cursor.plays), dtype=bool)
    for row, (play, clip) in enumerate(zip(cursor.plays, cursor.clips, strict=True)):
        recording = recordings[place_of(recordings, play, seed)[0]]
        frames.append(recording.frames[recording.clips[clip]])
        labels.append(recording.labels[clip])
        seconds.append(recording.end_seconds[clip])
        ended[row] = clip + 1 == len(recording)
    batch = Batch(
        np.stack(frames),
        np.array(labels),
        np.array(seconds),
        np.array(cursor.starts),
        cursor.plays,
    )
    moved = Cursor(
        cursor.plays, tuple(clip + 1 for clip in cursor.clips), (False,) * len(cursor.plays)
    )
    return batch, jump(recordings, moved, ended, seed=seed)
