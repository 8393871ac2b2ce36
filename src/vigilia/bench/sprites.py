"""The sprites: six shapes in six colours, each also in a white frame, numbered from 1.

Number 1 to 6 differ in shape and in colour; the next six are the same shapes in the next colour,
and so on to 36. Adding 36 puts a frame around a sprite, which marks a question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLOURS", "FRAMED", "SHAPES", "frame_mask", "sprite", "sprite_colour", "sprite_mask"]

Floats = NDArray[np.floating[Any]]

COLOURS = {
    "red": (235, 40, 40),
    "green": (30, 200, 50),
    "blue": (50, 70, 245),
    "yellow": (240, 225, 30),
    "magenta": (230, 50, 225),
    "cyan": (30, 220, 225),
}
FRAMED = 36
"""Added to a sprite's number: the same in a white frame."""


def _cross(x: Floats, y: Floats, radius: float) -> Floats:
    across = np.maximum(np.abs(x) - radius, np.abs(y) - radius / 3)
    along = np.maximum(np.abs(y) - radius, np.abs(x) - radius / 3)
    return np.minimum(across, along)


def _disc(x: Floats, y: Floats, radius: float) -> Floats:
    return np.hypot(x, y) - radius


def _square(x: Floats, y: Floats, radius: float) -> Floats:
    return np.maximum(np.abs(x), np.abs(y)) - 0.95 * radius


def _triangle(x: Floats, y: Floats, radius: float) -> Floats:
    lower = y - radius
    sides = (2 * np.abs(x) - (y + radius)) / np.float32(np.sqrt(5))
    return np.maximum(lower, sides)


def _bars(x: Floats, y: Floats, radius: float) -> Floats:
    return np.maximum(np.abs(np.abs(x) - 0.68 * radius) - 0.3 * radius, np.abs(y) - radius)


def _ring(x: Floats, y: Floats, radius: float) -> Floats:
    return np.abs(np.hypot(x, y) - 0.78 * radius) - 0.24 * radius


SHAPES: dict[str, Callable[[Floats, Floats, float], Floats]] = {
    "cross": _cross,
    "disc": _disc,
    "square": _square,
    "triangle": _triangle,
    "bars": _bars,
    "ring": _ring,
}
"""Name -> distance (in pixels, negative inside) from the edge of a shape of that radius."""


def sprite(shape: str, colour: str, *, framed: bool = False) -> int:
    """The number of a sprite.

    Args:
        shape: a key of `SHAPES`.
        colour: a key of `COLOURS`.
        framed: in a white frame.
    """
    row = list(SHAPES).index(shape)
    column = (list(COLOURS).index(colour) - row) % len(COLOURS)
    return 1 + row + len(SHAPES) * column + (FRAMED if framed else 0)


def _parts(symbol: int) -> tuple[int, int]:
    """Indices of the shape and the colour of a sprite."""
    if not 1 <= symbol <= 2 * FRAMED:
        raise ValueError(f"a sprite's number is 1 to {2 * FRAMED}, got {symbol}")
    column, row = divmod((symbol - 1) % FRAMED, len(SHAPES))
    return row, (row + column) % len(COLOURS)


def sprite_colour(symbol: int) -> tuple[int, int, int]:
    """RGB of a sprite, 0 to 255."""
    return list(COLOURS.values())[_parts(symbol)[1]]


def sprite_mask(symbol: int, x: Floats, y: Floats, radius: float) -> NDArray[np.float32]:
    """How much of each pixel a sprite covers, 0 to 1, shaped as x and y together.

    Args:
        symbol: which sprite.
        x: pixels to the right of its centre.
        y: pixels below its centre.
        radius: half its size in pixels.
    """
    distance = list(SHAPES.values())[_parts(symbol)[0]](x, y, radius)
    return np.clip(0.5 - distance, 0.0, 1.0, dtype=np.float32)


def frame_mask(x: Floats, y: Floats, radius: float) -> NDArray[np.float32]:
    """The same for the white frame around a sprite of that radius."""
    distance = np.abs(np.maximum(np.abs(x), np.abs(y)) - (radius + 2.5)) - 0.75
    return np.clip(0.5 - distance, 0.0, 1.0, dtype=np.float32)
