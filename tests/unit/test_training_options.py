"""Options and the course they make: what is refused, and what a curriculum means."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.training.options import TrainOptions
from vigilia.training.schedule import (
    Moment,
    best_score,
    chunk_clips_at,
    has_stalled,
    make_schedule,
)


@pytest.mark.parametrize(
    "option",
    [
        {"accumulate": 0},
        {"accumulate": 3},
        {"burn_in_clips": -1},
        {"curriculum": (4, 0)},
        {"epochs": 2, "curriculum": (2, 4, 8)},
        {"carry_probability": 0.0, "burn_in_clips": 8},
        {"carry_probability": 0.0, "burn_in_clips": 2, "curriculum": (2, 8)},
        {"precision": "16"},
        {"metric": "f1"},
        {"balanced_sampling": 1.5},
        {"mixup": -1},
        {"cutmix": float("inf")},
        {"mix_probability": 2},
        {"tube_mask": 1.0},
        {"frame_drop": 1.0},
        {"temporal_jitter": -1},
        {"frozen_stages": -1},
        {"backbone_rate": -0.1},
        {"weight_decay": float("nan")},
        {"patience": -2},
        {"label_smoothing": 1.1},
        {"coherence": -0.1},
        {"slow_features": float("nan")},
    ],
    ids=str,
)
def test_an_option_that_cannot_work_is_one_line_that_names_it(option: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        TrainOptions(**option)
    text = str(caught.value)
    assert any(text.startswith(f"{name} must") for name in option), text
    assert "\n" not in text


def test_new_options_are_off_unless_asked_for() -> None:
    usual = TrainOptions()
    off = [usual.curriculum, usual.curriculum_recent, usual.burn_in_clips, usual.frozen_stages]
    off += [usual.balanced_sampling, usual.checkpoint_activations, usual.temporal_jitter]
    off += [usual.frame_drop, usual.tube_mask, usual.mixup, usual.cutmix, usual.patience]
    off += [usual.coherence, usual.slow_features]
    assert not any(off)
    assert (usual.accumulate, usual.precision, usual.backbone_rate) == (1, "32", 1.0)


def test_options_survive_json() -> None:
    options = TrainOptions(epochs=3, curriculum=(2, 4, 8))
    back = TrainOptions(**json.loads(json.dumps(dataclasses.asdict(options))))
    assert back == options


def test_a_curriculum_by_hand() -> None:
    options = TrainOptions(epochs=6, rows=2, curriculum=(2, 4, 8))
    schedule = make_schedule(64, options)
    assert schedule.chunks == (2, 2, 4, 4, 8, 8)
    # 64 clips over 2 rows and 2, 4, 8 clips: 16, 8, 4 updates an epoch.
    assert schedule.ends == (16, 32, 40, 48, 52, 56)
    assert schedule.total == 56
    assert schedule.at(0) == Moment(0, 2, False, None)
    assert schedule.at(15) == Moment(0, 2, True, None)
    assert schedule.at(16) == Moment(1, 2, False, None)
    assert schedule.at(32) == Moment(2, 4, False, None)
    assert schedule.at(55) == Moment(5, 8, True, None)


def test_only_before_the_last_part_are_old_states_left_out() -> None:
    options = TrainOptions(epochs=3, rows=2, curriculum=(2, 4, 8), curriculum_recent=True)
    schedule = make_schedule(16, options)
    assert [schedule.at(end - 1).reach for end in schedule.ends] == [2, 4, None]


def test_without_a_curriculum_every_epoch_is_alike() -> None:
    schedule = make_schedule(100, TrainOptions(epochs=3, rows=4, chunk_clips=8))
    assert schedule.chunks == (8, 8, 8)
    assert schedule.ends == (3, 6, 9)


def test_an_epoch_has_an_update_however_short_the_recordings_are() -> None:
    assert make_schedule(3, TrainOptions(epochs=2, rows=4, curriculum=(1, 64))).ends == (1, 2)


def test_every_update_of_a_course_lies_in_one_epoch_and_chunks_never_shrink() -> None:
    random = np.random.default_rng(0)
    for _ in range(30):
        parts = tuple(sorted(random.integers(1, 65, size=random.integers(1, 5)).tolist()))
        options = TrainOptions(epochs=int(random.integers(5, 12)), rows=2, curriculum=parts)
        schedule = make_schedule(int(random.integers(1, 3000)), options)
        moments = [schedule.at(update) for update in range(schedule.total)]
        assert sum(moment.ends_epoch for moment in moments) == options.epochs
        assert [moment.epoch for moment in moments] == sorted(moment.epoch for moment in moments)
        clips = [moment.chunk_clips for moment in moments]
        assert clips == sorted(clips)
        assert set(clips) == set(parts)


def test_a_curriculum_over_updates_is_in_equal_parts() -> None:
    options = TrainOptions(curriculum=(8, 16, 32, 64))
    clips = [chunk_clips_at(update, 400, options) for update in range(400)]
    assert [clips.count(length) for length in (8, 16, 32, 64)] == [100] * 4


def history(*scores: float) -> list[dict[str, Any]]:
    return [{"epoch": number, "kappa": score} for number, score in enumerate(scores)]


def test_patience_by_hand() -> None:
    options = TrainOptions(patience=2, metric="kappa")
    assert not has_stalled([], options)
    assert not has_stalled(history(0.5, 0.4), options)
    assert has_stalled(history(0.5, 0.4, 0.5), options)  # as good is not better
    assert not has_stalled(history(0.5, 0.4, 0.6), options)
    assert not has_stalled(history(0.5, 0.4, 0.6, 0.1), options)
    assert has_stalled(history(0.5, 0.4, 0.6, 0.1, 0.2), options)
    assert not has_stalled(history(0.5, 0.4, 0.3, 0.2), TrainOptions(metric="kappa"))
    assert not has_stalled([{"epoch": 0, "loss": 1.0}] * 9, options)


def test_the_best_score_is_that_of_the_chosen_figure() -> None:
    assert best_score(history(0.1, 0.7, 0.3), "kappa") == 0.7
    assert best_score(history(0.1), "accuracy") is None
