"""One cell of the benchmark's table: one memory learns one task from one seed, and is tested.

Stretches grow while the memory learns, and so does the gap between cues: a curriculum over how far
back the label depends. A lesson ends when it is mastered or when its time is up (Zaremba and
Sutskever, "Learning to execute", 2014, section 3.4, move on in the same way). No stretch is longer
than 64 clips; the test streams are 2,500.

Letters: N streams, S clips, B rows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones import Conv3D
from vigilia.backbones.conv3d import ConvStage
from vigilia.bench.bank import Bank, compose
from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import make_model
from vigilia.bench.seen import SeenStreams, see_streams, step_seen
from vigilia.bench.streams import Stream, Task
from vigilia.errors import VigiliaError
from vigilia.state import State, detach, map_tensors
from vigilia.stream import StreamClassifier
from vigilia.training import TrainOptions
from vigilia.training.features import standardise_entrance
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate

__all__ = ["CURRICULUM", "EXAM", "Exam", "Lesson", "answers", "exam", "learn", "learn_from"]


@dataclass(frozen=True)
class Lesson:
    """One part of the curriculum.

    Attributes:
        clips: length of its streams, each from an empty memory.
        gap: mean clips between cues.
        updates: how long it lasts, at most.
        until_mastered: it ends as soon as `MASTERED` is reached, and the learning rate stays at
            its peak; over all other lessons together it falls to zero.
    """

    clips: int
    gap: float
    updates: int
    until_mastered: bool = False


CURRICULUM = (
    Lesson(clips=8, gap=3.0, updates=500, until_mastered=True),
    Lesson(clips=8, gap=3.0, updates=100),
    Lesson(clips=16, gap=5.0, updates=60),
    Lesson(clips=32, gap=10.0, updates=40),
    Lesson(clips=64, gap=32.0, updates=30),
)
MASTERED = 0.97
"""Of the scored clips of the last updates, this share is right."""
MASTERY_UPDATES = 15
WARMUP_UPDATES = 20
OPTIONS = TrainOptions(rows=32, learning_rate=3e-3, warmup=0.0)
NOISE = 0.25
"""Of what is seen in training, in standard deviations of each feature."""


@dataclass(frozen=True)
class Exam:
    """Test streams, at the task's own gap between cues.

    Attributes:
        streams: how many.
        clips: length of each.
    """

    streams: int
    clips: int


EXAM = Exam(streams=8, clips=2500)


def exam(task: Task, eyes: StreamClassifier, *, seed: int, size: Exam = EXAM) -> SeenStreams:
    """The test streams of a task and seed, rendered whole.

    They come in twins with their answers exchanged: dozens of cues are few, and without it who
    always says the same may be right more or less often than chance.
    """
    random = np.random.default_rng([seed, 23, int(task.name[1:])])
    streams: list[Stream] = []
    while len(streams) < size.streams:
        streams += task.twins(task.draw(size.clips, random))
    streams = streams[: size.streams]
    return see_streams(eyes, streams, [int(s) for s in random.integers(2**31, size=len(streams))])


def learn(
    task: Task,
    contender: Contender,
    eyes: StreamClassifier,
    bank: Bank,
    *,
    seed: int,
    curriculum: tuple[Lesson, ...] = CURRICULUM,
    on_update: Callable[[int, int, float], None] | None = None,
) -> StreamClassifier:
    """Trains the memory and the head of a contender; the backbone stays as it is.

    Args:
        task: to be learned.
        contender: who learns.
        eyes: whose backbone is taken.
        bank: of the task, filled by the same eyes.
        seed: of weights and streams; every contender gets the same streams.
        curriculum: the lessons, in turn.
        on_update: called with update, total and loss.

    Raises:
        VigiliaError: the loss is not a number.
    """
    random = np.random.default_rng([seed, 24, int(task.name[1:])])

    def streams(lesson: Lesson) -> SeenStreams:
        drawn = [task.draw(lesson.clips, random, gap=lesson.gap) for _ in range(OPTIONS.rows)]
        return compose(bank, drawn, random)

    return learn_from(
        streams,
        bank.seen,
        contender,
        eyes,
        name=task.name,
        classes=task.classes,
        seed=seed,
        curriculum=curriculum,
        on_update=on_update,
    )


def learn_from(
    streams: Callable[[Lesson], SeenStreams],
    examples: SeenStreams,
    contender: Contender,
    eyes: StreamClassifier,
    *,
    name: str,
    classes: tuple[str, ...],
    seed: int,
    curriculum: tuple[Lesson, ...],
    on_update: Callable[[int, int, float], None] | None = None,
) -> StreamClassifier:
    """The same, from streams that anybody draws.

    Args:
        streams: B fresh streams for a lesson.
        examples: of what is seen, for the norms at the memory's entrance.
        contender: who learns.
        eyes: whose backbone is taken.
        name: of what is learned, for messages.
        classes: names of the logits; with Q questions, those of the first, then of the second...
        seed: of the weights.
        curriculum: the lessons, in turn.
        on_update: called with update, total and loss.

    Raises:
        VigiliaError: the loss is not a number.
    """
    torch.manual_seed(seed)
    model = make_model(classes, contender.memory, dict(contender.options))
    model.backbone.load_state_dict(eyes.backbone.state_dict())
    model.backbone.requires_grad_(False)
    stage = cast(ConvStage, cast(Conv3D, model.backbone).stages[-1])
    with torch.no_grad():
        tokens = examples.tokens[:, ::3].flatten(0, 1).float()
        x = stage.finish(tokens)
        before = examples.pooled[:, ::3].flatten(0, 1)
        pooled = torch.cat([before, x.amax(dim=(1, 2, 3))], dim=1)
        standardise_entrance(model.memory, {len(model.backbone.stages): x}, pooled)  # type: ignore[arg-type]
        deviations = tokens.std(dim=(0, 1, 2, 3)), before.std(dim=0)
    optimiser = make_optimiser(model, OPTIONS)
    total = sum(lesson.updates for lesson in curriculum)
    model.train()
    update = 0
    falling = sum(lesson.updates for lesson in curriculum if not lesson.until_mastered)
    fallen = 0
    for lesson in curriculum:
        shares: list[float] = []
        for _ in range(lesson.updates):
            rate = learning_rate_at(fallen, max(1, falling), OPTIONS)
            set_learning_rate(optimiser, rate * min(1.0, (update + 1) / WARMUP_UPDATES))
            seen = _with_noise(streams(lesson), deviations)
            if not bool((seen.labels >= 0).any()):
                break  # nothing is asked in streams so short
            loss, share = _stretch_loss(model, seen, detached=contender.detached)
            if not torch.isfinite(loss):
                raise VigiliaError(
                    f"the loss of {contender.name} in {name}, seed {seed}, is {float(loss)} "
                    f"at update {update}"
                )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), OPTIONS.clip_norm)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            update += 1
            if on_update is not None:
                on_update(update, total, float(loss.detach()))
            if not lesson.until_mastered:
                fallen += 1
                continue
            shares = [*shares, share][-MASTERY_UPDATES:]
            if len(shares) == MASTERY_UPDATES and float(np.mean(shares)) >= MASTERED:
                break
    return model.eval()


def _with_noise(seen: SeenStreams, deviations: tuple[Tensor, Tensor]) -> SeenStreams:
    """Blurs what is seen. Nothing else shakes a memory that already makes no mistake in 64 clips,
    and what holds by a hair for 64 is lost after a thousand."""
    tokens, pooled = (
        x + NOISE * deviation * torch.randn_like(x, dtype=torch.float32)
        for x, deviation in zip((seen.tokens, seen.pooled), deviations, strict=True)
    )
    return replace(seen, tokens=tokens, pooled=pooled)


def _stretch_loss(
    model: StreamClassifier, seen: SeenStreams, *, detached: bool
) -> tuple[Tensor, float]:
    """The mean loss of the scored clips, and the share of them that is right."""
    state = model.init_state(len(seen))
    logits = []
    for clip in range(seen.labels.shape[1]):
        answer, state = step_seen(model, seen, clip, state)
        if detached:
            state = detach(state)
        logits.append(answer)
    labels = seen.labels.flatten()
    together = torch.stack(logits, dim=1).reshape(len(labels), -1)  # (B * S, K)
    scored = (labels >= 0).sum().clamp(min=1)
    loss = F.cross_entropy(together, labels, ignore_index=-1, reduction="sum") / scored
    return loss, float((together.argmax(dim=1) == labels).sum() / scored)


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
