"""The learned gate: evidence adds up, gradient passes, the budget is kept."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import Tensor

from vigilia.errors import InputError, OptionError
from vigilia.relevance import (
    ChangeState,
    GateOptions,
    LearnedGate,
    after_hole,
    change_features,
    decide,
    decide_learned,
    end_clip,
    gated,
    init_change,
    init_gate,
    train_gate,
    watch,
    watch_change,
)
from vigilia.relevance.change import FEATURES

OPTIONS = GateOptions()


def test_increments_of_a_fifth_step_every_third_clip() -> None:
    steps, _ = gated(torch.full((1, 10), 0.2), torch.rand(1, 10, 2))
    assert steps[0].tolist() == [1, 0, 0, 1, 0, 0, 1, 0, 0, 1]


def test_a_skipped_clip_shows_the_last_result_again() -> None:
    results = torch.arange(5.0).view(1, 5, 1)
    increments = torch.tensor([[0.0, 0.0, 1.0, 0.1, 0.3]])
    steps, shown = gated(increments, results)
    assert steps[0].tolist() == [1, 0, 1, 0, 0]
    assert shown[0, :, 0].tolist() == [0, 0, 2, 2, 2]
    with pytest.raises(InputError, match=r"\(1, 5\)"):
        gated(increments[:, :4], results)


def test_gradient_reaches_the_increments_of_skipped_clips() -> None:
    increments = torch.full((1, 4), 0.2, requires_grad=True)
    results = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 4, 1)
    _, shown = gated(increments, results)
    shown.sum().backward()
    assert increments.grad is not None
    assert (increments.grad[0, 1:] != 0).all()


def world(recordings: int, clips: int, seed: int) -> tuple[Tensor, Tensor]:
    """Features, and results that change exactly where feature 3 is high; the others mislead."""
    random = np.random.default_rng(seed)
    features = random.random((recordings, clips, FEATURES)).astype(np.float32)
    happens = random.random((recordings, clips)) < 0.12
    features[..., 3] = np.where(happens, 2.0, 0.2) + 0.1 * random.random((recordings, clips))
    state = np.cumsum(happens, axis=1) % 3
    return torch.from_numpy(features), torch.from_numpy(0.9 * np.eye(3)[state] + 0.1 / 3).float()


@functools.cache
def trained(budget: float) -> tuple[LearnedGate, list[float]]:
    torch.manual_seed(0)
    gate = LearnedGate()
    shares: list[float] = []
    train_gate(
        gate,
        *world(24, 20, 0),
        budget=budget,
        updates=100,
        learning_rate=0.03,
        on_update=lambda *told: shares.append(told[2]),
    )
    return gate, shares


def test_it_learns_which_changes_matter_within_its_budget_and_keeps_the_results() -> None:
    gate, shares = trained(0.2)
    features, results = world(16, 60, 1)
    with torch.no_grad():
        steps, shown = gated(gate(features), results)
        even = torch.zeros(16, 60)
        even[:, ::5] = 1.0
        _, spread = gated(even, results)
    right = float((shown.argmax(2) == results.argmax(2)).float().mean())
    blind = float((spread.argmax(2) == results.argmax(2)).float().mean())
    assert float(steps.mean()) < 0.23
    assert right > 0.95
    assert right > blind + 0.1
    assert abs(shares[-1] - shares[0]) > 0.05 or shares[0] < 0.2


def test_a_smaller_budget_means_fewer_steps() -> None:
    features, results = world(8, 60, 2)
    shares = []
    for budget in (0.05, 0.5):
        gate, _ = trained(budget)
        with torch.no_grad():
            shares.append(float(gated(gate(features), results)[0].mean()))
    assert shares[0] < 0.09
    assert shares[0] < shares[1]


def test_what_it_was_not_trained_on_it_does_not_know() -> None:
    gate, _ = trained(0.2)
    features, _ = world(1, 5, 3)
    usual = features[0, 1]
    assert gate.knows(usual)
    assert not gate.knows(usual + 5)
    assert not LearnedGate().knows(usual)
    with pytest.raises(OptionError, match="budget"):
        train_gate(LearnedGate(), *world(1, 3, 0), budget=0.0)
    with pytest.raises(InputError, match="features"):
        train_gate(LearnedGate(), torch.zeros(1, 3, 2), torch.ones(1, 3, 2), budget=0.5)


def filmed(frames: int, moving: range, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    still = random.uniform(60, 180, (56, 56, 3))
    pictures = np.repeat(still[None], frames, axis=0)
    for index in moving:
        where = (index - moving.start) * 2 % 40
        pictures[index, where : where + 8, 20:28] += 60
    return (pictures + random.normal(0, 2, pictures.shape)).clip(0, 255).astype(np.uint8)


def walk(
    frames: np.ndarray, gate: LearnedGate | None, stride: int = 4
) -> tuple[str, list[np.ndarray]]:
    """Letters s and k for clips of 8 frames, and the features of each."""
    state, letters, features = init_change(), "", []
    for index, pixels in enumerate(frames, start=1):
        state = watch_change(state, pixels, clip_frames=8, options=OPTIONS)
        if index % stride == 0:
            features.append(change_features(state))
            state, step = decide_learned(
                state, gate, clip_frames=8, end_seconds=index / 4, options=OPTIONS
            )
            letters += "s" if step else "k"
    return letters, features


def test_features_tell_movement_from_noise_and_are_in_units_of_the_noise() -> None:
    _, features = walk(filmed(80, range(40, 60)), None)
    quiet, moved = np.stack(features[2:9]), np.stack(features[10:15])
    assert features[0].shape == (FEATURES,)
    assert features[0].dtype == np.float32
    assert moved[:, 0].min() > quiet[:, 0].max() + 1
    assert abs(float(np.median(quiet[:, 3])) - np.log1p(0.67)) < 0.2  # the median, in deviations


def test_without_a_trained_gate_the_noise_gate_decides() -> None:
    frames = filmed(120, range(40, 52))
    state, letters = init_gate(), ""
    for index, pixels in enumerate(frames, start=1):
        state = watch(state, pixels, clip_frames=8, options=OPTIONS)
        if index % 4 == 0:
            state, step = decide(state, clip_frames=8, end_seconds=index / 4, options=OPTIONS)
            letters += "s" if step else "k"
    assert "k" in letters
    assert walk(frames, None)[0] == letters
    assert walk(frames, LearnedGate())[0] == letters  # knows nothing yet


def steady(increment: float) -> LearnedGate:
    """A gate that knows everything and always says the same."""
    gate = LearnedGate()
    gate.low.fill_(-100)
    gate.high.fill_(100)
    with torch.no_grad():
        for parameter in gate.layers[2].parameters():  # type: ignore[union-attr]
            parameter.zero_()
        gate.layers[2].bias.fill_(1 + float(np.log(np.expm1(increment))))  # type: ignore[union-attr]
    return gate


def test_a_trained_gate_decides_from_the_second_clip_on_and_a_refresh_is_due() -> None:
    frames = filmed(400, range(0))
    assert walk(frames, steady(0.2))[0][:10] == "skkskkskks"
    seldom = walk(frames, steady(1e-6))[0]
    assert seldom == "s" + 60 * "k" + "s" + 38 * "k"  # a minute, in steps of a second


def test_after_a_hole_the_next_clip_is_stepped_and_the_noise_is_known() -> None:
    state: ChangeState = init_change()
    for pixels in filmed(20, range(0)):
        state = watch_change(state, pixels, clip_frames=8, options=OPTIONS)
    state = end_clip(state)
    fresh = after_hole(state)
    assert fresh.gate.noise_levels == state.gate.noise_levels > 0
    fresh = watch_change(fresh, filmed(1, range(0))[0], clip_frames=8, options=OPTIONS)
    _, step = decide_learned(fresh, steady(1e-6), clip_frames=8, end_seconds=100.0, options=OPTIONS)
    assert step
