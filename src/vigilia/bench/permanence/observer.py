"""How well anyone can know where a hidden digit is by now: an ideal observer of its path.

Who saw a digit to the pixel for ten bins does not know its velocity exactly, and the error grows
with every bin that it is hidden. The observer knows the rule by which digits move, is told in which
pixel the digit's corner was in each visible bin, and considers every path that fits. What it says
is the middle of where they lead, on either axis by itself: no memory can be expected to be better.

Letters: T visible bins, G gaps, B scenes, O objects, P paths, A axes of all objects and scenes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vigilia.bench.permanence.exam import Exam, Said, told
from vigilia.bench.permanence.scenes import PICTURE, RANGE, Setting, bounce

__all__ = ["observed"]

STARTS, VELOCITIES = 161, 301
"""Of the paths that are considered, in every combination."""


def observed(exam: Exam) -> Said:
    """The truth of classes, and of places what the visible bins tell."""
    visible = exam.scenes.visible.nonzero()[:, 0]
    corners = (exam.scenes.places + 1) * (PICTURE / 2) - (PICTURE - RANGE) / 2  # (T', B, O, 2)
    pixels = corners[visible].round().flatten(1)  # (T, A)
    fastest = Setting().fastest
    start, velocity = torch.meshgrid(
        torch.linspace(0, RANGE, STARTS),
        torch.linspace(-fastest, fastest, VELOCITIES),
        indexing="ij",
    )
    start, velocity = start.flatten(), velocity.flatten()  # (P,)
    seen = [bounce(start + velocity * time, RANGE).round() for time in visible.tolist()]
    wrong = torch.zeros(pixels.shape[1], len(start), dtype=torch.int8)  # (A, P)
    for path, pixel in zip(seen, pixels, strict=True):
        wrong += path != pixel[:, None]
    fits = wrong == wrong.amin(1, keepdim=True)
    probes = torch.tensor(exam.probes)[:, None]  # (G, 1)
    middles = torch.stack(
        [bounce(start[paths] + velocity[paths] * probes, RANGE).median(1).values for paths in fits],
        1,
    )  # (G, A)
    return replace(told(exam), places=_places(middles, exam))


def _places(corners: Tensor, exam: Exam) -> Tensor:
    """corners: (G, A) pixels -> places (G, B, O, 2) from -1 to 1."""
    middle = corners + (PICTURE - RANGE) / 2
    return (middle / (PICTURE / 2) - 1).view(len(corners), *exam.scenes.places.shape[1:])
