"""Every clip of the recordings as the frozen backbone sees it, looked at once.

Letters: C clips on the shelf, R parts of recordings, B streams, S clips of a stream, Q questions,
T H W token grid, D features, E pooled features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vigilia.backbones import Conv3D
from vigilia.backbones.conv3d import ConvStage
from vigilia.bench.real.footage import Part
from vigilia.bench.real.streams import Joined
from vigilia.bench.seen import SeenStreams, see_frames
from vigilia.bench.streams import CLIP_FRAMES
from vigilia.stream import StreamClassifier

__all__ = ["Shelf", "fill_shelf", "join", "windows"]

BATCH = 64


@dataclass(frozen=True)
class Shelf:
    """Clips, those of one part side by side, one for each frame that a clip can begin with.

    Attributes:
        tokens: (C, T, H, W, D) float16, the last stage just before memory is read.
        pooled: (C, E) float32, pooled features of the stages before it.
        named: (C,) int64, which action the backbone's own head takes each clip for.
        first: (R,) where the clips of each part begin.
        count: (R,) how many it has.
    """

    tokens: Tensor
    pooled: Tensor
    named: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def examples(self) -> SeenStreams:
        """All clips, as one long stream that is not asked anything."""
        labels = torch.full((1, len(self.tokens)), -1)
        return SeenStreams((), self.tokens[None], self.pooled[None], labels)


def windows(frames: np.ndarray) -> np.ndarray:
    """All clips of (N, H, W, 3) frames -> (C, T, H, W, 3), a view that costs nothing.

    What is shorter than a clip begins with its first frame repeated, as in `vigilia run`.
    """
    missing = CLIP_FRAMES - len(frames)
    if missing > 0:
        frames = np.concatenate([frames[:1]] * missing + [frames])
    sliding = np.lib.stride_tricks.sliding_window_view(frames, CLIP_FRAMES, axis=0)
    return np.moveaxis(sliding, -1, 1)


def fill_shelf(eyes: StreamClassifier, parts: Sequence[Part]) -> Shelf:
    """Looks at every clip of every part.

    Args:
        eyes: the shared backbone, and a head whose last class is "other".
        parts: R of them.
    """
    every = [windows(part.frames) for part in parts]
    count = np.array([len(one) for one in every])

    def batches() -> Iterator[np.ndarray]:
        for one in every:
            for start in range(0, len(one), BATCH):
                yield one[start : start + BATCH].copy()

    tokens, pooled = see_frames(eyes, batches())
    return Shelf(
        tokens=tokens,
        pooled=pooled,
        named=name_actions(eyes, tokens, pooled),
        first=np.cumsum(count) - count,
        count=count,
    )


@torch.inference_mode()
def name_actions(eyes: StreamClassifier, tokens: Tensor, pooled: Tensor) -> np.ndarray:
    """Which action the head sees in kept clips, "other" not allowed: (C,) int64."""
    stage = cast(ConvStage, cast(Conv3D, eyes.backbone).stages[-1])
    last = torch.cat([stage.finish(some.float()).amax((1, 2, 3)) for some in tokens.split(BATCH)])
    return eyes.head(torch.cat([pooled, last], dim=1))[:, :-1].argmax(1).numpy()


def join(shelf: Shelf, streams: Sequence[Joined]) -> SeenStreams:
    """Streams of one length, taken from the shelf. Labels (B, S, Q)."""
    where = torch.from_numpy(np.stack([places(shelf, stream) for stream in streams]))
    return SeenStreams(
        streams=(),
        tokens=shelf.tokens[where],
        pooled=shelf.pooled[where],
        labels=torch.from_numpy(np.stack([stream.labels for stream in streams])),
    )


def places(shelf: Shelf, stream: Joined) -> np.ndarray:
    """(S,) which clips on the shelf a stream shows: a part that ends begins again."""
    offsets = stream.frames % shelf.count[stream.parts]
    return np.asarray(shelf.first[stream.parts] + offsets)
