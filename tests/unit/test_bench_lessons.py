"""Lessons: no stream is too long, and most begin with what another stream left in memory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from vigilia.bench import TASKS
from vigilia.bench.eyes import make_model
from vigilia.bench.lessons import OPTIONS, Lesson, carried_share, curriculum_of, take_lessons
from vigilia.bench.seen import SeenStreams, step_seen
from vigilia.stream import StreamClassifier, StreamState

UPDATES = 4
CLIPS = 3


def begun_with(carried: float) -> tuple[Tensor, Tensor]:
    """Clips and seconds (updates, B) that the state of each row had when a stretch began."""
    torch.manual_seed(0)
    model = make_model(("a", "b"), "gru", {"hidden": 8})
    model.backbone.requires_grad_(False)
    clips, seconds = [], []

    def step(
        model: StreamClassifier, seen: SeenStreams, clip: int, state: StreamState
    ) -> tuple[Tensor, StreamState]:
        if clip == 0:
            clips.append(state.clips.clone())
            seconds.append(state.seconds.clone())
        return step_seen(model, seen, clip, state)

    def streams(lesson: Lesson) -> SeenStreams:
        rows = OPTIONS.rows
        return SeenStreams(
            streams=(),
            tokens=torch.randn(rows, lesson.clips, 1, 1, 1, model.backbone.stage_dims[-1]),
            pooled=torch.randn(rows, lesson.clips, sum(model.backbone.stage_dims[:-1])),
            labels=torch.randint(2, (rows, lesson.clips)),
        )

    take_lessons(
        model,
        streams,
        deviations=(torch.ones(()), torch.ones(())),
        curriculum=(Lesson(clips=CLIPS, gap=2.0, updates=UPDATES),),
        carried=carried,
        passing=np.random.default_rng(0),
        told="a test",
        step=step,
    )
    return torch.stack(clips), torch.stack(seconds)


def test_memory_is_carried_from_stream_to_stream() -> None:
    clips, seconds = begun_with(1.0)
    before = torch.arange(UPDATES)[:, None] * CLIPS
    assert torch.equal(clips, before.expand_as(clips))
    assert torch.equal(seconds, 2.0 * before.expand_as(clips))


def test_nothing_is_carried_where_it_would_mislead() -> None:
    clips, seconds = begun_with(0.0)
    assert not clips.any()
    assert not seconds.any()


def test_a_share_of_the_rows_begins_empty_each_by_itself() -> None:
    clips, _ = begun_with(0.5)
    for before, now in itertools.pairwise(clips):
        assert bool(((now == before + CLIPS) | (now == 0)).all())
        assert 0 < int((now == 0).sum()) < OPTIONS.rows


@pytest.mark.parametrize("name", TASKS)
def test_no_lesson_is_longer_than_64_clips_and_in_the_last_something_is_asked(name: str) -> None:
    lessons = curriculum_of(name)
    assert max(lesson.clips for lesson in lessons) == 64
    last = TASKS[name].draw(64, np.random.default_rng(0), gap=lessons[-1].gap)
    assert last.scored.any()


def test_only_where_all_that_was_counts_no_memory_of_others_is_carried() -> None:
    assert [name for name, task in TASKS.items() if carried_share(task) == 0] == [
        "T4",
        "T8",
    ]
