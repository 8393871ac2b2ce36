"""Multi-view testing of clips: the mean over several times and several crops of one short video.

What papers report on Kinetics is the mean over views, such as 10 times x 3 crops (Wang, Girshick,
Gupta, He, "Non-local neural networks", 2018; Feichtenhofer and others, "SlowFast networks", 2019).
Each view is judged by itself, from an empty state: this is a protocol for clips that show one
thing, and 30 times the work. Recordings in which something changes are for `vigilia.run`.

Letters: T frames, H W pixels, h w of a crop, V views, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vigilia.errors import OptionError, VideoError
from vigilia.stream import StreamClassifier
from vigilia.video import Sample, open_video

__all__ = ["Views", "classify_views", "crop_places", "cut_views", "view_starts"]

LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Views:
    """What a video shows as a whole.

    Attributes:
        classes: K names.
        probabilities: (K,) the mean over models and views.
        by_view: (V, K) the mean over models; times outside, crops inside.
    """

    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]
    by_view: NDArray[np.float64]

    @property
    def label(self) -> str:
        """The class with the greatest mean probability."""
        return self.classes[int(self.probabilities.argmax())]


def view_starts(frames: int, *, clip_frames: int, temporal: int) -> list[int]:
    """First frames of clips spread evenly from the first to the last that fits; one: the middle.

    40 frames and clips of 10 in 4 times begin at 0, 10, 20, 30.
    """
    last = max(0, frames - clip_frames)
    if temporal == 1:
        return [last // 2]
    return [round(index * last / (temporal - 1)) for index in range(temporal)]


def crop_places(
    height: int, width: int, *, crop: tuple[int, int], spatial: int
) -> list[tuple[int, int]]:
    """Top left corners of crops spread along the side that is left over; one: the middle.

    Three crops of 10 x 10 out of 10 x 16 lie at columns 0, 3 and 6.
    """
    down, across = height - crop[0], width - crop[1]
    shares = [0.5] if spatial == 1 else [index / (spatial - 1) for index in range(spatial)]
    if across >= down:
        return [(down // 2, round(share * across)) for share in shares]
    return [(round(share * down), across // 2) for share in shares]


def cut_views(
    frames: NDArray[np.uint8],
    *,
    clip_frames: int,
    crop: tuple[int, int],
    temporal: int,
    spatial: int,
) -> NDArray[np.uint8]:
    """frames: (T, H, W, 3) -> (V, clip_frames, h, w, 3), times outside, crops inside.

    A video that is too short goes on with its last frame.

    Raises:
        OptionError: no view is asked for, or the picture is smaller than a crop.
    """
    if temporal < 1 or spatial < 1:
        raise OptionError(f"views must be at least 1 x 1, got {temporal} x {spatial}")
    count, height, width = frames.shape[:3]
    if height < crop[0] or width < crop[1]:
        raise OptionError(f"crops of {crop[0]} x {crop[1]} do not fit into {height} x {width}")
    views = []
    for start in view_starts(count, clip_frames=clip_frames, temporal=temporal):
        clip = frames[np.minimum(np.arange(start, start + clip_frames), count - 1)]
        for top, left in crop_places(height, width, crop=crop, spatial=spatial):
            views.append(clip[:, top : top + crop[0], left : left + crop[1]])
    return np.stack(views)


@torch.inference_mode()
def classify_views(
    video: str | Path,
    models: Sequence[StreamClassifier],
    *,
    temporal: int = 10,
    spatial: int = 3,
    batch: int = 4,
) -> Views:
    """What a short video shows, over several views of it and by one model or several.

    Args:
        video: at most ten minutes long.
        models: of the same classes, in evaluation mode.
        temporal: times.
        spatial: crops of the picture, whose shorter side fills the model's.
        batch: views at a time.

    Raises:
        OptionError: models of different classes, or numbers that cannot work.
        VideoError: the video cannot be read, or is long.
    """
    if not models or len({model.classes for model in models}) > 1:
        raise OptionError("views need models of the same classes, at least one")
    totals = [
        _views_of_one(video, model, temporal=temporal, spatial=spatial, batch=batch)
        for model in models
    ]
    by_view = np.mean(totals, axis=0)
    return Views(models[0].classes, by_view.mean(axis=0), by_view)


def _views_of_one(
    video: str | Path, model: StreamClassifier, *, temporal: int, spatial: int, batch: int
) -> NDArray[np.float64]:
    pre = model.preprocessing
    crop = (pre.height, pre.width)
    frames = _frames(video, fps=pre.fps, crop=crop)
    views = cut_views(
        frames, clip_frames=pre.clip_frames, crop=crop, temporal=temporal, spatial=spatial
    )
    found = []
    for start in range(0, len(views), batch):
        clip = pre.to_clip(
            torch.from_numpy(views[start : start + batch]).to(model.head.weight.device)
        )
        logits, _ = model.step(clip, model.init_state(len(clip)))
        found.append(logits.double().softmax(dim=1).cpu().numpy())
    return np.concatenate(found)


def _frames(video: str | Path, *, fps: float, crop: tuple[int, int]) -> NDArray[np.uint8]:
    """All samples (T, H, W, 3), so large that a crop just fits in."""
    with open_video(video) as reader:
        scale = max(crop[0] / reader.height, crop[1] / reader.width)
        height = max(crop[0], math.ceil(reader.height * scale - 1e-6))
        width = max(crop[1], math.ceil(reader.width * scale - 1e-6))
    kept: list[NDArray[np.uint8]] = []
    with open_video(video, width=width, height=height) as reader:
        for item in reader.samples(fps=fps):
            if not isinstance(item, Sample):
                continue
            kept.append(item.pixels)
            if len(kept) > LONGEST_SECONDS * fps:
                raise VideoError(
                    f"{video} is longer than {LONGEST_SECONDS / 60:g} minutes; views are for clips "
                    "that show one thing, `vigilia run` is for recordings"
                )
    if not kept:
        raise VideoError(f"{video} has no frame")
    return np.stack(kept)
