"""How a memory is taught: a course of lessons, each of streams longer than those before.

Stretches grow while the memory learns, and so does the gap between cues: a curriculum over how far
back the label depends. A lesson ends when it is mastered or when its time is up (Zaremba and
Sutskever, "Learning to execute", 2014, section 3.4, move on in the same way). No stretch is longer
than 64 clips; the test streams are 2,500.

Most stretches begin with what another stream left in memory, as they will in a camera that runs for
months: a memory that has only ever begun empty has never been full, and what it holds drifts as
soon as a stream is longer than those it learned from. `vigilia train` carries state as often.

Letters: S clips, B rows, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.bench.seen import SeenStreams, step_seen
from vigilia.bench.streams import Task
from vigilia.errors import VigiliaError
from vigilia.state import detach, reset
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training import TrainOptions
from vigilia.training.optimiser import learning_rate_at, make_optimiser, set_learning_rate

__all__ = [
    "CARRIED",
    "OPTIONS",
    "Lesson",
    "StepSeen",
    "carried_share",
    "curriculum_of",
    "take_lessons",
]

StepSeen = Callable[[StreamClassifier, SeenStreams, int, StreamState], tuple[Tensor, StreamState]]
"""Steps a model over clip number so-and-so of streams that were seen; as `step_seen`."""


@dataclass(frozen=True)
class Lesson:
    """One part of the curriculum.

    Attributes:
        clips: length of its streams.
        gap: mean clips between cues.
        updates: how long it lasts, at most.
        until_mastered: it ends as soon as `MASTERED` is reached, and the learning rate stays at
            its peak; over all other lessons together it falls to zero.
        rate: share of the learning rate.
    """

    clips: int
    gap: float
    updates: int
    until_mastered: bool = False
    rate: float = 1.0


CURRICULUM = (
    Lesson(clips=8, gap=3.0, updates=500, until_mastered=True),
    Lesson(clips=8, gap=3.0, updates=100),
    Lesson(clips=16, gap=5.0, updates=60),
    Lesson(clips=32, gap=10.0, updates=40),
    Lesson(clips=64, gap=32.0, updates=30),
)
OWN_CURRICULA = {
    # Sixteen ways to fill the cells: the full rate is too coarse to find how to hold them all.
    "T5": tuple(
        replace(lesson, rate=1 / 3, updates=700 if lesson.until_mastered else lesson.updates)
        for lesson in CURRICULUM
    ),
    # Every second clip wears at what is held; what that does shows in long streams alone.
    "T6": (*CURRICULUM[:-1], replace(CURRICULUM[-1], updates=100)),
    # The first question comes after 31 clips.
    "T7": (Lesson(clips=64, gap=32.0, updates=120),),
    # In a short stretch of short bouts there is next to nothing that a memory could know.
    "T8": (
        Lesson(clips=16, gap=10.0, updates=60),
        Lesson(clips=32, gap=20.0, updates=60),
        Lesson(clips=64, gap=64.0, updates=80),
    ),
}
MASTERED = 0.97
"""Of the scored clips of the last updates, this share is right."""
MASTERY_UPDATES = 15
WARMUP_UPDATES = 20
OPTIONS = TrainOptions(rows=32, learning_rate=3e-3, warmup=0.0)
NOISE = 0.25
"""Of what is seen in training, in standard deviations of each feature."""


CARRIED = 0.8


def curriculum_of(task_name: str) -> tuple[Lesson, ...]:
    """The lessons of a task, the same for everybody who learns it."""
    return OWN_CURRICULA.get(task_name, CURRICULUM)


def carried_share(task: Task) -> float:
    """How many streams begin with the memory of another: none where all since the start counts."""
    return 0.0 if task.all_history else CARRIED


def take_lessons(
    model: StreamClassifier,
    streams: Callable[[Lesson], SeenStreams],
    *,
    deviations: tuple[Tensor, Tensor],
    curriculum: tuple[Lesson, ...],
    carried: float = 0.0,
    passing: np.random.Generator,
    detached: bool = False,
    told: str,
    step: StepSeen = step_seen,
    on_update: Callable[[int, int, float], None] | None = None,
) -> StreamClassifier:
    """Trains what of a model wants gradient, and returns it in evaluation mode.

    Args:
        model: its memory and head learn; the backbone is frozen.
        streams: B fresh streams for a lesson.
        deviations: of each feature of the tokens and of the pooled ones; noise is in their units.
        curriculum: the lessons, in turn.
        carried: share of streams that begin with what the last one of their row left in memory;
            the others begin with an empty one.
        passing: which of them do.
        detached: no gradient flows from a clip into what earlier clips wrote.
        told: who learns what, for messages.
        step: how the model goes over a clip that was seen.
        on_update: called with update, total and loss.

    Raises:
        VigiliaError: the loss is not a number.
    """
    optimiser = make_optimiser(model, OPTIONS)
    total = sum(lesson.updates for lesson in curriculum)
    model.train()
    update = 0
    falling = sum(lesson.updates for lesson in curriculum if not lesson.until_mastered)
    fallen = 0
    left: StreamState | None = None
    for lesson in curriculum:
        shares: list[float] = []
        for _ in range(lesson.updates):
            rate = learning_rate_at(fallen, max(1, falling), OPTIONS)
            rate *= lesson.rate * min(1.0, (update + 1) / WARMUP_UPDATES)
            set_learning_rate(optimiser, rate)
            seen = _with_noise(streams(lesson), deviations)
            if not bool((seen.labels >= 0).any()):
                break  # nothing is asked in streams so short
            left = model.init_state(len(seen)) if left is None else left
            begin = reset(left, torch.from_numpy(passing.random(len(seen)) >= carried))
            loss, share, left = _stretch_loss(model, seen, begin, detached=detached, step=step)
            if not torch.isfinite(loss):
                raise VigiliaError(f"the loss of {told} is {float(loss)} at update {update}")
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
    model: StreamClassifier,
    seen: SeenStreams,
    state: StreamState,
    *,
    detached: bool,
    step: StepSeen,
) -> tuple[Tensor, float, StreamState]:
    """The mean loss of the scored clips, the share of them that is right, and what is left."""
    logits = []
    for clip in range(seen.labels.shape[1]):
        answer, state = step(model, seen, clip, state)
        if detached:
            state = detach(state)
        logits.append(answer)
    labels = seen.labels.flatten()
    together = torch.stack(logits, dim=1).reshape(len(labels), -1)  # (B * S, K)
    scored = (labels >= 0).sum().clamp(min=1)
    loss = F.cross_entropy(together, labels, ignore_index=-1, reduction="sum") / scored
    return loss, float((together.argmax(dim=1) == labels).sum() / scored), detach(state)
