"""One cell of the benchmark's table: one memory learns one task from one seed, and is tested.

Letters: N streams, S clips, B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from vigilia.backbones import Conv3D
from vigilia.backbones.conv3d import ConvStage
from vigilia.bench.bank import Bank, compose
from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import make_model
from vigilia.bench.lessons import (
    OPTIONS,
    Lesson,
    StepSeen,
    carried_share,
    curriculum_of,
    take_lessons,
)
from vigilia.bench.seen import SeenStreams, see_streams, step_seen
from vigilia.bench.streams import Stream, Task
from vigilia.state import State, map_tensors
from vigilia.stream import StreamClassifier
from vigilia.training.entrance import standardise_entrance

__all__ = ["EXAM", "Exam", "Lesson", "answers", "exam", "learn", "learn_from"]


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


def exam(
    task: Task,
    eyes: StreamClassifier,
    *,
    seed: int,
    size: Exam = EXAM,
    see: Callable[[StreamClassifier, Sequence[Stream], Sequence[int]], SeenStreams] = see_streams,
) -> SeenStreams:
    """The test streams of a task and seed, rendered whole, as `see` has the eyes see them.

    They come in twins with their answers exchanged: dozens of cues are few, and without it who
    always says the same may be right more or less often than chance.
    """
    random = np.random.default_rng([seed, 23, int(task.name[1:])])
    streams: list[Stream] = []
    while len(streams) < size.streams:
        streams += task.twins(task.draw(size.clips, random))
    streams = streams[: size.streams]
    return see(eyes, streams, [int(s) for s in random.integers(2**31, size=len(streams))])


def learn(
    task: Task,
    contender: Contender,
    eyes: StreamClassifier,
    bank: Bank,
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
        bank: of the task, filled by the same eyes.
        seed: of weights and streams; every contender gets the same streams.
        curriculum: the lessons, in turn; None for the task's own.
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
        curriculum=curriculum or curriculum_of(task.name),
        carried=carried_share(task),
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
    carried: float = 0.0,
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
        carried: as in `take_lessons`.
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
    return take_lessons(
        model,
        streams,
        deviations=deviations,
        curriculum=curriculum,
        carried=carried,
        passing=np.random.default_rng([seed, 26]),
        detached=contender.detached,
        told=f"{contender.name} in {name}, seed {seed},",
        on_update=on_update,
    )


@torch.inference_mode()
def answers(
    model: StreamClassifier,
    seen: SeenStreams,
    *,
    foreign: bool = False,
    step: StepSeen = step_seen,
) -> np.ndarray:
    """The model's answer to every clip of every stream, streaming. (N, S) int64.

    Args:
        model: in evaluation mode.
        seen: N streams, the rows of the batch.
        foreign: each answer is given from the memory of the stream before it, which that stream
            goes on filling: a control that must fail.
        step: how the model goes over a clip that was seen.
    """
    state = model.init_state(len(seen))
    said = []
    for clip in range(seen.labels.shape[1]):
        logits, following = step(model, seen, clip, state)
        if foreign:
            other: State = map_tensors(lambda x: x.roll(1, dims=0), state)
            logits, _ = step(model, seen, clip, other)  # type: ignore[arg-type]
        state = following
        said.append(logits.argmax(dim=1))
    return torch.stack(said, dim=1).numpy()
