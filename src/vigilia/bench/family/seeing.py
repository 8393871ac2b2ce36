"""Streams as any backbone sees them: its last stage's tokens, and the clip in one vector.

A plain backbone looks at each clip by itself, so a bank of clips serves every stream that is put
together from it. One that carries a past sees another clip in every other stream: its bank holds
pixels, and each stream is walked through anew, without gradient.

Letters: N streams, S clips, B rows, T H W frames of a clip or tokens of the last stage, D features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vigilia.backbones import Backbone, BackboneState, StreamingBackbone
from vigilia.bench.bank import Catalogue, catalogue, choose_clips, scene_seeds
from vigilia.bench.eyes import SIZE
from vigilia.bench.lessons import Lesson
from vigilia.bench.render import render_clips
from vigilia.bench.seen import SeenStreams
from vigilia.bench.streams import Stream, Task
from vigilia.stream import StreamClassifier

__all__ = [
    "POOL_CLIPS",
    "FamilyBank",
    "Pools",
    "fill_family_bank",
    "fill_pools",
    "see_whole",
    "streams_from",
]

Pools = Mapping[tuple[int, float], SeenStreams]
"""By length of streams and gap between cues: what a lesson draws its rows from."""

POOL_CLIPS = 4096
LEAST_STREAMS = 32

ROWS = 32
BLOCK_CLIPS = 32
"""Clips of a stream that are seen at a time."""


@dataclass(frozen=True)
class FamilyBank:
    """Clips by scene, from which streams are put together.

    Attributes:
        contents: what every scene shows.
        tokens: (N, C, T, H, W, D) float16 of a plain backbone; None of one that carries a past.
        pooled: (N, C, E) float32 likewise.
        frames: (N, C, T, H, W, 3) uint8 for a backbone that carries a past, else None.
    """

    contents: Catalogue
    tokens: Tensor | None = None
    pooled: Tensor | None = None
    frames: np.ndarray | None = None

    @property
    def scenes(self) -> int:
        """N."""
        kept = self.frames if self.tokens is None else self.tokens
        assert kept is not None
        return len(kept)


def fill_family_bank(task: Task, eyes: StreamClassifier, *, seed: int, scenes: int) -> FamilyBank:
    """Renders the catalogue of a task in every scene, and looks at it where that can be kept.

    Args:
        task: whose symbols and levels are needed.
        eyes: the frozen backbone.
        seed: of the scenes, which are those of the memory benchmark.
        scenes: N.
    """
    contents = catalogue(task)
    shown = contents.clips
    seeds = scene_seeds(task, seed=seed, scenes=scenes)
    if eyes.streams:
        frames = np.stack([render_clips(shown, size=SIZE, seed=one) for one in seeds])
        return FamilyBank(contents, frames=frames)
    seen = see_whole(eyes, [shown] * scenes, seeds)
    return FamilyBank(contents, tokens=seen.tokens, pooled=seen.pooled)


def streams_from(
    bank: FamilyBank,
    eyes: StreamClassifier,
    streams: Sequence[Stream],
    random: np.random.Generator,
) -> SeenStreams:
    """Streams of one length as the eyes would see them, each in a scene drawn by chance.

    Args:
        bank: of the streams' task.
        eyes: that filled it.
        streams: B of them.
        random: which scene, and which of the clips that show the same.
    """
    where = choose_clips(bank.contents, bank.scenes, streams, random)
    if bank.frames is None:
        assert bank.tokens is not None
        assert bank.pooled is not None
        tokens, pooled = bank.tokens[where], bank.pooled[where]
    else:
        scenes, clips = (index.numpy() for index in where)
        frames = bank.frames[scenes, clips]  # (B, S, T, H, W, 3)
        blocks = (frames[:, at : at + BLOCK_CLIPS] for at in range(0, clips.shape[1], BLOCK_CLIPS))
        tokens, pooled = _see_blocks(eyes, blocks, rows=len(streams))
    labels = torch.from_numpy(np.stack([stream.labels for stream in streams]))
    return SeenStreams(tuple(streams), tokens, pooled, labels)


def fill_pools(
    task: Task,
    bank: FamilyBank,
    eyes: StreamClassifier,
    lessons: Sequence[Lesson],
    *,
    seed: int,
    clips: int = POOL_CLIPS,
) -> Pools:
    """The streams of a course, seen once for all memories and seeds that take it.

    A backbone that carries a past has to walk through each; so what is walked through is shared.
    The others draw from as many, the same ones, though for them new ones would cost nothing.

    Args:
        task: of the streams.
        bank: of the task, filled for the same eyes.
        eyes: the frozen backbone.
        lessons: that draw from the pools.
        seed: of the streams.
        clips: of each pool, together.
    """
    pools: dict[tuple[int, float], SeenStreams] = {}
    for lesson in lessons:
        key = (lesson.clips, lesson.gap)
        if key in pools:
            continue
        random = np.random.default_rng([seed, 24, int(task.name[1:]), lesson.clips])
        count = max(LEAST_STREAMS, clips // lesson.clips)
        drawn = [task.draw(lesson.clips, random, gap=lesson.gap) for _ in range(count)]
        parts = [
            streams_from(bank, eyes, drawn[at : at + ROWS], random) for at in range(0, count, ROWS)
        ]
        pools[key] = SeenStreams(
            streams=tuple(drawn),
            tokens=torch.cat([one.tokens for one in parts]),
            pooled=torch.cat([one.pooled for one in parts]),
            labels=torch.cat([one.labels for one in parts]),
        )
    return pools


def see_whole(
    eyes: StreamClassifier, streams: Sequence[Stream], seeds: Sequence[int]
) -> SeenStreams:
    """Renders streams from their beginnings to their ends and looks at every clip.

    Args:
        eyes: its backbone is used, in evaluation mode.
        streams: of one length.
        seeds: what each is rendered from.
    """
    tokens, pooled = zip(
        *(
            _see_blocks(eyes, _rendered(stream, seed), rows=1)
            for stream, seed in zip(streams, seeds, strict=True)
        ),
        strict=True,
    )
    return SeenStreams(
        streams=tuple(streams),
        tokens=torch.cat(tokens),
        pooled=torch.cat(pooled),
        labels=torch.from_numpy(np.stack([stream.labels for stream in streams])),
    )


def _rendered(stream: Stream, seed: int) -> Iterator[np.ndarray]:
    """Blocks (1, S, T, H, W, 3) of a stream, in turn."""
    for start in range(0, len(stream), BLOCK_CLIPS):
        stop = min(start + BLOCK_CLIPS, len(stream))
        yield render_clips(stream, size=SIZE, seed=seed, start=start, stop=stop)[None]


@torch.inference_mode()
def _see_blocks(
    eyes: StreamClassifier, blocks: Iterator[np.ndarray], *, rows: int
) -> tuple[Tensor, Tensor]:
    """Tokens (B, S, T, H, W, D) float16 and pooled features (B, S, E) of B streams.

    Args:
        eyes: in evaluation mode.
        blocks: (B, S', T, H, W, 3) uint8 each, one behind the other.
        rows: B.
    """
    backbone = eyes.backbone.eval()
    carried = eyes.init_state(rows).backbone
    tokens, pooled = [], []
    for frames in blocks:
        count = frames.shape[1]
        clips = eyes.preprocessing.to_clip(torch.from_numpy(frames).flatten(0, 1))
        if isinstance(backbone, StreamingBackbone):
            features, carried = _walk(backbone, clips.unflatten(0, (rows, count)), carried)
        else:
            features = backbone(clips)
        tokens.append(features[-1].half().unflatten(0, (rows, count)))
        vectors = cast(Backbone, backbone).pool(features)
        pooled.append(vectors.unflatten(0, (rows, count)))
    return torch.cat(tokens, dim=1), torch.cat(pooled, dim=1)


def _walk(
    backbone: StreamingBackbone, clips: Tensor, carried: BackboneState
) -> tuple[tuple[Tensor, ...], BackboneState]:
    """Steps one behind the other. (B, S, C, T, H, W) -> per stage (B * S, T', H', W', D_s)."""
    count = clips.shape[1]
    features, carried = backbone.run_stages(clips.transpose(1, 2).flatten(2, 3), carried)
    return tuple(x.unflatten(1, (count, -1)).flatten(0, 1) for x in features), carried
