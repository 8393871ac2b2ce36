"""2. Clips: sampled frames become overlapping windows, and every second gets exactly one clip.

A clip is the last `clip_frames` samples; a new one is due after every `stride_frames` samples, and
it labels the time since the clip before it. Clips do not overlap in what they label, only in what
they see.

- The first clip is due after the first stride, not after a whole clip: the frames that do not
  exist yet are the first frame, repeated.
- At the end, and before a hole, the samples that are left over make one last clip of the last
  `clip_frames` samples, however few are new.
- After a hole the window starts afresh: no clip contains frames from both sides of it.

The partly filled window is a value, so a killed run can go on in the middle of a clip.

Letters: T frames, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vigilia.errors import OptionError
from vigilia.video.frames import Sample

__all__ = ["Clip", "ClipWindow", "flush", "push_sample"]


@dataclass(frozen=True)
class Clip:
    """A window of frames and the time it labels.

    Attributes:
        frames: (T, H, W, 3) uint8.
        start_seconds: where the labelled time begins: the end of the clip before.
        end_seconds: where it ends, half-open: one sampling interval after the last frame.
    """

    frames: np.ndarray
    start_seconds: float
    end_seconds: float

    def __repr__(self) -> str:
        shape = tuple(self.frames.shape)
        return f"Clip({shape} uint8, {self.start_seconds:.3f}..{self.end_seconds:.3f} s)"


@dataclass(frozen=True)
class ClipWindow:
    """The partly filled window of one stream.

    Attributes:
        clip_frames: T of a clip.
        stride_frames: new samples from one clip to the next.
        interval_seconds: time from one sample to the next.
        frames: the last samples, at most `clip_frames`, oldest first.
        fresh: how many of them no clip has labelled yet.
        start_seconds: time of the first of those.
        last_seconds: time of the newest sample.
    """

    clip_frames: int
    stride_frames: int
    interval_seconds: float
    frames: tuple[np.ndarray, ...] = ()
    fresh: int = 0
    start_seconds: float = 0.0
    last_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.stride_frames <= self.clip_frames:
            raise OptionError(
                f"stride_frames must lie in 1..clip_frames={self.clip_frames}, "
                f"got {self.stride_frames}"
            )


def push_sample(window: ClipWindow, sample: Sample) -> tuple[ClipWindow, Clip | None]:
    """Adds a sample; returns the clip that is due, if one is."""
    window = replace(
        window,
        frames=(*window.frames, sample.pixels)[-window.clip_frames :],
        fresh=window.fresh + 1,
        start_seconds=window.start_seconds if window.fresh else sample.seconds,
        last_seconds=sample.seconds,
    )
    if window.fresh < window.stride_frames:
        return window, None
    return replace(window, fresh=0), _clip(window)


def flush(window: ClipWindow) -> tuple[ClipWindow, Clip | None]:
    """Ends a stretch of samples: at a hole, or at the recording's end."""
    clip = _clip(window) if window.fresh else None
    return replace(window, frames=(), fresh=0), clip


def _clip(window: ClipWindow) -> Clip:
    missing = window.clip_frames - len(window.frames)
    frames = np.stack([window.frames[0]] * missing + list(window.frames))  # (T, H, W, 3)
    return Clip(frames, window.start_seconds, window.last_seconds + window.interval_seconds)
