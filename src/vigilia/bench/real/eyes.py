"""The backbone that all memories of a seed share: it names what a single clip shows, then stays.

It learns on the training parts alone. Its accuracy on the test parts is the most that any memory
can bring back, and stands in the table.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from vigilia.bench.streams import CLIP_FPS, CLIP_FRAMES
from vigilia.checkpoint import load_model, save_model
from vigilia.stream import StreamClassifier, create_model
from vigilia.training import TrainOptions
from vigilia.training.augment import apply_look, draw_look
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate

__all__ = ["learn_to_see"]

ROWS = 32
OPTIONS = TrainOptions(
    rows=ROWS, learning_rate=3e-3, warmup=0.05, mirror=True, zoom=0.2, brightness=0.4
)


def learn_to_see(
    out: Path,
    clips: Callable[[np.ndarray], np.ndarray],
    labels: np.ndarray,
    *,
    classes: tuple[str, ...],
    size: int,
    seed: int,
    updates: int,
    fps: float = CLIP_FPS,
    background: float = 1.0,
) -> StreamClassifier:
    """Trains the backbone and a head on single clips, every class as often as any other.

    Args:
        out: model file; taken from there if it was trained before.
        clips: which of the C clips -> (B, T, H, W, 3) uint8.
        labels: (C,) int64; -1 is left out.
        classes: names of the labels.
        size: H and W.
        seed: of weights, choice and looks.
        updates: of 32 clips each.
        fps: frames a second of the clips.
        background: how much of what does not move is kept.
    """
    if out.exists():
        return load_model(out)
    torch.manual_seed(seed)
    model = create_model(
        "conv3d_nano",
        classes=classes,
        memory="none",
        fps=fps,
        clip_frames=CLIP_FRAMES,
        stride_frames=CLIP_FRAMES,
        height=size,
        width=size,
        background=background,
    )
    members = [np.flatnonzero(labels == label) for label in np.unique(labels[labels >= 0])]
    random = np.random.default_rng([seed, 31])
    optimiser = make_optimiser(model, OPTIONS)
    model.train()
    for update in range(updates):
        set_learning_rate(optimiser, learning_rate_at(update, updates, OPTIONS))
        chosen = np.array(
            [random.choice(members[random.integers(len(members))]) for _ in range(ROWS)]
        )
        clip = model.preprocessing.to_clip(torch.from_numpy(clips(chosen)))
        plays = [(seed * updates + update) * ROWS + row for row in range(ROWS)]
        clip = apply_look(clip, draw_look(OPTIONS, plays))
        logits = model.head(model.backbone.pool(model.backbone(clip)))  # type: ignore[operator]
        F.cross_entropy(logits, torch.from_numpy(labels[chosen])).backward()
        nn.utils.clip_grad_norm_(model.parameters(), OPTIONS.clip_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
    save_model(model.eval(), out, card={"seed": seed, "updates": updates})
    return model
