"""Dynamic frame sampling: the frames of a clip lie where the picture changes, as many as always.

A clip that takes every second frame spends as many frames on a sleeping animal as on a twitch. Here
more frames are looked at than the model takes, and the budget is spread so that about the same
change lies between neighbours: the cumulative change is cut into equal parts, as sampling by
cumulative motion does (Zhi et al., "MGSampler: an explainable sampling strategy for video action
recognition", ICCV 2021). Only frames of the window itself are looked at, none of which is later
than the clip's end, so the choice is causal; the newest frame is always taken.

    window = dense_window(window, factor=4)             # four times as many frames to choose from
    window, clip = push_sample(window, sample)          # as always
    clip = thin_clip(clip, frames=32)                   # the model's own number again

Needs numpy only. Letters: S frames to choose from, T frames chosen, G cells a side, H W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import OptionError
from vigilia.relevance.gate import cell_means
from vigilia.video.clips import Clip, ClipWindow

__all__ = ["dense_window", "frame_changes", "spread_by_change", "thin_clip"]

NOISE_FACTOR = 3.0
"""A cell's change counts beyond so many times the median absolute deviation of all."""


def frame_changes(frames: NDArray[np.uint8], *, cells: int = 14) -> NDArray[np.float64]:
    """How much of each frame is new: what its cells changed beyond the camera's noise.

    frames: (S, H, W, 3) uint8 -> (S,) in grey levels, averaged over cells; 0 for the first.

    Args:
        frames: in order of time.
        cells: G.
    """
    means = np.stack([cell_means(frame, cells) for frame in frames]).astype(np.float64)
    steps = np.abs(np.diff(means, axis=0))  # (S - 1, G, G)
    if not steps.size:
        return np.zeros(len(frames))
    noise = 1.4826 * float(np.median(steps))
    beyond = np.maximum(steps - NOISE_FACTOR * noise, 0).mean(axis=(1, 2))
    return np.concatenate([[0.0], beyond])


def spread_by_change(
    changes: NDArray[np.float64], count: int, *, evenness: float = 0.5
) -> NDArray[np.int64]:
    """Which frames to take. changes: (S,) -> (T,) rising, the last is S - 1.

    Of eight frames without any change four are 1, 3, 5, 7; of eight that change in the last four
    they are 4, 5, 6, 7 with an evenness of 0.

    Args:
        changes: how much is new in each frame, not negative.
        count: T.
        evenness: share of the budget that is spread evenly over time, whatever moves.

    Raises:
        OptionError: there are fewer frames than are to be taken, or a value that cannot work.
    """
    length = len(changes)
    if not 1 <= count <= length:
        raise OptionError(f"count must lie in 1..{length}, the frames there are, got {count}")
    if not 0 <= evenness <= 1:
        raise OptionError(f"evenness must lie in 0..1, got {evenness}")
    if not np.all(np.isfinite(changes)) or np.any(changes < 0):
        raise OptionError("changes must be finite and not negative")
    total = float(changes.sum())
    shares = changes / total if total > 0 else np.full(length, 1 / length)
    mass = np.cumsum(evenness / length + (1 - evenness) * shares)
    wanted = np.arange(1, count + 1) / count
    # The sums are rounded; a target that is met is met by the frame that meets it.
    chosen = np.searchsorted(mass, wanted - 1e-9)
    number = np.arange(count)
    # No frame twice: later ones give way first, then those that were pushed beyond the end.
    chosen = np.maximum.accumulate(chosen - number) + number
    chosen = np.minimum(chosen, length - count + number)
    chosen[-1] = length - 1
    return chosen.astype(np.int64)


def thin_clip(clip: Clip, frames: int, *, evenness: float = 0.5, cells: int = 14) -> Clip:
    """A clip of T frames out of one of S; the time that it labels stays the same.

    Args:
        clip: of S frames, see `dense_window`.
        frames: T.
        evenness: see `spread_by_change`.
        cells: see `frame_changes`.

    Raises:
        OptionError: the clip has fewer frames.
    """
    chosen = spread_by_change(frame_changes(clip.frames, cells=cells), frames, evenness=evenness)
    return replace(clip, frames=clip.frames[chosen])


def dense_window(window: ClipWindow, factor: int) -> ClipWindow:
    """A window over the same time that looks at `factor` times as many frames.

    Its samples must come at `factor` times the rate.

    Raises:
        OptionError: the factor is less than 1, or frames have been pushed already.
    """
    if factor < 1:
        raise OptionError(f"factor must be at least 1, got {factor}")
    if window.frames:
        raise OptionError("dense_window needs a window without frames; make it before pushing")
    return replace(
        window,
        clip_frames=factor * window.clip_frames,
        stride_frames=factor * window.stride_frames,
        interval_seconds=window.interval_seconds / factor,
    )
