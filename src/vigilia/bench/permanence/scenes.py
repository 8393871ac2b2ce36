"""Scenes: digits move, a textured curtain slides in front of them, and they go on moving behind it.

A scene is rendered as brightness and seen as an event camera sees it: a pixel sends ON or OFF where
brightness changed from one bin to the next. Noise events are everywhere and always: without them
what a float32 membrane has nearly forgotten could still be read, which proves nothing. The curtain
has a texture of its own that drifts for as long as it hides, so the camera is never still.

Letters: T bins, B scenes, O objects, H W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from vigilia.bench.permanence.changes import change_scans
from vigilia.bench.permanence.digits import SIDE, digits
from vigilia.errors import OptionError

__all__ = ["PICTURE", "Scenes", "Setting", "bounce", "draw_scenes"]

PICTURE = 16
"""H and W in pixels."""

RANGE = PICTURE - SIDE
"""How far a digit's corner can move, in pixels."""


@dataclass(frozen=True)
class Setting:
    """How scenes are.

    Attributes:
        objects: O: one that moves anywhere, or two that pass each other in lanes of their own.
        visible: bins before the curtain comes.
        slide: bins that the curtain takes to cover the picture, divides 16.
        noise: share of pixels that send a noise event in each bin, for each polarity.
        contrast: change of brightness that fires a pixel; white is 1.
        slowest: pixels a bin.
        fastest: likewise.
        texture: share of the curtain's pixels that are bright.
        drift: whether the texture moves while the curtain hides; else only noise is left.
    """

    objects: int = 1
    visible: int = 10
    slide: int = 4
    noise: float = 0.01
    contrast: float = 0.15
    slowest: float = 0.5
    fastest: float = 1.5
    texture: float = 0.3
    drift: bool = True

    def __post_init__(self) -> None:
        if self.objects not in (1, 2):
            raise OptionError(f"objects must be 1 or 2, got {self.objects}")
        if self.visible < 2 or self.slide < 1 or PICTURE % self.slide:
            raise OptionError(
                f"visible must be at least 2 and slide divide {PICTURE}, "
                f"got {self.visible} and {self.slide}"
            )

    @property
    def covered(self) -> int:
        """The first bin in which everything is hidden."""
        return self.visible + self.slide


@dataclass(frozen=True)
class Scenes:
    """B scenes.

    Attributes:
        bins: (T, B, 2, H, W) ON and OFF events, 0 or 1.
        classes: (B, O) int64.
        places: (T, B, O, 2) x and y of each digit's middle, from -1 (left, top) to 1.
        visible: (T,) bool; false from the bin in which the curtain comes.
        covered: (T,) bool; true where everything is hidden.
    """

    bins: Tensor
    classes: Tensor
    places: Tensor
    visible: Tensor
    covered: Tensor

    def __len__(self) -> int:
        return self.bins.shape[1]


def draw_scenes(
    rows: int,
    hidden: int,
    generator: torch.Generator,
    *,
    split: str = "train",
    setting: Setting | None = None,
    chosen: Tensor | None = None,
    changed: bool = False,
) -> Scenes:
    """Draws scenes of the same length.

    Args:
        rows: B.
        hidden: bins in which everything is hidden, behind `setting.covered` others.
        generator: of everything that chance decides.
        split: key of `vigilia.bench.permanence.digits.SPLITS`.
        setting: by default one object.
        chosen: (B, O) which scans of the split; by default any, of different classes in a scene.
        changed: change every scan a little, see `change_scans`; never for an exam.
    """
    setting = setting or Setting()
    scans, classes = digits(split)
    if chosen is None:
        chosen = _choose(classes, rows, setting.objects, generator)
    shown = scans[chosen]  # (B, O, 8, 8)
    if changed:
        shown = change_scans(shown.flatten(0, 1), generator).unflatten(0, chosen.shape)
    steps = setting.covered + hidden
    corners = _paths(rows, steps + 1, setting, generator)  # (T + 1, B, O, 2)
    bright = _digits_at(shown, corners.round().long())  # (T + 1, B, H, W)
    bright = _behind_curtain(bright, setting, generator)
    change = bright[1:] - bright[:-1]
    events = torch.stack([change > setting.contrast, change < -setting.contrast], dim=2)
    noise = torch.rand(events.shape, generator=generator) < setting.noise
    time = torch.arange(steps)
    return Scenes(
        bins=(events | noise).float(),
        classes=classes[chosen],
        places=(corners[1:].flip(-1) + SIDE / 2) / (PICTURE / 2) - 1,
        visible=time < setting.visible,
        covered=time >= setting.covered,
    )


def bounce(position: Tensor, width: float) -> Tensor:
    """Folds straight paths into 0..width, as walls would that they bounce off."""
    return width - ((position % (2 * width)) - width).abs()


def _choose(classes: Tensor, rows: int, objects: int, generator: torch.Generator) -> Tensor:
    chosen = torch.randint(len(classes), (rows, objects), generator=generator)
    if objects == 2:
        while bool((same := classes[chosen[:, 0]] == classes[chosen[:, 1]]).any()):
            chosen[same, 1] = torch.randint(len(classes), (int(same.sum()),), generator=generator)
    return chosen


def _paths(rows: int, steps: int, setting: Setting, generator: torch.Generator) -> Tensor:
    """Corners of the digits, row and column: (T, B, O, 2) pixels."""
    time = torch.arange(steps)[:, None, None]
    share = torch.rand(rows, setting.objects, generator=generator)
    speeds = setting.slowest + (setting.fastest - setting.slowest) * share  # (B, O)
    if setting.objects == 1:
        start = RANGE * torch.rand(rows, 2, generator=generator)
        angle = 2 * torch.pi * torch.rand(rows, generator=generator)
        velocity = speeds * torch.stack([angle.sin(), angle.cos()], -1)
        return bounce(start + velocity * time, RANGE)[:, :, None]
    # Two lanes; the first object starts on the left, the second on the right, at speeds of their
    # own, so that they pass each other again and again.
    start = torch.rand(rows, 2, generator=generator) * 2 + torch.tensor([0.0, RANGE - 2.0])
    across = bounce(start + speeds * torch.tensor([1.0, -1.0]) * time, RANGE)  # (T, B, O)
    upper = torch.randint(2, (rows, 1), generator=generator) * RANGE
    lanes = torch.cat([upper, RANGE - upper], -1).expand_as(across)
    return torch.stack([lanes.to(across.dtype), across], -1)


def _digits_at(scans: Tensor, corners: Tensor) -> Tensor:
    """scans: (B, O, 8, 8), corners: (T, B, O, 2) -> brightness (T, B, H, W)."""
    padded = F.pad(scans, (0, 1, 0, 1))  # a dark row and column for every pixel outside
    pixels = torch.arange(PICTURE)
    inside = [pixels - corners[..., axis, None] for axis in (0, 1)]  # (T, B, O, H)
    row, column = (torch.where((x < 0) | (x >= SIDE), SIDE, x) for x in inside)
    rows, objects = scans.shape[:2]
    b = torch.arange(rows)[:, None, None, None]
    o = torch.arange(objects)[None, :, None, None]
    return padded[b, o, row[..., :, None], column[..., None, :]].amax(2)


def _behind_curtain(bright: Tensor, setting: Setting, generator: torch.Generator) -> Tensor:
    """Slides a curtain in from a side of its own for each scene. bright: (T + 1, B, H, W)."""
    steps, rows = bright.shape[:2]
    # The texture is a torus that drifts with the curtain, so it has no end.
    texture = (torch.rand(rows, 29, 31, generator=generator) < setting.texture).float()
    texture *= 0.3 + 0.5 * torch.rand(rows, 29, 31, generator=generator)
    side = torch.randint(4, (rows,), generator=generator)
    moved = (torch.arange(steps) - setting.visible).clamp_min(0)  # bins since it came
    reach = (moved * (PICTURE // setting.slide)).clamp_max(PICTURE)  # (T + 1,) pixels
    shift = moved if setting.drift else moved.clamp_max(setting.slide)
    pixels = torch.arange(PICTURE)
    front = (pixels < reach[:, None]).float()  # (T + 1, H)
    out = []
    for b in range(rows):  # a curtain from the left, turned towards its side
        rolled = texture[b][(pixels[:, None] % 29), ((pixels - shift[:, None, None]) % 31)]
        mask, pattern = front[:, None, :].expand(-1, PICTURE, -1), rolled
        turns = int(side[b])
        mask, pattern = (x.rot90(turns, (1, 2)) for x in (mask, pattern))
        out.append(torch.where(mask > 0, pattern, bright[:, b]))
    return torch.stack(out, 1)
