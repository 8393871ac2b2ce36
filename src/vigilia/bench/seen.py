"""Streams as the frozen backbone sees them, so that each clip is rendered and looked at once.

All contenders of a seed share the backbone, and memory acts on its last stage alone: what comes
before the reading is the same for all of them and is kept; what comes behind it is computed anew.

Letters: N streams, S clips of a stream, B rows, T H W token grid, D features, E pooled features.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vigilia.backbones import Conv3D
from vigilia.backbones.conv3d import ConvStage
from vigilia.bench.eyes import SIZE
from vigilia.bench.render import render_clips
from vigilia.bench.streams import CLIP_SECONDS, Stream
from vigilia.memory import Memory
from vigilia.stream import StreamClassifier, StreamState

__all__ = ["SeenStreams", "see_frames", "see_streams", "step_seen"]

BATCH = 64


@dataclass(frozen=True)
class SeenStreams:
    """N streams of equal length.

    Attributes:
        streams: what they show and what is to be answered; empty where they were not rendered.
        tokens: (N, S, T, H, W, D) float16, the last stage just before memory is read.
        pooled: (N, S, E) float32, pooled features of the stages before it.
        labels: (N, S) int64, -1 not scored; (N, S, Q) where Q questions are asked at once.
        step_seconds: from the end of one clip to that of the next.
    """

    streams: tuple[Stream, ...]
    tokens: Tensor
    pooled: Tensor
    labels: Tensor
    step_seconds: float = CLIP_SECONDS

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Tensor) -> SeenStreams:
        """Some of the streams. chosen: (B,) int64."""
        return SeenStreams(
            tuple(self.streams[index] for index in chosen.tolist()),
            self.tokens[chosen],
            self.pooled[chosen],
            self.labels[chosen],
            self.step_seconds,
        )


def see_streams(
    model: StreamClassifier, streams: Sequence[Stream], seeds: Sequence[int]
) -> SeenStreams:
    """Renders the streams and looks at every clip.

    Args:
        model: its backbone is used, in evaluation mode.
        streams: of one length.
        seeds: what each is rendered from.
    """
    tokens, pooled = zip(
        *(
            see_frames(
                model,
                (
                    render_clips(
                        stream,
                        size=SIZE,
                        seed=seed,
                        start=start,
                        stop=min(start + BATCH, len(stream)),
                    )
                    for start in range(0, len(stream), BATCH)
                ),
            )
            for stream, seed in zip(streams, seeds, strict=True)
        ),
        strict=True,
    )
    return SeenStreams(
        streams=tuple(streams),
        tokens=torch.stack(tokens),
        pooled=torch.stack(pooled),
        labels=torch.from_numpy(np.stack([stream.labels for stream in streams])),
    )


@torch.inference_mode()
def see_frames(model: StreamClassifier, batches: Iterable[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Looks at clips, batch by batch.

    Args:
        model: its backbone is used, in evaluation mode.
        batches: clips (B, T, H, W, 3) uint8 each; S clips altogether.

    Returns:
        Tokens (S, T, H, W, D) float16 and pooled features (S, E), as in `SeenStreams`.
    """
    backbone = cast(Conv3D, model.backbone.eval())
    last = len(backbone.stages)
    captured: list[Tensor] = []

    def capture(x: Tensor) -> Tensor:
        captured.append(x.half())
        return torch.zeros_like(x)

    pooled = []
    for frames in batches:
        clip = model.preprocessing.to_clip(torch.from_numpy(frames))
        features = backbone(clip, {last: capture})
        pooled.append(torch.cat([x.amax(dim=(1, 2, 3)) for x in features[:-1]], dim=1))
    return torch.cat(captured), torch.cat(pooled)


def step_seen(
    model: StreamClassifier, seen: SeenStreams, clip: int, state: StreamState
) -> tuple[Tensor, StreamState]:
    """What `model.step` does with clip number `clip` of every stream, from where it was kept.

    Returns:
        Logits (N, K) and the state behind the clip.
    """
    backbone, memory = cast(Conv3D, model.backbone), cast(Memory, model.memory)
    last = len(backbone.stages)
    seconds = state.seconds + seen.step_seconds
    x = seen.tokens[:, clip].float()
    reader = memory.readers(state.memory, seconds=seconds, clips=state.clips).get(last)
    stage = cast(ConvStage, backbone.stages[last - 1])
    x = stage.finish(x if reader is None else x + reader(x))
    nothing = x.new_empty(len(x), 0)
    features = (*[nothing] * (last - 1), x)
    pooled = torch.cat([seen.pooled[:, clip], x.amax(dim=(1, 2, 3))], dim=1)
    return model.step_features(features, pooled, state, seconds=seconds)
