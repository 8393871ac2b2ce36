"""The relevance gate: where nothing moves, the step is skipped and the last result kept.

Every frame is reduced to the mean grey levels of a grid of cells. A frame is *still* while no cell
has left the *anchor*, the frame with which the present stillness began, by more than `threshold`
times the camera's noise; so a slow change counts as soon as it has added up. A clip is skipped if
all its frames are still, a step has already been taken on a clip of the same stillness, and the
last step lies no longer ago than `refresh_seconds`. A skipped clip's result is the last step's.

The noise is that of a cell's mean between two frames of this camera, estimated as the recording
goes: 1.4826 times the median over the cells of the absolute change (the median absolute deviation,
which anything that moves in less than half of the picture leaves alone), of which the lower
quartile over time is followed (a picture that moves everywhere for a while does not raise it).
It is kept between a floor and a ceiling: a video without noise has steps of whole grey levels, and
a camera that never holds still has no sensor noise to measure.

All of it is one value of a fixed size, passed in and returned.

Letters: G cells a side, H W pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import OptionError

__all__ = ["GateOptions", "GateState", "cell_means", "decide", "init_gate", "keep_noise", "watch"]

Cells = NDArray[np.float32]

# Up by 2 %, down by 6 %: in balance where a quarter of the values lie below.
_NOISE_UP = 1.02
_NOISE_DOWN = 1.02**-3


@dataclass(frozen=True)
class GateOptions:
    """When a clip is worth a step.

    Attributes:
        threshold: how far a cell may go from the anchor, in units of the camera's noise.
        cells: G, cells a side; fewer where a cell would be smaller than two pixels.
        settle_steps: steps taken on still clips before any is skipped; more lets a recurrent
            memory come to rest.
        refresh_seconds: a step is taken at least this often.
        floor_levels: least noise that is believed, in grey levels of a cell.
        ceiling_levels: greatest.

    Raises:
        OptionError: a value that cannot work.
    """

    threshold: float = 12.0
    cells: int = 28
    settle_steps: int = 1
    refresh_seconds: float = 60.0
    floor_levels: float = 0.2
    ceiling_levels: float = 1.5

    def __post_init__(self) -> None:
        for name in ("threshold", "refresh_seconds", "floor_levels", "ceiling_levels"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise OptionError(f"{name} of the gate must be a positive number, got {value}")
        if self.cells < 1 or self.settle_steps < 1:
            raise OptionError(
                "cells and settle_steps of the gate must be at least 1, "
                f"got {self.cells} and {self.settle_steps}"
            )
        if self.floor_levels > self.ceiling_levels:
            raise OptionError(
                f"floor_levels={self.floor_levels} lies above ceiling_levels={self.ceiling_levels}"
            )


@dataclass(frozen=True, eq=False)
class GateState:
    """What the gate knows of one camera.

    Attributes:
        anchor: (G, G) the frame with which the present stillness began; None before the first.
        previous: (G, G) the frame before.
        noise_levels: of a cell between two frames; 0 while it is unknown.
        still_frames: frames since the anchor, itself included.
        settled_steps: steps taken on clips that were still as a whole, since the anchor.
        stepped_seconds: end of the last clip that was stepped.
    """

    anchor: Cells | None = None
    previous: Cells | None = None
    noise_levels: float = 0.0
    still_frames: int = 0
    settled_steps: int = 0
    stepped_seconds: float = -math.inf

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Arrays that `from_arrays` turns into this same state, to the last bit."""
        known = [one for one in (self.anchor, self.previous) if one is not None]
        numbers = (self.noise_levels, self.still_frames, self.settled_steps, self.stepped_seconds)
        return {
            "cells": np.stack(known) if known else np.zeros((0, 0, 0), np.float32),
            "numbers": np.array(numbers, np.float64),
        }

    @staticmethod
    def from_arrays(arrays: dict[str, np.ndarray]) -> GateState:
        """Reads `to_arrays`.

        Raises:
            KeyError, ValueError: the arrays are no saved state.
        """
        noise, still, settled, stepped = arrays["numbers"].tolist()
        anchor, previous = arrays["cells"] if len(arrays["cells"]) else (None, None)
        return GateState(
            anchor=anchor,
            previous=previous,
            noise_levels=noise,
            still_frames=int(still),
            settled_steps=int(settled),
            stepped_seconds=stepped,
        )


def init_gate() -> GateState:
    """A camera of which nothing is known."""
    return GateState()


def keep_noise(state: GateState) -> GateState:
    """After a hole: everything but the noise is forgotten, so the next clip is stepped."""
    return GateState(noise_levels=state.noise_levels)


def watch(
    state: GateState, pixels: NDArray[np.uint8], *, clip_frames: int, options: GateOptions
) -> GateState:
    """Takes the next frame.

    Args:
        state: as returned by the call before.
        pixels: (H, W, 3) uint8.
        clip_frames: T of a clip: the first frame stands for all that came before it, as in the
            first clip, which repeats it.
        options: of the gate.
    """
    cells = cell_means(pixels, options.cells)
    anchor, previous = state.anchor, state.previous
    if anchor is None or previous is None:
        return replace(state, anchor=cells, previous=cells, still_frames=clip_frames)
    noise = _follow_noise(state.noise_levels, cells - previous, options)
    state = replace(state, previous=cells, noise_levels=noise)
    if float(np.abs(cells - anchor).max()) > options.threshold * noise:
        return replace(state, anchor=cells, still_frames=1, settled_steps=0)
    return replace(state, still_frames=state.still_frames + 1)


def decide(
    state: GateState, *, clip_frames: int, end_seconds: float, options: GateOptions
) -> tuple[GateState, bool]:
    """Whether the clip that ends now is to be stepped.

    Args:
        state: after `watch` of the clip's last frame.
        clip_frames: T of a clip.
        end_seconds: when the clip ends.
        options: of the gate.

    Returns:
        The next state, and true for a step, false where the last result may be kept. What is to be
        stepped is taken as stepped.
    """
    still = state.still_frames >= clip_frames
    recent = end_seconds - state.stepped_seconds <= options.refresh_seconds
    if still and recent and state.settled_steps >= options.settle_steps:
        return state, False
    settled = state.settled_steps + 1 if still else 0
    return replace(state, settled_steps=settled, stepped_seconds=end_seconds), True


def cell_means(pixels: NDArray[np.uint8], cells: int) -> Cells:
    """Mean grey levels of a grid of cells. pixels: (H, W, 3) uint8 -> (G, G) float32.

    Fewer cells where one would be smaller than two pixels.
    """
    height, width = pixels.shape[:2]
    return means_of(pixels, *(max(1, min(cells, side // 2)) for side in (height, width)))


def means_of(pixels: NDArray[np.uint8], rows: int, columns: int) -> Cells:
    """A picture made smaller, grey: means of equal parts; larger: pixels are repeated.

    pixels: (H, W, 3) uint8 -> (rows, columns) float32.
    """
    height, width = pixels.shape[:2]
    if rows > height or columns > width:
        again = (
            np.arange(max(a, b)) * a // max(a, b) for a, b in ((height, rows), (width, columns))
        )
        pixels = pixels[np.ix_(*again)]
        height, width = pixels.shape[:2]
    down, across = _edges(height, rows), _edges(width, columns)
    # Whole numbers, so that the sums are exact whatever the order.
    sums = np.add.reduceat(pixels.reshape(height, width * 3), 3 * across[:-1], 1, np.uint32)
    sums = np.add.reduceat(sums, down[:-1], 0)  # (rows, columns)
    counts = 3 * np.outer(np.diff(down), np.diff(across))
    return (sums / counts).astype(np.float32)


def _edges(pixels: int, count: int) -> NDArray[np.int64]:
    return np.arange(count + 1) * pixels // count


def _follow_noise(known: float, change: Cells, options: GateOptions) -> float:
    seen = 1.4826 * float(np.median(np.abs(change)))
    seen = min(max(seen, options.floor_levels), options.ceiling_levels)
    if known == 0:
        return seen
    moved = known * (_NOISE_UP if seen > known else _NOISE_DOWN)
    # Not past what was seen, so that a steady noise is met exactly.
    return min(moved, seen) if seen > known else max(moved, seen)
