"""What a clip's picture is like, apart from what happens in it: eight plain numbers.

A model that was trained to look at movement alone hardly sees that the camera is another one: its
embeddings say little about light, colour and focus. So these are judged beside them, with
`vigilia.evaluation.familiarity`: fit it to the appearance of the training recordings, too.

Needs numpy only. Letters: S clips, T frames, H W pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import InputError

__all__ = ["APPEARANCE", "appearance"]

APPEARANCE = ("red", "green", "blue", "contrast", "colour", "sharpness", "noise", "ratio")
"""Mean level of each channel; deviation of the grey levels; mean distance of the channels from
grey; mean step between neighbouring pixels; median step between frames; sharpness over contrast.
Logarithms of 1 + grey levels, the last a plain ratio."""


def appearance(clips: NDArray[np.uint8]) -> NDArray[np.float64]:
    """clips: (S, T, H, W, 3) uint8 -> (S, 8).

    Raises:
        InputError: another shape.
    """
    if clips.ndim != 5 or clips.shape[-1] != 3:
        raise InputError(f"clips must be (S, T, H, W, 3), got {tuple(clips.shape)}")
    found = np.stack([_of_clip(clip.astype(np.float32)) for clip in clips])
    return found.astype(np.float64)


def _of_clip(x: NDArray[np.float32]) -> NDArray[np.float32]:
    grey = x.mean(axis=3)  # (T, H, W)
    still = grey.mean(axis=0)  # noise and movement are mostly gone
    contrast = float(still.std())
    steps = [np.abs(np.diff(still, axis=axis)).mean() for axis in (0, 1)]
    sharpness = float(np.mean(steps))
    noise = float(np.median(np.abs(np.diff(grey, axis=0)))) if len(grey) > 1 else 0.0
    colour = float(np.abs(x.mean(axis=0) - still[..., None]).mean())
    levels = [*x.mean(axis=(0, 1, 2)), contrast, colour, sharpness, noise]
    return np.array([*np.log1p(levels), sharpness / (contrast + 1)], np.float32)
