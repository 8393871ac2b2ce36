"""Recordings of noise, tiny models and single chunks, for the tests of training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vigilia.checkpoint import read_tensors
from vigilia.stream import StreamClassifier, create_model
from vigilia.training import Recording, TrainingUpdate, TrainOptions
from vigilia.training.chunk import plan_chunk, train_chunk
from vigilia.training.rows import first_cursor, make_places
from vigilia.training.schedule import Moment
from vigilia.training.stretch import pixel_view
from vigilia.training.worker import Worker

SIZE, FRAMES, STRIDE = 16, 4, 2


def tiny(memory: str = "fam", seed: int = 0, **options: Any) -> StreamClassifier:
    torch.manual_seed(seed)
    if memory == "fam":
        options = {
            "slots": 2,
            "summary_tokens": 2,
            "feedback_tokens": 2,
            "write_every": 1,
        } | options
        options |= {"head_dim": 16}
    elif memory == "gru":
        options = {"hidden": 8} | options
    model = create_model(
        "swin3d_nano",
        classes=("dark", "bright"),
        memory=memory,
        clip_frames=FRAMES,
        stride_frames=STRIDE,
        height=SIZE,
        width=SIZE,
        **options,
    )
    return model


def recording(name: str, clips: int, seed: int, unscored: float = 0.1) -> Recording:
    """Noise that is bright or dark for a few clips at a time; the label says which."""
    rng = np.random.default_rng(seed)
    bright = np.repeat(rng.integers(0, 2, size=clips), 3)[:clips]
    level = np.repeat(np.where(bright, 170, 80), STRIDE)
    frames = (
        rng.integers(-60, 60, size=(clips * STRIDE, SIZE, SIZE, 3)) + level[:, None, None, None]
    )
    last = np.arange(1, clips + 1) * STRIDE - 1
    ends = np.arange(1, clips + 1) * STRIDE / 4.0
    return Recording(
        name=name,
        frames=frames.clip(0, 255).astype(np.uint8),
        clips=np.maximum(last[:, None] - np.arange(FRAMES)[::-1], 0),
        start_seconds=ends - STRIDE / 4.0,
        end_seconds=ends,
        labels=np.where(rng.random(clips) < unscored, -1, bright).astype(np.int64),
    )


TWO = [recording("a.mp4", 30, 1), recording("b.mp4", 18, 2)]
QUICK = TrainOptions(epochs=3, rows=2, chunk_clips=4, learning_rate=1e-3, seed=5)


def flashes(seed: int, clips: int = 36, *, every: int = 9) -> Recording:
    """One clip in `every` flashes dark or bright; the label is the last flash."""
    random = np.random.default_rng(seed)
    frames = random.integers(90, 110, (clips, 4, 16, 16, 3), dtype=np.uint8)
    labels = np.repeat(random.integers(2, size=clips // every), every)
    frames[::every] = np.where(labels[::every, None, None, None, None] == 1, 240, 10)
    ends = 2.0 * np.arange(1, clips + 1)
    return Recording(
        name=f"flashes{seed}.mp4",
        frames=frames.reshape(-1, 16, 16, 3),
        clips=np.arange(clips * 4).reshape(clips, 4),
        start_seconds=ends - 2,
        end_seconds=ends,
        labels=labels,
    )


def chunk(
    model: StreamClassifier,
    recordings: list[Recording],
    options: TrainOptions,
    *,
    state: Any = None,
    cursor: Any = None,
    update: int = 0,
    weights: Tensor | None = None,
    worker: Worker | None = None,
) -> tuple[float, Any, Any]:
    """One chunk of the loop: loss, state and cursor behind it."""
    places = make_places(recordings, options)
    moment = Moment(0, options.chunk_clips, False, None)
    plan = plan_chunk(places, cursor or first_cursor(places), update, moment)
    worker = worker or Worker(torch.device("cpu"))
    loss, state = train_chunk(
        pixel_view(model, recordings, options, autocast=worker.autocast),
        places,
        state or model.init_state(options.rows),
        plan.batches,
        update,
        torch.ones(2) if weights is None else weights,
        worker,
    )
    return loss, state, plan.cursor


def first_clip(recordings: list[Recording], options: TrainOptions) -> int:
    return first_cursor(make_places(recordings, options)).clips[0]


def opened(model: StreamClassifier) -> StreamClassifier:
    for name, parameter in model.named_parameters():
        if name.endswith("gate"):
            nn.init.normal_(parameter)
    return model


def weights_of(path: Path) -> dict[str, Tensor]:
    return read_tensors(path)[0]


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class Killed(Exception):
    pass


def kill_after(updates: int) -> Callable[[TrainingUpdate], None]:
    def on_update(update: TrainingUpdate) -> None:
        if update.update == updates:
            raise Killed

    return on_update
