"""Recordings side by side: each row of a batch plays one recording after another, in order.

Clips are never shuffled within a recording, because each is classified with the memory of those
before it. What is random is which recording comes when, and where the first ones begin.

Letters: B rows, T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vigilia.training.recordings import Recording

__all__ = ["Batch", "Cursor", "dealt", "first_cursor", "next_batch"]


@dataclass(frozen=True)
class Cursor:
    """Where every row stands; small enough to be saved with each checkpoint.

    Attributes:
        plays: (B,) number of the deal that each row plays; it says which recording that is.
        clips: (B,) its next clip.
    """

    plays: tuple[int, ...]
    clips: tuple[int, ...]


class Batch(NamedTuple):
    """One clip of each row.

    frames (B, T, H, W, 3) uint8; labels (B,) int64, -1 unscored; seconds (B,) float64, when each
    clip ended; starts (B,) bool, rows that begin a recording here; plays (B,) which deal it is.
    """

    frames: np.ndarray
    labels: np.ndarray
    seconds: np.ndarray
    starts: np.ndarray
    plays: tuple[int, ...]


def first_cursor(recordings: list[Recording], *, rows: int, seed: int) -> Cursor:
    """Deals the first recordings; each row enters its own somewhere in the middle."""
    places = np.random.default_rng([seed, 1]).random(rows)
    clips = tuple(
        int(place * len(recordings[dealt(play, len(recordings), seed)]))
        for play, place in enumerate(places)
    )
    return Cursor(plays=tuple(range(rows)), clips=clips)


def next_batch(
    recordings: list[Recording], cursor: Cursor, *, seed: int, first: bool
) -> tuple[Batch, Cursor]:
    """The clips under the cursor, and the cursor behind them.

    Args:
        recordings: all of them.
        cursor: where the rows stand.
        seed: as in `first_cursor`.
        first: whether this is the very first batch, in which every row starts.
    """
    frames, labels, seconds, starts = [], [], [], []
    plays, clips = list(cursor.plays), list(cursor.clips)
    for row, (play, clip) in enumerate(zip(cursor.plays, cursor.clips, strict=True)):
        recording = recordings[dealt(play, len(recordings), seed)]
        frames.append(recording.frames[recording.clips[clip]])
        labels.append(recording.labels[clip])
        seconds.append(recording.end_seconds[clip])
        starts.append(first or clip == 0)
        clips[row] += 1
        if clips[row] == len(recording):
            # The next recording nobody has been dealt yet.
            plays[row], clips[row] = max(plays) + 1, 0
    batch = Batch(
        np.stack(frames), np.array(labels), np.array(seconds), np.array(starts), cursor.plays
    )
    return batch, Cursor(tuple(plays), tuple(clips))


def dealt(play: int, count: int, seed: int) -> int:
    """The recording of an endless deal in which every round holds each recording once."""
    order = np.random.default_rng([seed, 2, play // count]).permutation(count)
    return int(order[play % count])
