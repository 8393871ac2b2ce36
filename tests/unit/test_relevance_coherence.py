"""Coherence and slow features: what they are on paper, and that they do not collapse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vigilia.errors import InputError
from vigilia.relevance import coherence_loss, joined_by_change, slow_feature_loss
from vigilia.relevance.coherence import (
    correlation_penalty,
    covariance_penalty,
    mean_step,
    spread_penalty,
)


def single(*values: float) -> Tensor:
    return torch.tensor(values).view(1, -1, 1)


def test_steps_of_0_1_3_are_1_and_4() -> None:
    x = single(0.0, 1.0, 3.0)
    assert float(mean_step(x)) == 2.5
    assert float(mean_step(x, torch.tensor([[1.0, 0.0]]))) == 1.0
    assert float(mean_step(x, torch.tensor([[0.0, 0.0]]))) == 0.0
    assert float(mean_step(x[:, :1])) == 0.0


def test_features_that_vary_enough_are_not_penalised_and_constant_ones_fully_are() -> None:
    wide = single(-2.0, 2.0, -2.0, 2.0)
    assert float(spread_penalty(wide)) == 0.0
    assert float(spread_penalty(torch.zeros(1, 4, 1))) == pytest.approx(1.0, abs=2e-3)
    assert float(spread_penalty(wide / 4)) == pytest.approx(0.5, abs=1e-3)


def test_copies_are_penalised_and_independent_features_are_not() -> None:
    a, b = single(1.0, 1.0, -1.0, -1.0), single(1.0, -1.0, 1.0, -1.0)
    assert float(covariance_penalty(torch.cat([a, b], dim=2))) == 0.0
    # Each of the two entries beside the diagonal is 1; together 2, divided by D = 2.
    assert float(covariance_penalty(torch.cat([a, a], dim=2))) == pytest.approx(1.0)
    assert float(correlation_penalty(torch.cat([a, 5 * a], dim=2))) == pytest.approx(1.0, abs=1e-4)


def test_white_noise_has_a_slowness_of_2_whatever_its_scale() -> None:
    x = torch.randn(4, 5000, 3, generator=torch.Generator().manual_seed(0))
    for scale in (0.1, 1.0, 30.0):
        plain = slow_feature_loss(scale * x, variance=0, correlation=0)
        assert float(plain) == pytest.approx(2.0, rel=0.03)


def test_steps_count_less_where_the_picture_changes_more() -> None:
    seen = torch.tensor([0.0, 0.1, 0.2, 5.0, 5.1]).view(1, 5, 1)
    joined = joined_by_change(seen)
    assert joined.shape == (1, 4)
    assert joined[0, 2] < 1e-6
    assert joined[0, [0, 1, 3]] == pytest.approx(np.exp(-1), rel=0.1)
    assert not joined_by_change(seen.requires_grad_()).requires_grad


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(InputError, match=r"\(B, S, D\)"):
        coherence_loss(torch.zeros(3, 4))
    with pytest.raises(InputError, match=r"\(B, S - 1\) = \(2, 3\)"):
        coherence_loss(torch.zeros(2, 4, 5), torch.ones(2, 4))


def slow_in_noise(seed: int = 0) -> tuple[Tensor, Tensor]:
    """A slow signal (4, 90) and what is seen of it: mixtures with quick ones, six features."""
    random = np.random.default_rng(seed)
    times = np.arange(360)
    slow = 2**0.5 * np.sin(2 * np.pi * times / 15)
    quick = random.normal(size=(360, 5))
    turned = np.linalg.qr(random.normal(size=(6, 6)))[0]
    mixed = np.concatenate([slow[:, None], quick], axis=1) @ turned
    streams = (torch.from_numpy(slow).view(4, 90), torch.from_numpy(mixed).view(4, 90, 6))
    return streams[0].float(), streams[1].float()


def learned(loss: str, **weights: float) -> tuple[Tensor, Tensor]:
    """Two features learned by the loss alone, (4, 90, 2), and the slow signal beneath."""
    slow, seen = slow_in_noise()
    torch.manual_seed(0)
    net = nn.Linear(6, 2)
    optimiser = torch.optim.Adam(net.parameters(), lr=0.05)
    asked = {"coherence": coherence_loss, "slow": slow_feature_loss}[loss]
    for _ in range(250):
        total = asked(net(seen), **weights)
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
    return net(seen).detach(), slow


def correlation(a: Tensor, b: Tensor) -> float:
    return abs(float(np.corrcoef(a.flatten().numpy(), b.flatten().numpy())[0, 1]))


def explained(signal: Tensor, x: Tensor) -> float:
    """How much of the signal's variance a sum of the features explains: they may be turned."""
    a = x.flatten(0, 1).double()
    a = a - a.mean(dim=0)
    b = signal.flatten().double()[:, None]
    left = b - a @ torch.linalg.lstsq(a, b).solution
    return 1 - float(left.var() / b.var())


def test_smoothness_alone_collapses_to_a_constant() -> None:
    x, _ = learned("coherence", variance=0.0, covariance=0.0)
    assert float(x.flatten(0, 1).std(dim=0).max()) < 0.01


def test_with_its_terms_coherence_finds_the_slow_signal_and_keeps_varying() -> None:
    x, slow = learned("coherence", variance=4.0, covariance=4.0)
    deviations = x.flatten(0, 1).std(dim=0)
    assert float(deviations.min()) > 0.3
    assert correlation(x[..., 0], x[..., 1]) < 0.3
    assert explained(slow, x) > 0.85


def test_slowness_without_decorrelation_learns_the_same_feature_twice() -> None:
    x, slow = learned("slow", correlation=0.0)
    assert correlation(x[..., 0], x[..., 1]) > 0.98
    assert correlation(x[..., 0], slow) > 0.98


def test_with_decorrelation_the_second_feature_is_another_one() -> None:
    x, slow = learned("slow", correlation=4.0)
    assert correlation(x[..., 0], x[..., 1]) < 0.3
    assert float(x.flatten(0, 1).std(dim=0).min()) > 0.9
    assert explained(slow, x) > 0.85
