"""Memory and head learn behind a frozen backbone, over what it saw.

The memory writes the last stage's tokens and is read by the pooled embedding. It is not read inside
the blocks: what comes behind the reading would have to be computed anew for every clip, and each
architecture continues in its own way (`vigilia train --cache-features` does the same).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import SIZE, make_model
from vigilia.bench.family.seeing import Pools
from vigilia.bench.lessons import Lesson, carried_share, curriculum_of, take_lessons
from vigilia.bench.seen import SeenStreams
from vigilia.bench.streams import CLIP_FRAMES, Task
from vigilia.models import describe_model
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training.entrance import standardise_entrance

__all__ = ["Cost", "cost_of", "learn_behind", "lessons_of", "step_behind"]

ROWS = 16
"""Streams side by side: half of the memory benchmark's, for a bit more than half of the time."""
EXAMPLES = 128
"""Streams by which the norms at the memory's entrance start, and the noise is measured."""

LESSONS = (
    Lesson(clips=8, gap=3.0, updates=250, until_mastered=True),
    Lesson(clips=8, gap=3.0, updates=60),
    Lesson(clips=16, gap=5.0, updates=40),
    Lesson(clips=32, gap=10.0, updates=25),
    Lesson(clips=64, gap=32.0, updates=20),
)
OWN_LESSONS = {
    "T8": (
        Lesson(clips=16, gap=10.0, updates=40),
        Lesson(clips=32, gap=20.0, updates=40),
        Lesson(clips=64, gap=64.0, updates=40),
    ),
}
"""About half of the memory benchmark's, whose lessons the other tasks take."""


@dataclass(frozen=True)
class Cost:
    """What a step takes.

    Attributes:
        gmac: billions of multiply-adds, memory and head included.
        parameters: of the whole model.
        state_bytes: that a stream remembers.
    """

    gmac: float
    parameters: int
    state_bytes: int


def lessons_of(task_name: str) -> tuple[Lesson, ...]:
    """The course of a task: short for those of the family's table."""
    if task_name in ("T1", "T2", "T3", "T4"):
        return LESSONS
    return OWN_LESSONS.get(task_name, curriculum_of(task_name))


def step_behind(
    model: StreamClassifier, seen: SeenStreams, clip: int, state: StreamState
) -> tuple[Tensor, StreamState]:
    """What comes behind the backbone, for clip number `clip` of every stream.

    Returns:
        Logits (N, K) and the state behind the clip.
    """
    x = seen.tokens[:, clip].float()
    last = max(getattr(model.memory, "stage_numbers", (1,)))
    features = (*[x.new_empty(len(x), 0)] * (last - 1), x)
    seconds = state.seconds + seen.step_seconds
    return model.step_features(features, seen.pooled[:, clip], state, seconds=seconds)


def learn_behind(
    task: Task,
    contender: Contender,
    eyes: StreamClassifier,
    pools: Pools,
    *,
    seed: int,
    curriculum: tuple[Lesson, ...] | None = None,
    on_update: Callable[[int, int, float], None] | None = None,
) -> StreamClassifier:
    """Trains the memory and the head of a contender; the backbone stays as it is.

    Args:
        task: to be learned.
        contender: who learns.
        eyes: whose backbone is taken.
        pools: of the task's lessons, seen by the same eyes.
        seed: of weights, noise, and of which streams come when; the same for every backbone.
        curriculum: the lessons, in turn; None for `lessons_of` the task.
        on_update: called with update, total and loss.

    Raises:
        VigiliaError: the loss is not a number.
    """
    course = curriculum or lessons_of(task.name)
    random = np.random.default_rng([seed, 28, int(task.name[1:])])

    def streams(lesson: Lesson) -> SeenStreams:
        pool = pools[lesson.clips, lesson.gap]
        return pool.rows(torch.from_numpy(random.permutation(len(pool))[:ROWS]))

    examples = pools[course[0].clips, course[0].gap]
    torch.manual_seed(seed)
    options = dict(contender.options)
    model = make_model(task.classes, contender.memory, options, backbone=eyes.spec.name)
    model.backbone.load_state_dict(eyes.backbone.state_dict())
    model.backbone.requires_grad_(False)
    tokens = examples.tokens[:EXAMPLES].flatten(0, 1).float()
    pooled = examples.pooled[:EXAMPLES].flatten(0, 1)
    with torch.no_grad():
        standardise_entrance(model.memory, {len(eyes.backbone.stage_dims): tokens}, pooled)  # type: ignore[arg-type]
    return take_lessons(
        model,
        streams,
        deviations=(tokens.std(dim=(0, 1, 2, 3)), pooled.std(dim=0)),
        curriculum=course,
        carried=carried_share(task),
        passing=np.random.default_rng([seed, 27]),
        told=f"{eyes.spec.name} with {contender.name} in {task.name}, seed {seed},",
        step=step_behind,
        on_update=on_update,
    )


def cost_of(backbone: str, contender: Contender, classes: tuple[str, ...]) -> Cost:
    """What a step of the benchmark's clips takes, memory read inside the blocks as well."""
    model = make_model(classes, contender.memory, dict(contender.options), backbone=backbone)
    facts = describe_model(model.eval(), torch.zeros(1, 3, CLIP_FRAMES, SIZE, SIZE))
    return Cost(facts.gflop_per_step / 2, facts.parameters, facts.state_bytes)
