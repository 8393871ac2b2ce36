"""One cell of the benchmark's table: one memory learns one task from one seed, and is tested.

Stretches grow while the memory learns, and so does the gap between cues: a curriculum over how far
back the label depends. No stretch is longer than 64 clips; the test streams are 2,500.

Letters: N streams, S clips, B rows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import make_model
from vigilia.bench.seen import SeenStreams, see_streams, step_seen
from vigilia.bench.streams import Task
from vigilia.errors import VigiliaError
from vigilia.state import State, detach, map_tensors
from vigilia.stream import StreamClassifier
from vigilia.training import TrainOptions
from vigilia.training.features import standardise_entrance
from vigilia.training.optimiser import learning_rate_at, make_optimiser

__all__ = ["CURRICULUM", "TEST", "Lesson", "Lessons", "answers", "exam", "learn", "lessons"]


@dataclass(frozen=True)
class Lesson:
    """One part of the curriculum.

    Attributes:
        clips: length of its streams, each from an empty memory.
        gap: mean clips between cues; 0 for the task's own.
        streams: how many there are.
        updates: how long it is trained on.
    """

    clips: int
    gap: float
    streams: int
    updates: int


CURRICULUM = (
    Lesson(clips=8, gap=3.0, streams=1024, updates=100),
    Lesson(clips=16, gap=5.0, streams=768, updates=60),
    Lesson(clips=32, gap=10.0, streams=512, updates=50),
    Lesson(clips=64, gap=24.0, streams=256, updates=40),
)
TEST = Lesson(clips=2500, gap=0.0, streams=8, updates=0)
OPTIONS = TrainOptions(rows=32, learning_rate=3e-3, warmup=0.05)

NOISE = 0.5
"""Of what is seen in training, in standard deviations of each feature."""

Lessons = tuple[tuple[Lesson, SeenStreams], ...]


def lessons(
    task: Task, eyes: StreamClassifier, *, seed: int, curriculum: tuple[Lesson, ...] = CURRICULUM
) -> Lessons:
    """The training streams of a task and seed, the same for every contender."""
    return tuple(
        (lesson, _draw(task, eyes, lesson, [seed, 22, index]))
        for index, lesson in enumerate(curriculum)
    )


def exam(task: Task, eyes: StreamClassifier, *, seed: int, test: Lesson = TEST) -> SeenStreams:
    """The test streams of a task and seed, at the task's own gap."""
    return _draw(task, eyes, test, [seed, 23])


def _draw(task: Task, eyes: StreamClassifier, lesson: Lesson, key: list[int]) -> SeenStreams:
    random = np.random.default_rng([*key, int(task.name[1:])])
    gap = lesson.gap or None
    streams = [task.draw(lesson.clips, random, gap=gap) for _ in range(lesson.streams)]
    return see_streams(eyes, streams, [int(s) for s in random.integers(2**31, size=len(streams))])


def learn(
    task: Task,
    contender: Contender,
    eyes: StreamClassifier,
    taught: Lessons,
    *,
    seed: int,
    on_update: Callable[[int, int, float], None] | None = None,
) -> StreamClassifier:
    """Trains the memory and the head of a contender; the backbone stays as it is.

    Raises:
        VigiliaError: the loss is not a number.
    """
    torch.manual_seed(seed)
    model = make_model(task.classes, contender.memory, dict(contender.options))
    model.backbone.load_state_dict(eyes.backbone.state_dict())
    model.backbone.requires_grad_(False)
    longest = taught[-1][1]
    with torch.no_grad():
        x = longest.tokens[:, ::7].flatten(0, 1)[::3].float()
        x = model.backbone.stages[-1].finish(x)  # type: ignore[union-attr,index]
        before = longest.pooled[:, ::7].flatten(0, 1)[::3]
        pooled = torch.cat([before, x.amax(dim=(1, 2, 3))], dim=1)
        standardise_entrance(model.memory, {len(model.backbone.stages): x}, pooled)  # type: ignore[arg-type]
        deviations = longest.tokens[:, ::7].float().std(dim=(0, 1, 2, 3, 4)), before.std(dim=0)
    optimiser = make_optimiser(model, OPTIONS)
    total = sum(lesson.updates for lesson, _ in taught)
    random = np.random.default_rng([seed, 24])
    model.train()
    update = 0
    for lesson, seen in taught:
        for _ in range(lesson.updates):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate_at(update, total, OPTIONS) * group.get("rate", 1.0)
            rows = torch.from_numpy(random.choice(len(seen), OPTIONS.rows, replace=False))
            noisy = _with_noise(seen.rows(rows), deviations)
            loss = _stretch_loss(model, noisy, detached=contender.detached)
            if not torch.isfinite(loss):
                raise VigiliaError(
                    f"the loss of {contender.name} in {task.name}, seed {seed}, is {float(loss)} "
                    f"at update {update}"
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), OPTIONS.clip_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            update += 1
            if on_update is not None:
                on_update(update, total, float(loss.detach()))
    return model.eval()


def _with_noise(seen: SeenStreams, deviations: tuple[Tensor, Tensor]) -> SeenStreams:
    """Blurs what is seen. Nothing else shakes a memory that already makes no mistake in 64 clips,
    and what holds by a hair for 64 is lost after a thousand."""
    tokens, pooled = (
        x + NOISE * deviation * torch.randn_like(x, dtype=torch.float32)
        for x, deviation in zip((seen.tokens, seen.pooled), deviations, strict=True)
    )
    return replace(seen, tokens=tokens, pooled=pooled)


def _stretch_loss(model: StreamClassifier, seen: SeenStreams, *, detached: bool) -> Tensor:
    state = model.init_state(len(seen))
    logits = []
    for clip in range(seen.labels.shape[1]):
        answer, state = step_seen(model, seen, clip, state)
        if detached:
            state = detach(state)
        logits.append(answer)
    together = torch.stack(logits, dim=1).flatten(0, 1)  # (B * S, K)
    labels = seen.labels.flatten()
    scored = (labels >= 0).sum().clamp(min=1)
    return F.cross_entropy(together, labels, ignore_index=-1, reduction="sum") / scored


@torch.inference_mode()
def answers(model: StreamClassifier, seen: SeenStreams, *, foreign: bool = False) -> np.ndarray:
    """The model's answer to every clip of every stream, streaming. (N, S) int64.

    Args:
        model: in evaluation mode.
        seen: N streams, the rows of the batch.
        foreign: each answer is given from the memory of the stream before it, which that stream
            goes on filling: a control that must fail.
    """
    state = model.init_state(len(seen))
    said = []
    for clip in range(seen.labels.shape[1]):
        logits, following = step_seen(model, seen, clip, state)
        if foreign:
            other: State = map_tensors(lambda x: x.roll(1, dims=0), state)
            logits, _ = step_seen(model, seen, clip, other)  # type: ignore[arg-type]
        state = following
        said.append(logits.argmax(dim=1))
    return torch.stack(said, dim=1).numpy()
