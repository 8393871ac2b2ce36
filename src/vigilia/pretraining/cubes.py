"""Clips as cubes of pixels, and tubes of them that are hidden: the same squares in every frame.

If a square were hidden in some frames only, its neighbours in time would show what was there, and
there would be nothing to learn (Tong, Song, Wang, Wang, "VideoMAE: Masked Autoencoders are
Data-Efficient Learners for Self-Supervised Video Pre-Training", 2022, section 3.2).

Letters: B clips, C channels, T frames, H W pixels; T' times, N squares of the picture, row by row,
P pixels of a cube (of all channels), Q cubes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vigilia.errors import OptionError

__all__ = ["Cubes", "cut_cubes", "divide", "draw_tubes", "hide_tubes", "place_of_cubes"]

GRID = 8
"""Unless asked for, the picture is divided into about so many squares each way."""
SMALLEST = 4
"""Pixels of a square's side: below, a neighbour tells what is hidden."""


@dataclass(frozen=True)
class Cubes:
    """How clips are divided.

    Attributes:
        frames: of a cube.
        side: of a cube, in pixels.
        times: T', cubes behind one another.
        rows: squares of a picture, from top to bottom.
        columns: from left to right.
    """

    frames: int
    side: int
    times: int
    rows: int
    columns: int

    @property
    def squares(self) -> int:
        """N."""
        return self.rows * self.columns

    @property
    def pixels(self) -> int:
        """P."""
        return 3 * self.frames * self.side**2


def divide(frames: int, height: int, width: int, *, cube_frames: int, side: int = 0) -> Cubes:
    """Divides clips of T frames of H x W pixels.

    Args:
        frames: T; where `cube_frames` does not divide it, cubes are as long as both allow.
        height: H.
        width: W.
        cube_frames: frames of a cube.
        side: pixels; 0 for about an eighth of the picture.

    Raises:
        OptionError: squares of that side do not fill the picture, or there is only one.
    """
    common = math.gcd(height, width)
    sides = [size for size in range(1, common + 1) if common % size == 0]
    if not side:
        fitting = [size for size in sides if size >= SMALLEST]
        side = min(fitting or sides, key=lambda size: abs(size - min(height, width) / GRID))
    if side not in sides:
        near = ", ".join(str(size) for size in sides if size >= SMALLEST)
        raise OptionError(
            f"the side of a hidden square must divide {height} x {width} pixels, got {side}; "
            f"{near or 'none'} do"
        )
    if side == min(height, width) == max(height, width):
        raise OptionError(
            f"a picture of {height} x {width} pixels does not divide into squares of "
            f"{SMALLEST} pixels or more; take another size"
        )
    depth = math.gcd(frames, cube_frames)
    return Cubes(depth, side, frames // depth, height // side, width // side)


def cut_cubes(clip: Tensor, cubes: Cubes) -> Tensor:
    """clip: (B, C, T, H, W) -> (B, T', N, P)."""
    batch, channels = clip.shape[:2]
    apart = clip.reshape(
        batch,
        channels,
        cubes.times,
        cubes.frames,
        cubes.rows,
        cubes.side,
        cubes.columns,
        cubes.side,
    )
    apart = apart.permute(0, 2, 4, 6, 3, 5, 7, 1)  # (B, T', rows, columns, t, h, w, C)
    return apart.reshape(batch, cubes.times, cubes.squares, -1)


def draw_tubes(cubes: Cubes, share: float, clips: int) -> Tensor:
    """(B, N) bool, the hidden squares of each clip: equally many, at least one and never all.

    Drawn from torch's default generator of the CPU.
    """
    count = min(max(1, round(share * cubes.squares)), cubes.squares - 1)
    order = torch.rand(clips, cubes.squares).argsort(dim=1)
    return torch.zeros(clips, cubes.squares, dtype=torch.bool).scatter_(1, order[:, :count], True)


def hide_tubes(clip: Tensor, hidden: Tensor, colour: Tensor, cubes: Cubes) -> Tensor:
    """Paints the hidden squares of every frame.

    clip: (B, C, T, H, W), hidden: (B, N) bool, colour: (C,) -> as the clip.
    """
    squares = hidden.view(-1, 1, 1, cubes.rows, cubes.columns)
    mask = squares.repeat_interleave(cubes.side, 3).repeat_interleave(cubes.side, 4)
    return torch.where(mask.to(clip.device), colour.to(clip.dtype).view(1, -1, 1, 1, 1), clip)


def place_of_cubes(cubes: Cubes) -> Tensor:
    """(T', N, 3): time, height and width of every cube's centre, each from 0 to 1."""
    axes = [(torch.arange(n) + 0.5) / n for n in (cubes.times, cubes.rows, cubes.columns)]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(1, 2)
