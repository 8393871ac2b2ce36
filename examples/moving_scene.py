"""A synthetic scene with known masks and identities, for the examples of `vigilia.beyond`.

Coloured figures walk over a textured ground under noise and a flickering light; they pass in front
of each other and behind a post.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COLOURS = (
    (220, 60, 50),
    (60, 90, 220),
    (230, 200, 60),
    (70, 190, 90),
    (200, 80, 200),
    (90, 200, 210),
)
TROUSERS = ((40, 40, 60), (90, 70, 50), (50, 80, 50), (120, 40, 40), (60, 60, 130), (30, 30, 30))


@dataclass(frozen=True)
class Scene:
    """What is shown.

    Attributes:
        pictures: (T, H, W, 3) uint8.
        masks: (T, H, W) uint8, 0 the background, from 1 the figures.
        boxes: (T, N, 4) float32 of the whole figures, hidden parts included.
        seen: (T, N) share of each figure that is not hidden.
    """

    pictures: np.ndarray
    masks: np.ndarray
    boxes: np.ndarray
    seen: np.ndarray


def render_scene(*, frames: int = 120, figures: int = 4, seed: int = 0) -> Scene:
    """Renders the scene, 96 by 160 pixels.

    Args:
        frames: T.
        figures: N, up to 6.
        seed: of everything drawn by chance.
    """
    random = np.random.default_rng(seed)
    height, width = 96, 160
    ground = 110 + 12 * random.standard_normal((height // 4, width // 4)).repeat(4, 0).repeat(4, 1)
    post = slice(76, 84)
    start = random.uniform(10, width - 26, figures)
    speed = random.uniform(0.6, 1.3, figures) * random.choice([-1, 1], figures)
    feet = np.linspace(60, height - 6, figures)
    span = width - 14.0
    pictures = np.empty((frames, height, width, 3), np.uint8)
    masks = np.zeros((frames, height, width), np.uint8)
    boxes = np.empty((frames, figures, 4), np.float32)
    seen = np.empty((frames, figures))
    rows, columns = np.mgrid[:height, :width]
    for time in range(frames):
        picture = ground[..., None].repeat(3, 2)
        for number in range(figures):  # from the back to the front
            way = (start[number] + speed[number] * time) % (2 * span)
            left = way if way < span else 2 * span - way
            bottom = feet[number] + 1.5 * np.sin(time / 3 + number)
            top = bottom - 34
            boxes[time, number] = (left, top, left + 14, bottom)
            across = (columns - left - 7) / 7
            along = (rows - top) / 34
            body = (np.abs(across) < 0.55 + 0.4 * (along > 0.25)) & (along >= 0) & (along < 1)
            picture[body & (along < 0.55)] = COLOURS[number]
            picture[body & (along >= 0.55)] = TROUSERS[number]
            masks[time][body] = number + 1
            seen[time, number] = body.sum()
        picture[:, post] = 150
        masks[time][:, post] = 0
        whole = seen[time].copy()
        for number in range(figures):
            seen[time, number] = (masks[time] == number + 1).sum() / max(1.0, whole[number])
        light = 1 + 0.05 * random.standard_normal()
        noisy = light * picture + 6 * random.standard_normal(picture.shape)
        pictures[time] = np.clip(noisy, 0, 255)
    return Scene(pictures, masks, boxes, seen)
