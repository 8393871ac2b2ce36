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
from vigilia.bench.family.seeing import FamilyBank, streams_from
from vigilia.bench.lessons import OPTIONS, Lesson, carried_share, curriculum_of, take_lessons
from vigilia.bench.seen import SeenStreams
from vigilia.bench.streams import CLIP_FRAMES, Task
from vigilia.models import describe_model
from vigilia.stream import StreamClassifier, StreamState
from vigilia.training.entrance import standardise_entrance

__all__ = ["Cost", "cost_of", "learn_behind", "step_behind"]


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
    bank: FamilyBank,
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
        bank: of the task, filled for the same eyes.
        seed: of weights and streams; every backbone and memory gets the same streams.
        curriculum: the lessons, in turn; None for the task's own.
        on_update: called with update, total and loss.

    Raises:
        VigiliaError: the loss is not a number.
    """
    random = np.random.default_rng([seed, 24, int(task.name[1:])])

    def streams(lesson: Lesson) -> SeenStreams:
        drawn = [task.draw(lesson.clips, random, gap=lesson.gap) for _ in range(OPTIONS.rows)]
        return streams_from(bank, eyes, drawn, random)

    examples = _examples(task, eyes, bank, seed=seed)
    torch.manual_seed(seed)
    options = dict(contender.options)
    model = make_model(task.classes, contender.memory, options, backbone=eyes.spec.name)
    model.backbone.load_state_dict(eyes.backbone.state_dict())
    model.backbone.requires_grad_(False)
    tokens = examples.tokens.flatten(0, 1).float()
    pooled = examples.pooled.flatten(0, 1)
    with torch.no_grad():
        standardise_entrance(model.memory, {len(eyes.backbone.stage_dims): tokens}, pooled)  # type: ignore[arg-type]
    return take_lessons(
        model,
        streams,
        deviations=(tokens.std(dim=(0, 1, 2, 3)), pooled.std(dim=0)),
        curriculum=curriculum or curriculum_of(task.name),
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


def _examples(task: Task, eyes: StreamClassifier, bank: FamilyBank, *, seed: int) -> SeenStreams:
    """Some streams, for the spread of what is seen."""
    random = np.random.default_rng([seed, 26, int(task.name[1:])])
    drawn = [task.draw(16, random, gap=5.0) for _ in range(OPTIONS.rows)]
    return streams_from(bank, eyes, drawn, random)
