"""The frames of clips, loaded from disk, late or lost as from a real camera if so wished.

Letters: B rows, T frames, H W pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording

__all__ = ["load_frames", "shown_frames"]


def load_frames(
    recordings: Sequence[Recording],
    which: np.ndarray,
    clips: np.ndarray,
    plays: np.ndarray,
    options: TrainOptions | None = None,
) -> np.ndarray:
    """One clip of each row -> (B, T, H, W, 3) uint8.

    Args:
        recordings: all of them.
        which: (B,) which recording.
        clips: (B,) which clip of it.
        plays: (B,) which stretch it belongs to.
        options: jitter and loss of frames; None for neither.
    """
    frames = []
    for index, clip, play in zip(which, clips, plays, strict=True):
        recording = recordings[index]
        numbers = recording.clips[clip]
        if options is not None:
            numbers = shown_frames(numbers, int(play), options)
        frames.append(recording.frames[numbers])
    return np.stack(frames)


def shown_frames(numbers: np.ndarray, play: int, options: TrainOptions) -> np.ndarray:
    """Which frames a clip shows in place of (T,) `numbers`: never later ones, never out of order.

    What happens to a frame depends on the stretch and on the frame alone, so that clips that
    overlap agree about it; only at a clip's older edge does what it shows end with the clip.
    """
    if options.frame_drop:
        lost = _noise(options.seed, play, numbers, kind=1) < options.frame_drop
        lost[0] = False
        kept = np.maximum.accumulate(np.where(lost, 0, np.arange(len(numbers))))
        numbers = numbers[kept]
    if options.temporal_jitter:
        delay = _noise(options.seed, play, numbers, kind=2) * (options.temporal_jitter + 1)
        late = np.maximum(numbers - delay.astype(np.int64), numbers[0])
        numbers = np.maximum.accumulate(late)
    return numbers


def _noise(seed: int, play: int, numbers: np.ndarray, *, kind: int) -> np.ndarray:
    """0..1 for each number, always the same for the same one (Steele et al., SplitMix64, 2014)."""
    start = np.random.default_rng([seed, 10, kind, play]).integers(2**64, dtype=np.uint64)
    with np.errstate(over="ignore"):
        x = start + numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53
