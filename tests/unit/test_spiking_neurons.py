"""Neurons: by hand, in every form and chunking, with gradients, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.spiking.neuron_layer import Neurons
from vigilia.spiking.neurons import (
    RESETS,
    check_tau,
    decay_weight,
    lif_sequence,
    lif_step,
    parametric_lif_sequence,
    parametric_lif_step,
)
from vigilia.spiking.sequence import BLOCK
from vigilia.spiking.surrogate import ATAN, SURROGATES, Surrogate, spike

STEPS = 23


def currents(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 1 + 2 * torch.randn(STEPS, *shape, generator=generator)


def by_hand(
    x: Tensor, v: Tensor, tau: float, reset: str, reset_value: float = 0.0
) -> tuple[Tensor, Tensor]:
    """The definition, one neuron and one step at a time, in float64."""
    spikes = torch.zeros_like(x)
    for t in range(len(x)):
        v = v + (x[t] - (v - reset_value)) / tau
        spikes[t] = (v >= 1).to(x.dtype)
        if reset == "hard":
            v = torch.where(spikes[t] > 0, torch.full_like(v, reset_value), v)
        elif reset == "soft":
            v = v - spikes[t]
    return spikes, v


def test_a_literal_neuron_charges_fires_and_resets() -> None:
    # tau 2: 0 -> 0.75 -> 1.125, fires, 0 -> 0.75 -> 0.375
    x = torch.tensor([[1.5], [1.5], [1.5], [0.0]])
    spikes, membrane = lif_sequence(x, torch.zeros(1), tau=2)
    assert spikes.flatten().tolist() == [0, 1, 0, 0]
    assert membrane.item() == 0.375
    spikes, membrane = lif_sequence(x, torch.zeros(1), tau=2, reset="soft")
    assert spikes.flatten().tolist() == [0, 1, 0, 0]
    assert membrane.item() == (0.125 + (1.5 - 0.125) / 2) / 2
    spikes, membrane = lif_sequence(x, torch.zeros(1), tau=2, reset="none")
    assert spikes.flatten().tolist() == [0, 1, 1, 0]
    assert membrane.item() == 1.3125 / 2


def test_a_membrane_that_just_reaches_the_threshold_fires() -> None:
    spikes, _ = lif_step(torch.tensor([2.0, 1.9999]), torch.zeros(2), tau=2.0)
    assert spikes.tolist() == [1, 0]


@pytest.mark.parametrize("tau", [1.1, 2, 43.8])
def test_an_impulse_fades_by_one_minus_one_over_tau_a_step(tau: float) -> None:
    x = torch.zeros(31, 1, dtype=torch.float64)
    x[0] = 0.5
    _, membrane = lif_sequence(x, torch.zeros(1, dtype=torch.float64), tau=tau)
    assert membrane.item() == pytest.approx(0.5 / tau * (1 - 1 / tau) ** 30, rel=1e-9)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("tau", [1.1, 2.0, 7.3])
@pytest.mark.parametrize("reset_value", [0.0, -0.4])
def test_sequences_are_the_definition(reset: str, tau: float, reset_value: float) -> None:
    x, v = currents(5, 7).double(), torch.full((5, 7), reset_value, dtype=torch.float64)
    spikes, membrane = lif_sequence(x, v, tau=tau, reset=reset, reset_value=reset_value)
    expected, last = by_hand(x, v, tau, reset, reset_value)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(membrane, last)
    assert 0.01 < spikes.mean() < 0.99


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("cuts", [(1,) * STEPS, (1, 6, 3, 13), (20, 0, 3)])
@pytest.mark.parametrize("parametric", [False, True])
def test_any_chunking_is_the_same_to_the_bit(
    reset: str, cuts: tuple[int, ...], parametric: bool
) -> None:
    x, start = currents(3, 11), torch.rand(3, 11)
    weight = torch.tensor(decay_weight(3.3))

    def play(part: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if parametric:
            return parametric_lif_sequence(part, v, weight, reset=reset)
        return lif_sequence(part, v, tau=3.3, reset=reset)

    whole, last = play(x, start)
    v, parts = start, []
    for part in x.split(list(cuts)):
        spikes, v = play(part, v)
        parts.append(spikes)
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(v, last)


def test_steps_and_sequences_agree_to_the_bit_with_and_without_gradient() -> None:
    x, start, weight = currents(4, 9), torch.rand(4, 9), torch.tensor(decay_weight(2.7))
    learned = x.clone().requires_grad_()
    for whole, step in (
        (lif_sequence(x, start, tau=2.7), lambda a, v: lif_step(a, v, tau=2.7)),
        (lif_sequence(learned, start, tau=2.7), lambda a, v: lif_step(a, v, tau=2.7)),
        (
            parametric_lif_sequence(x, start, weight),
            lambda a, v: parametric_lif_step(a, v, weight),
        ),
    ):
        v, seen = start, []
        for a in x:
            spikes, v = step(a, v)
            seen.append(spikes)
        assert torch.equal(torch.stack(seen), whole[0])
        assert torch.equal(v, whole[1])


def test_large_layers_are_taken_in_parts_without_a_difference() -> None:
    x, start = currents(3, 50_001), torch.rand(3, 50_001)
    whole, last = lif_sequence(x, start, tau=2.0)
    rows = [lif_sequence(x[:, row], start[row], tau=2.0) for row in range(3)]
    assert torch.equal(whole, torch.stack([spikes for spikes, _ in rows], 1))
    assert torch.equal(last, torch.stack([v for _, v in rows]))


@pytest.mark.parametrize("each", [False, True])
def test_gradients_of_large_layers_are_taken_in_parts_without_a_difference(each: bool) -> None:
    size = 2 * BLOCK + 3
    x, start = currents(1, size)[:3], torch.rand(1, size)
    weight = torch.linspace(-1, 1, size) if each else torch.tensor(0.3)

    def gradients(part: slice) -> tuple[Tensor, ...]:
        own = weight[part] if each else weight
        inputs = [one.clone().requires_grad_() for one in (x[:, :, part], start[:, part], own)]
        spikes, last = parametric_lif_sequence(*inputs)
        scale = torch.arange(1.0, size + 1)[part] / size
        return torch.autograd.grad(((spikes + last) * scale).sum(), inputs)

    whole = gradients(slice(None))
    parts = [gradients(slice(at, at + BLOCK)) for at in range(0, size, BLOCK)]
    for index in range(3 if each else 2):
        assert torch.equal(whole[index], torch.cat([part[index] for part in parts], -1))
    if not each:
        torch.testing.assert_close(whole[2], sum(part[2] for part in parts), rtol=1e-4, atol=0)


def test_spikes_are_what_reaches_the_threshold_whatever_the_type() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        near = torch.tensor(0.3, dtype=dtype)
        ladder = [near]
        for _ in range(3):
            ladder.insert(0, torch.nextafter(ladder[0], torch.zeros((), dtype=dtype)))
            ladder.append(torch.nextafter(ladder[-1], torch.ones((), dtype=dtype)))
        membranes = torch.stack(ladder)
        spikes, after = lif_step(membranes, membranes, threshold=0.3)
        assert torch.equal(spikes, (membranes >= 0.3).to(dtype))
        assert torch.equal(after, torch.where(membranes >= 0.3, 0.0, membranes).to(dtype))


def test_neither_input_nor_membrane_is_changed() -> None:
    x, v = currents(3, 4), torch.rand(3, 4)
    copies = x.clone(), v.clone()
    lif_sequence(x, v, tau=2.0)
    lif_step(x[0], v, tau=2.0)
    assert torch.equal(x, copies[0])
    assert torch.equal(v, copies[1])


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("surrogate", [Surrogate(name, 3.0) for name in SURROGATES])
def test_gradients_are_those_of_the_definition(
    reset: str, detach_reset: bool, surrogate: Surrogate
) -> None:
    def definition(x: Tensor, v: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        spikes = []
        for a in x:
            v = v + (a - (v + 0.2)) * torch.sigmoid(w)
            fired = spike(v - 1, surrogate)
            cut = fired.detach() if detach_reset else fired
            if reset == "hard":
                v = v * (1 - cut) - 0.2 * cut
            elif reset == "soft":
                v = v - cut
            spikes.append(fired)
        return torch.stack(spikes), v

    options: dict[str, Any] = {
        "reset": reset,
        "reset_value": -0.2,
        "surrogate": surrogate,
        "detach_reset": detach_reset,
    }
    gradients = []
    for form in (definition, lambda *a: parametric_lif_sequence(*a, **options)):
        x = currents(3, 4).double().requires_grad_()
        v = torch.full((3, 4), 0.3, dtype=torch.float64, requires_grad=True)
        w = torch.tensor(decay_weight(2.5), dtype=torch.float64, requires_grad=True)
        spikes, last = form(x, v, w)
        weights = torch.linspace(-1, 1, spikes.numel(), dtype=torch.float64).view_as(spikes)
        gradients.append(torch.autograd.grad((spikes * weights).sum() + last.sum(), (x, v, w)))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.abs().max() > 0


def test_a_time_constant_for_each_neuron_learns_for_each() -> None:
    weight = torch.zeros(4, requires_grad=True)
    spikes, _ = parametric_lif_sequence(currents(3, 4), torch.zeros(3, 4), weight)
    spikes.sum().backward()
    assert weight.grad is not None
    assert weight.grad.shape == (4,)
    assert len(set(weight.grad.tolist())) == 4


@pytest.mark.parametrize("name", SURROGATES)
def test_a_surrogate_is_a_bump_of_area_one_at_the_threshold(name: str) -> None:
    x = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    bump = Surrogate(name, 2.0).derivative(x)
    assert bump.argmax() == len(x) // 2
    assert torch.trapezoid(bump, x).item() == pytest.approx(1, abs=1e-3)


def test_a_spike_is_a_step_with_the_surrogates_gradient() -> None:
    x = torch.tensor([-1.0, 0.0, 0.5], requires_grad=True)
    fired = spike(x)
    assert fired.tolist() == [0, 1, 1]
    fired.sum().backward()
    assert torch.equal(x.grad, ATAN.derivative(x.detach()))  # type: ignore[arg-type]


@pytest.mark.parametrize("tau", [1.1, 2.0, 5.0, 43.8, 500.0])
def test_a_neuron_with_hard_reset_never_fires_on_nothing(tau: float) -> None:
    _, membrane = lif_sequence(50 * currents(100), torch.zeros(100), tau=tau)
    spikes, _ = lif_sequence(torch.zeros(200, 100), membrane, tau=tau)
    assert not spikes.any()


def test_tau_2_keeps_nothing_of_thirty_blank_frames() -> None:
    membrane = torch.ones(1) * 0.99
    _, after = lif_sequence(torch.zeros(30, 1), membrane, tau=2.0)
    assert after.item() == pytest.approx(0.99 * 9.3132e-10, rel=1e-3)


@pytest.mark.parametrize("tau", [1, 1.0, 0.5, 0, -2.0, float("nan"), float("inf"), True, "2"])
def test_a_tau_that_cannot_work_is_refused_with_the_rule(tau: Any) -> None:
    for use in (
        check_tau,
        decay_weight,
        Neurons,
        lambda tau: lif_step(torch.ones(1), torch.zeros(1), tau=tau),
    ):
        with pytest.raises(OptionError, match="tau must be a finite number above 1") as caught:
            use(tau)
        assert "\n" not in str(caught.value)


def test_a_whole_number_is_a_tau() -> None:
    assert check_tau(2) == 2.0
    x = currents(6)
    whole, exact = (lif_sequence(x, torch.zeros(6), tau=tau)[0] for tau in (2, 2.0))
    assert torch.equal(whole, exact)


def test_other_mistakes_are_one_clear_line() -> None:
    x, v = currents(3), torch.zeros(3)
    with pytest.raises(OptionError, match="reset must be one of hard, soft, none, got 'half'"):
        lif_sequence(x, v, reset="half")
    with pytest.raises(OptionError, match=r"currents must be \(T, \.\.\.\)"):
        lif_sequence(x, torch.zeros(4))
    with pytest.raises(OptionError, match="no surrogate named 'square'"):
        Surrogate("square")
    with pytest.raises(OptionError, match="width must be positive"):
        Surrogate("atan", 0.0)


def test_a_layer_without_tau_has_no_bytes_and_no_past() -> None:
    layer = Neurons(None)
    membrane = layer.rest(3, 4, device=torch.device("cpu"), dtype=torch.float32)
    assert membrane.nbytes == 0
    assert len(membrane) == 3
    x = currents(3, 4)
    spikes, after = layer(x, membrane)
    assert torch.equal(spikes, (x >= 1).float())
    assert after.shape == membrane.shape


def test_a_layer_learns_its_time_constant_when_asked() -> None:
    assert not list(Neurons(2.0).parameters())
    layer = Neurons(2.0, learns_tau=True)
    spikes, _ = layer(currents(3, 4), torch.zeros(3, 4))
    spikes.sum().backward()
    assert isinstance(layer.decay, nn.Parameter)
    assert layer.decay.grad is not None
    assert layer.decay.grad.abs() > 0
