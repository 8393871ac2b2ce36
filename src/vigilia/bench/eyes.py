"""The backbone that all contenders share: it says what a single clip shows, and is then frozen.

What is compared is memory, so nobody is to win by better eyes. The backbone learns to name the
sprite of a clip and to tell the brightness of its patch; no task's label is used.

Letters: B clips, D features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.bench.render import render_clips
from vigilia.bench.streams import CLIP_FPS, CLIP_FRAMES, Stream
from vigilia.bench.tasks import TASKS
from vigilia.checkpoint import load_model, save_model
from vigilia.stream import StreamClassifier, create_model
from vigilia.training import TrainOptions
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate

__all__ = ["SIZE", "make_model", "trained_eyes"]

BACKBONE = "conv3d_nano"

SIZE = 32
"""Height and width of the benchmark's pictures."""

STREAM_CLIPS = 16
OPTIONS = TrainOptions(rows=64, chunk_clips=1, learning_rate=3e-3, warmup=0.05)


@functools.cache
def vocabulary() -> tuple[int, ...]:
    """Every symbol that a task shows, and 0 for none."""
    drawn = [task.draw(4000, np.random.default_rng(0), gap=8).symbols for task in TASKS.values()]
    return tuple(int(symbol) for symbol in np.unique(np.concatenate(drawn)))


@dataclass(frozen=True)
class Sight:
    """How well the backbone sees, on streams it was not trained on.

    Attributes:
        named: share of clips whose sprite, or whose emptiness, is named right.
        level_error: root mean square error of the patch's brightness, 0 to 1.
    """

    named: float
    level_error: float


def make_model(
    classes: tuple[str, ...], memory: str, options: dict[str, Any], *, backbone: str = BACKBONE
) -> StreamClassifier:
    """A fresh model of the benchmark's clips: 8 frames of 32 by 32 pixels, 2 s, no overlap."""
    return create_model(
        backbone,
        classes=classes,
        memory=memory,
        fps=CLIP_FPS,
        clip_frames=CLIP_FRAMES,
        stride_frames=CLIP_FRAMES,
        height=SIZE,
        width=SIZE,
        **options,
    )


def trained_eyes(
    out: Path,
    *,
    seed: int,
    updates: int = 1800,
    backbone: str = BACKBONE,
    on_update: Callable[[int, int, float], None] | None = None,
) -> StreamClassifier:
    """The backbone of a seed, from `out` if it was trained before.

    Args:
        out: model file; written when training ends.
        seed: of weights and streams.
        updates: of 64 clips each.
        backbone: which one learns to see.
        on_update: called with update, total and loss.
    """
    if out.exists():
        return load_model(out)
    torch.manual_seed(seed)
    model = make_model(tuple(map(str, vocabulary())), "none", {}, backbone=backbone)
    level = nn.Linear(model.head.in_features, 1)
    both = nn.ModuleList([model, level])
    optimiser = make_optimiser(both, OPTIONS)
    model.train()
    for update in range(updates):
        set_learning_rate(optimiser, learning_rate_at(update, updates, OPTIONS))
        clip, symbols, levels = _batch(model, seed, update)
        pooled = model.backbone.pool(model.backbone(clip))  # type: ignore[operator]
        named = F.cross_entropy(model.head(pooled), symbols)
        told = F.mse_loss(level(pooled)[:, 0], 4 * (levels - 0.5))
        loss = named + told
        loss.backward()
        nn.utils.clip_grad_norm_(both.parameters(), OPTIONS.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if on_update is not None:
            on_update(update + 1, updates, float(loss.detach()))
    sight = _sight(model, level, seed)
    model.card = {"named": sight.named, "level_error": sight.level_error, "seed": seed}
    save_model(model.eval(), out)
    return model


@torch.inference_mode()
def _sight(model: StreamClassifier, level: nn.Linear, seed: int) -> Sight:
    model.eval()
    right, squares = [], []
    for batch in range(32):
        clip, symbols, levels = _batch(model, seed + 1_000_000, batch)
        pooled = model.backbone.pool(model.backbone(clip))  # type: ignore[operator]
        right.append((model.head(pooled).argmax(1) == symbols).float().mean())
        squares.append(((level(pooled)[:, 0] / 4 + 0.5 - levels) ** 2).mean())
    return Sight(float(torch.stack(right).mean()), float(torch.stack(squares).mean().sqrt()))


def _batch(model: StreamClassifier, seed: int, update: int) -> tuple[Tensor, Tensor, Tensor]:
    """Clip (B, 3, T, H, W), symbols (B,) and levels (B,) of clips of four fresh scenes."""
    random = np.random.default_rng([seed, 21, update])
    frames, symbols, levels = [], [], []
    for _ in range(OPTIONS.rows // STREAM_CLIPS):
        shown = random.integers(1, len(vocabulary()), STREAM_CLIPS)
        shown[random.random(STREAM_CLIPS) < 0.2] = 0
        stream = Stream(
            symbols=np.array(vocabulary(), np.int16)[shown],
            labels=np.full(STREAM_CLIPS, -1),
            ages=np.full(STREAM_CLIPS, -1),
            levels=random.random(STREAM_CLIPS, dtype=np.float32),
        )
        frames.append(render_clips(stream, size=SIZE, seed=int(random.integers(2**31))))
        symbols.append(shown)
        levels.append(stream.levels)
    clip = model.preprocessing.to_clip(torch.from_numpy(np.concatenate(frames)))
    return (
        clip,
        torch.from_numpy(np.concatenate(symbols)),
        torch.from_numpy(np.concatenate(levels)),
    )
