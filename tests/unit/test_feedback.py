"""The feedback tier: bounded without end, started by a learned prompt, slow and fast channels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vigilia.memory.feedback import FeedbackTier, retained_share


class Tier(FeedbackTier):
    """Hears a part of the clip's own mean, where a backbone would give its pooled summary."""

    def forward(  # type: ignore[override]
        self, tokens: Tensor, x: Tensor, first: Tensor, summary: Tensor | None = None
    ) -> Tensor:
        heard = x.mean(dim=1)[:, :8] if summary is None else summary
        return super().forward(tokens, x, heard, first)


def tier(dim: int = 16, tokens: int = 3) -> Tier:
    return Tier(dim, tokens=tokens, heads=2, embedding_dim=8, hidden=6)


YES, NO = torch.tensor([True, True]), torch.tensor([False, False])


# A normalised token's greatest possible feature: the rest of the length is in one channel.
GREATEST = math.sqrt(16 - 1)


@torch.no_grad()
@pytest.mark.parametrize("loudness", [1.0, 100.0])
def test_tokens_do_not_grow_over_two_thousand_clips(loudness: float) -> None:
    feedback = tier()
    tokens, norms = torch.zeros(1, 3, 16), []
    for step in range(2000):
        x = loudness * torch.randn(1, 4, 16)
        tokens = feedback(tokens, x, torch.tensor([step == 0]))
        norms.append(tokens.norm().item())
    assert max(norms[1000:]) < 1.2 * max(norms[:1000])
    assert max(norms) < 1.5 * math.sqrt(tokens.numel())


@torch.no_grad()
def test_tokens_stay_bounded_whatever_the_other_weights() -> None:
    feedback = tier()
    for name, parameter in feedback.named_parameters():
        if not name.startswith("norm_next"):
            parameter.normal_(std=2.0)
    tokens = torch.zeros(1, 3, 16)
    for step in range(300):
        tokens = feedback(tokens, 10 * torch.randn(1, 4, 16), torch.tensor([step == 0]))
        assert tokens.abs().max() <= GREATEST + 1e-3


def test_the_first_step_does_not_look_at_the_tokens() -> None:
    feedback, x = tier(), torch.randn(2, 5, 16)
    expected = feedback(torch.zeros(2, 3, 16), x, YES)
    for _ in range(5):
        assert torch.equal(feedback(1e6 * torch.randn(2, 3, 16), x, YES), expected)


@torch.no_grad()
def test_without_anything_heard_the_first_tokens_are_empty_and_later_ones_stay() -> None:
    feedback, tokens = tier(), torch.randn(2, 3, 16)
    assert feedback.hear_apart is not None
    last = feedback.feed_forward[-1], feedback.hear_apart[-1]
    for layer in (feedback.output, feedback.hear_summary, *last):
        layer.weight.zero_()  # type: ignore[union-attr,operator]
        layer.bias.zero_()  # type: ignore[union-attr,operator]
    feedback.retention.bias.fill_(-50.0)  # retain nothing
    x = torch.randn(2, 5, 16)
    assert torch.equal(feedback(tokens, x, YES), torch.zeros(2, 3, 16))
    later = feedback(tokens, x, NO)
    assert torch.allclose(later, feedback.norm_next(tokens), atol=1e-5)


def test_the_first_step_retains_nothing() -> None:
    feedback, x = tier(), torch.randn(2, 5, 16)
    expected = feedback(torch.zeros(2, 3, 16), x, YES)
    with torch.no_grad():
        feedback.retention.bias.fill_(50.0)  # hold everything
    assert torch.equal(feedback(torch.zeros(2, 3, 16), x, YES), expected)
    tokens = torch.randn(2, 3, 16)
    assert torch.allclose(feedback(tokens, x, NO), tokens, atol=1e-5)


def test_each_row_starts_when_its_own_turn_comes() -> None:
    feedback, x, tokens = tier(), torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    mixed = feedback(tokens, x, torch.tensor([True, False]))
    assert torch.equal(mixed[0], feedback(tokens, x, YES)[0])
    assert torch.equal(mixed[1], feedback(tokens, x, NO)[1])
    assert not torch.allclose(mixed[1], feedback(tokens, x, YES)[1], atol=1e-3)


def test_later_steps_depend_on_the_tokens_and_on_the_clip() -> None:
    feedback, x, tokens = tier(), torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    base = feedback(tokens, x, NO)
    assert not torch.allclose(base, feedback(tokens + 0.5, x + torch.randn_like(x), NO), atol=1e-3)
    assert not torch.allclose(base, feedback(tokens, torch.randn_like(x), NO), atol=1e-4)


def gradients(feedback: FeedbackTier, steps: int) -> dict[str, Tensor]:
    tokens = torch.zeros(2, 3, 16)
    for step in range(steps):
        tokens = feedback(tokens, torch.randn(2, 5, 16), YES if step == 0 else NO)
    (tokens * torch.randn_like(tokens)).sum().backward()
    return {
        name: parameter.grad
        for name, parameter in feedback.named_parameters()
        if parameter.grad is not None
    }


def test_the_learned_prompt_gets_a_gradient_from_the_first_clip_on() -> None:
    for steps in (1, 2, 6):
        assert gradients(tier(), steps)["start"].abs().max() > 0


def test_every_parameter_gets_a_gradient_from_two_clips_on() -> None:
    feedback = tier()
    found = gradients(feedback, 2)
    for name, parameter in feedback.named_parameters():
        assert name in found
        assert found[name].abs().max() > 0, name
        assert found[name].shape == parameter.shape


def test_retention_starts_spread_evenly_on_a_log_scale() -> None:
    feedback = FeedbackTier(10, tokens=2, heads=2, embedding_dim=8, hidden=0, longest_clips=512)
    share = retained_share(feedback.retention.bias.double())
    # A retention of r fades with a time constant of 1 / (1 - r) clips.
    expected = torch.tensor([2.0**k for k in range(10)], dtype=torch.float64)  # 1, 2, 4 ... 512
    assert torch.allclose(1 / (1 - share), expected, rtol=1e-3)
    assert share.max() < 1  # so that gradient reaches every channel


@torch.no_grad()
def test_slow_channels_hold_what_fast_channels_forget() -> None:
    torch.manual_seed(0)
    feedback = Tier(64, tokens=3, heads=2, embedding_dim=8, hidden=0, longest_clips=512)
    start = tokens = torch.randn(8, 3, 64)
    for _ in range(50):
        tokens = feedback(tokens, torch.randn(8, 5, 64), torch.zeros(8, dtype=torch.bool))
    drift = (tokens - start).abs().mean(dim=(0, 1))
    assert drift[-8:].mean() < 0.3 * drift[:16].mean()


def test_the_summary_is_heard() -> None:
    feedback, x, tokens = tier(), torch.randn(2, 5, 16), torch.randn(2, 3, 16)
    silent, loud = torch.zeros(2, 8), torch.randn(2, 8)
    assert not torch.allclose(feedback(tokens, x, NO, silent), feedback(tokens, x, NO, loud))


def test_the_retained_share_is_a_sigmoid_that_reaches_both_ends() -> None:
    x = torch.linspace(-6, 6, 241)
    share = retained_share(x)
    assert share[0] == 0
    assert share[-1] == 1
    assert (share.diff() >= 0).all()
    assert retained_share(torch.tensor(0.0)) == 0.5
    assert retained_share(torch.tensor(math.log(3.0))) == pytest.approx(0.8)  # 1.2 * 0.75 - 0.1


@torch.no_grad()
def test_what_is_fully_retained_is_the_same_bit_for_bit_after_a_thousand_noisy_clips() -> None:
    feedback, tokens = tier(), torch.randn(2, 3, 16)
    feedback.retention.weight.zero_()
    feedback.retention.bias.fill_(2.5)
    held = tokens
    for _ in range(1000):
        held = feedback(held, torch.randn(2, 5, 16), NO)
    assert torch.equal(held, tokens)
