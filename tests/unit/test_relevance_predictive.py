"""Predictive coding: errors count by what was usual before, never by themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vigilia.errors import InputError, OptionError
from vigilia.relevance import (
    Alarm,
    TokenPredictor,
    alarms,
    attention_prior,
    places_of,
    prediction_loss,
    surprise_of,
)
from vigilia.relevance.predictive import Prediction
from vigilia.state import reset


def run(tokens: Tensor, predictor: TokenPredictor | None = None) -> list[Prediction]:
    """tokens: (S, B, N, D); a clip every 2 s."""
    predictor = predictor or TokenPredictor(tokens.shape[3])
    state = predictor.init_state(*tokens.shape[1:3])
    found = []
    for index, now in enumerate(tokens):
        seconds = torch.full((len(now),), 2.0 * (index + 1), dtype=torch.float64)
        one, state = predictor(now, state, seconds=seconds)
        found.append(one)
    return found


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_fresh_predictor_expects_what_it_sees() -> None:
    tokens = noise(3, 2, 4, 5)
    first, second, _ = run(tokens)
    assert torch.equal(first.error, torch.zeros_like(first.error))
    assert torch.equal(second.error, tokens[1] - tokens[0])


def test_surprise_is_about_one_when_all_is_as_usual_whatever_the_scale() -> None:
    for scale in (0.01, 1.0, 100.0):
        found = run(scale * noise(80, 1, 3, 16))
        late = torch.stack([one.surprise for one in found[20:]])
        assert float(late.mean()) == pytest.approx(1.0, abs=0.15)


def test_twice_the_surprise_weighs_four_times_as_much_never_half() -> None:
    # The survey's formula divides by the variance of the present error, and so is upside down.
    past = noise(40, 1, 1, 64)
    for factor in (1.0, 2.0, 4.0, 8.0):
        last = past[-1:] + factor * noise(1, 1, 1, 64, seed=1)
        surprise = float(run(torch.cat([past, last]))[-1].surprise)
        plain = float(run(torch.cat([past, past[-1:] + noise(1, 1, 1, 64, seed=1)]))[-1].surprise)
        assert surprise == pytest.approx(factor**2 * plain, rel=1e-4)


def test_precision_comes_from_earlier_errors_alone() -> None:
    tokens = noise(10, 1, 2, 3)
    other = tokens.clone()
    other[-1] += 50
    assert torch.equal(run(tokens)[-1].precision, run(other)[-1].precision)
    assert not torch.equal(run(tokens)[-1].surprise, run(other)[-1].surprise)


def test_a_place_that_always_errs_surprises_less_than_a_reliable_one() -> None:
    scales = torch.tensor([10.0, 0.1]).view(1, 1, 2, 1)
    tokens = scales * noise(60, 1, 2, 8)
    tokens[-1] = tokens[-2] + 5.0
    places = run(tokens)[-1].places[0]
    assert places[0] < 1.5
    assert places[1] > 100


def test_the_first_two_clips_surprise_nobody_and_a_reset_row_begins_anew() -> None:
    tokens = noise(6, 2, 1, 4)
    assert [float(one.surprise.abs().sum()) > 0 for one in run(tokens)] == 2 * [False] + 4 * [True]
    predictor = TokenPredictor(4)
    state = predictor.init_state(2, 1)
    for now in tokens:
        seconds = state.seconds + 2
        _, state = predictor(now, state, seconds=seconds)
    state = reset(state, [True, False])
    one, _ = predictor(tokens[0], state, seconds=state.seconds + 2)
    assert one.surprise[0] == 0
    assert one.surprise[1] > 0


def test_usual_is_forgotten_with_its_half_life_in_seconds() -> None:
    quiet, loud = 0.1 * noise(100, 1, 1, 32), 3 * noise(100, 1, 1, 32, seed=1)
    tokens = torch.cat([quiet, loud])
    short = run(tokens, TokenPredictor(32, half_life_seconds=10))
    long = run(tokens, TokenPredictor(32, half_life_seconds=1000))
    assert float(short[150].surprise) < 2
    assert float(long[150].surprise) > 1.5 * float(short[150].surprise)


def test_a_trained_predictor_is_surprised_less_and_hears_memory() -> None:
    # What comes next is what memory says, not what was seen.
    memory = noise(64, 6)
    mix = noise(6, 4, seed=2)
    seen, following = noise(64, 1, 4, seed=3), (memory @ mix)[:, None]
    torch.manual_seed(0)
    predictor = TokenPredictor(4, memory_dim=6, hidden=32)
    optimiser = torch.optim.Adam(predictor.parameters(), lr=0.05)
    losses = []
    for _ in range(50):
        error = following - predictor.predict(seen, memory)
        loss = prediction_loss(
            Prediction(error, torch.ones_like(error), error.new_zeros(64), error.new_zeros(64, 1))
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.2 * losses[0]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in predictor.parameters())
    with pytest.raises(InputError, match="memory is needed"):
        predictor.predict(seen)


def test_the_target_gets_no_gradient_and_the_prediction_does() -> None:
    predictor = TokenPredictor(3)
    state = predictor.init_state(1, 1)
    tokens = noise(4, 1, 1, 3).requires_grad_()
    for index, now in enumerate(tokens):
        seconds = torch.tensor([2.0 * (index + 1)], dtype=torch.float64)
        one, state = predictor(now, state, seconds=seconds)
    prediction_loss(one).backward()
    assert tokens.grad is not None
    assert tokens.grad[-1].abs().sum() == 0
    assert tokens.grad[-2].abs().sum() > 0


def test_a_place_that_surprises_four_times_as_much_gets_four_times_the_attention() -> None:
    bias = attention_prior(torch.tensor([[1.0, 4.0, 0.0]]))
    assert bias.shape == (1, 1, 1, 3)
    weights = bias.softmax(dim=3)[0, 0, 0]
    assert float(weights[1] / weights[0]) == pytest.approx(4.0)
    assert float(weights[2] / weights[0]) == pytest.approx(1.0)  # of what is unknown, nothing
    assert float(attention_prior(torch.tensor([[1e9]]))) == 4.0
    assert torch.equal(attention_prior(torch.rand(2, 3), strength=0), torch.zeros(2, 1, 1, 3))


def test_tokens_are_averaged_over_time_place_by_place() -> None:
    tokens = noise(2, 4, 3, 5, 6)
    places = places_of(tokens)
    assert places.shape == (2, 15, 6)
    assert torch.allclose(places[1, 7], tokens[1, :, 1, 2].mean(dim=0))


def test_the_curve_of_a_recording_peaks_where_something_happens_and_looks_at_no_future() -> None:
    pooled = noise(100, 32)
    pooled[60] += 6
    ends = 2.0 * np.arange(1, 101)
    curve = surprise_of(pooled, ends)
    assert curve.shape == (100,)
    assert int(curve.argmax()) in (60, 61)
    assert np.allclose(curve[:50], surprise_of(pooled[:50], ends[:50]))
    with pytest.raises(InputError, match="pooled"):
        surprise_of(pooled, ends[:-1])


def test_surprise_of_1_9_3_1_1_is_one_alarm_of_two_clips() -> None:
    surprise = np.array([1.0, 9.0, 3.0, 1.0, 1.0])
    starts = 2.0 * np.arange(5)
    assert alarms(starts, starts + 2, surprise) == (Alarm(2.0, 6.0, 9.0),)
    assert alarms(starts, starts + 2, surprise, threshold=10) == ()
    assert alarms(starts, starts + 2, surprise, release=4) == (Alarm(2.0, 4.0, 9.0),)


def test_alarms_that_follow_within_the_hold_are_one() -> None:
    surprise = np.array([9.0, 1.0, 8.0, 1.0, 1.0, 7.0])
    starts = np.arange(6.0)
    assert len(alarms(starts, starts + 1, surprise)) == 3
    found = alarms(starts, starts + 1, surprise, hold_seconds=1.0)
    assert found == (Alarm(0.0, 3.0, 9.0), Alarm(5.0, 6.0, 7.0))


def test_what_cannot_work_is_told() -> None:
    one = np.zeros(1)
    for options in ({"release": 7.0}, {"release": 0.0}, {"hold_seconds": -1.0}):
        with pytest.raises(OptionError):
            alarms(one, one, one, **options)
    with pytest.raises(InputError, match="one length"):
        alarms(one, one, np.zeros(2))
    with pytest.raises(OptionError, match="half_life"):
        TokenPredictor(3, half_life_seconds=0)
    predictor = TokenPredictor(3)
    with pytest.raises(InputError, match=r"\(1, 2, 3\)"):
        predictor(
            torch.zeros(1, 1, 3),
            predictor.init_state(1, 2),
            seconds=torch.zeros(1, dtype=torch.float64),
        )
