"""Which clips an update looks at: a function of the seed and of the update's number.

Letters: B rows, S steps of a clip, T frames of a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vigilia.errors import InputError
from vigilia.pretraining.options import PretrainOptions
from vigilia.training.recordings import Recording

__all__ = ["Pool", "Shown", "draw_clips", "draw_pairs", "frames_of", "make_pool"]


@dataclass(frozen=True)
class Pool:
    """Where clips may begin.

    Attributes:
        recordings: that are long enough.
        starts: of each, (N,) numbers of the first step.
        ends: of each, (N,) float64, when the clip ends.
        steps: S.
    """

    recordings: tuple[Recording, ...]
    starts: tuple[np.ndarray, ...]
    ends: tuple[np.ndarray, ...]
    steps: int

    def __len__(self) -> int:
        return sum(map(len, self.starts))


@dataclass(frozen=True)
class Shown:
    """What an update shows; every field has an entry for each clip.

    Attributes:
        recordings: which recording.
        places: which of its starts.
        seconds: float64, when the clip ends.
    """

    recordings: np.ndarray
    places: np.ndarray
    seconds: np.ndarray


def make_pool(
    recordings: Sequence[Recording], *, steps: int, stride_seconds: float, options: PretrainOptions
) -> Pool:
    """Finds where clips of S steps begin; none runs over a hole.

    Args:
        recordings: all of them.
        steps: S.
        stride_seconds: from one step to the next.
        options: of the method.

    Raises:
        InputError: no recording is long enough, or there is nothing to tell clips from.
    """
    kept, starts, ends = [], [], []
    for one in recordings:
        hole = np.diff(one.end_seconds) > 2 * stride_seconds
        holes_before = np.concatenate([[0], np.cumsum(hole)])
        first = np.arange(len(one) - steps + 1)
        if len(first):
            first = first[holes_before[first + steps - 1] == holes_before[first]]
        if not len(first):
            continue
        kept.append(one)
        starts.append(first)
        ends.append(one.end_seconds[first + steps - 1])
    if not kept:
        raise InputError(
            f"no recording has {steps} clips in a row without a hole; lower --steps, or take "
            "longer recordings"
        )
    pool = Pool(tuple(kept), tuple(starts), tuple(ends), steps)
    if options.method == "contrastive":
        long = max(float(np.ptp(one)) for one in ends)
        if len(kept) < 2 and not 0 < options.far_seconds <= long:
            raise InputError(
                f"{kept[0].name}: contrastive needs two recordings or more, to tell clips from; "
                "name more videos, or --far-seconds within the recording"
            )
    return pool


def draw_clips(pool: Pool, update: int, options: PretrainOptions) -> Shown:
    """B clips for a masked autoencoder; in so many updates as make an epoch, each clip once."""
    total, rows = len(pool), options.rows
    numbers = np.arange(update * rows, (update + 1) * rows)
    lengths = np.cumsum([len(one) for one in pool.starts])
    orders = {
        turn: np.random.default_rng([options.seed, 31, turn]).permutation(total)
        for turn in set((numbers // total).tolist())
    }
    places = np.array([orders[int(number // total)][number % total] for number in numbers])
    which = np.searchsorted(lengths, places, side="right")
    before = np.concatenate([[0], lengths[:-1]])
    return _shown(pool, which, places - before[which])


def draw_pairs(pool: Pool, update: int, options: PretrainOptions) -> Shown:
    """B pairs, the first of all and then the second; recordings as different as there are."""
    random = np.random.default_rng([options.seed, 32, update])
    count = len(pool.recordings)
    rounds = -(-options.rows // count)
    which = np.concatenate([random.permutation(count) for _ in range(rounds)])[: options.rows]
    first = np.array([random.integers(len(pool.starts[one])) for one in which])
    second = []
    for one, place in zip(which, first, strict=True):
        ends = pool.ends[one]
        near = np.flatnonzero(np.abs(ends - ends[place]) <= options.near_seconds)
        second.append(random.choice(near))
    return _shown(pool, np.tile(which, 2), np.concatenate([first, second]))


def _shown(pool: Pool, which: np.ndarray, places: np.ndarray) -> Shown:
    pairs = list(zip(which, places, strict=True))
    return Shown(which, places, np.array([pool.ends[one][place] for one, place in pairs]))


def frames_of(pool: Pool, shown: Shown) -> np.ndarray:
    """The pixels, (B, S * T, H, W, 3) uint8."""
    clips = []
    for one, place in zip(shown.recordings, shown.places, strict=True):
        recording, first = pool.recordings[one], pool.starts[one][place]
        clips.append(recording.frames[recording.clips[first : first + pool.steps].reshape(-1)])
    return np.stack(clips)
