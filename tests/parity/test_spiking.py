"""Neurons, attention and operation counts against SpikingJelly 2, to the bit."""

from __future__ import annotations

import pytest
import torch
from spikingjelly.activation_based import base, layer, neuron, op_counter
from spikingjelly.activation_based import surrogate as theirs
from torch import Tensor, nn

from vigilia.spiking import create_spiking_model
from vigilia.spiking.attention import linear_attention
from vigilia.spiking.blocks import SpikingAttention
from vigilia.spiking.energy import EnergyMeter
from vigilia.spiking.neuron_layer import working_gain
from vigilia.spiking.neurons import decay_weight, lif_sequence, parametric_lif_sequence
from vigilia.spiking.surrogate import Surrogate

STEPS = 25
PAIRS = {
    "sigmoid": (Surrogate("sigmoid", 4.0), theirs.Sigmoid(4.0)),
    "atan": (Surrogate("atan", 2.0), theirs.ATan(2.0)),
}
RESETS = [("hard", 0.0, 0.0), ("hard", -0.3, -0.3), ("soft", 0.0, None)]


def currents(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 1 + 2 * torch.randn(STEPS, 3, 40, generator=generator)


def gradient(spikes: Tensor, *of: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, spikes.numel()).view_as(spikes)
    return torch.autograd.grad((spikes * weights).sum(), of)


@pytest.mark.parametrize(("reset", "value", "their_reset"), RESETS)
@pytest.mark.parametrize("tau", [1.1, 2.0, 3.7, 43.8])
@pytest.mark.parametrize("shape", PAIRS)
@pytest.mark.parametrize("detach_reset", [False, True])
def test_lif_is_spikingjellys(
    reset: str,
    value: float,
    their_reset: float | None,
    tau: float,
    shape: str,
    detach_reset: bool,
) -> None:
    ours_surrogate, their_surrogate = PAIRS[shape]
    node = neuron.LIFNode(
        tau=tau,
        v_reset=their_reset,
        surrogate_function=their_surrogate,
        detach_reset=detach_reset,
        step_mode="m",
    )
    x = currents().requires_grad_()
    expected = node(x)
    spikes, membrane = lif_sequence(
        x,
        torch.full((3, 40), value),
        tau=tau,
        reset=reset,
        reset_value=value,
        surrogate=ours_surrogate,
        detach_reset=detach_reset,
    )
    assert torch.equal(spikes, expected)
    assert torch.equal(membrane, node.v)
    torch.testing.assert_close(gradient(spikes, x), gradient(expected, x))


@pytest.mark.parametrize(("reset", "value", "their_reset"), RESETS)
@pytest.mark.parametrize("tau", [1.1, 2.0, 5.5])
def test_parametric_lif_is_spikingjellys(
    reset: str, value: float, their_reset: float | None, tau: float
) -> None:
    node = neuron.ParametricLIFNode(init_tau=tau, v_reset=their_reset, step_mode="m")
    x, weight = currents().requires_grad_(), torch.tensor(decay_weight(tau), requires_grad=True)
    expected = node(x)
    spikes, membrane = parametric_lif_sequence(
        x,
        torch.full((3, 40), value),
        weight,
        reset=reset,
        reset_value=value,
        surrogate=Surrogate("sigmoid", 4.0),
    )
    assert torch.equal(spikes, expected)
    assert torch.equal(membrane, node.v)
    ours, expected_gradients = gradient(spikes, x, weight), gradient(expected, x, node.w)
    torch.testing.assert_close(ours, expected_gradients, rtol=1e-4, atol=1e-5)


def test_chunks_are_spikingjellys_functional_forward() -> None:
    node = neuron.LIFNode(tau=2.0, step_mode="m")
    function = base.to_functional_forward(node)
    x = currents()
    theirs_state = base.extract_memories(node)
    membrane = torch.zeros(3, 40)
    for part in x.split([1, 6, 13, 5]):
        (expected,), theirs_state = function((part,), theirs_state)
        spikes, membrane = lif_sequence(part, membrane, tau=2.0)
        assert torch.equal(spikes, expected)
        assert torch.equal(membrane, theirs_state[0])


def test_the_first_version_of_spike_driven_attention_is_spikingjellys() -> None:
    torch.manual_seed(0)
    dim, heads, side, steps, rows = 16, 4, 3, 6, 2
    them = layer.SpikeDrivenSelfAttention(dim, num_heads=heads).eval()
    us = SpikingAttention(
        dim, heads=heads, tokens=side * side, tau=2.0, learns_tau=False, form="hadamard"
    ).eval()
    for name, part in (
        ("q", us.to_query),
        ("k", us.to_key),
        ("v", us.to_value),
        ("proj", us.out),
    ):
        convolution, norm = getattr(them, f"{name}_conv"), getattr(them, f"{name}_bn")
        nn.init.normal_(convolution.weight, std=1.0)
        part.weight.data.copy_(convolution.weight[:, :, 0, 0] / (1 + norm.eps) ** 0.5)
    nn.init.zeros_(them.proj_conv.bias)
    for neurons in (us.shortcut, us.query, us.key, us.value):  # thresholds of one
        neurons.variance.fill_(working_gain(2.0) ** 2)
    x = 2 * torch.randn(steps, rows, dim, side, side)
    tokens = x.flatten(3).transpose(2, 3)  # (T, B, N, D)
    state = us.init_state(rows, side * side, device=x.device, dtype=x.dtype)
    with torch.no_grad():
        expected = (them(x) - x).flatten(3).transpose(2, 3)
        added, state = us(tokens, state)
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-5)
    assert added.abs().max() > 0.1
    assert torch.equal(state.attended, them.attn_lif.v)


def test_counts_of_operations_are_spikingjellys() -> None:
    torch.manual_seed(0)
    spikes = (torch.rand(2, 3, 16, 16) < 0.2).float()
    network = nn.Conv2d(3, 8, 3, padding=1, stride=2, bias=False)
    queries, keys, values = (torch.rand(3, 2, 4, 9, 5) < 0.3).float()
    flat = spikes.flatten(1)
    linear = nn.Linear(flat.shape[1], 7)

    def run() -> None:
        network(spikes)
        linear(flat)
        linear(flat * 0.5)  # no spikes: multiplications
        linear_attention(queries, keys, values)

    counter = op_counter.SynOpCounter()
    with op_counter.DispatchCounterMode([counter]):
        run()
    with EnergyMeter(nn.Module()) as meter:
        run()
    assert meter.count().accumulates == counter.get_total() > 0
    assert meter.count().multiplies == flat.count_nonzero() * 7


@pytest.mark.parametrize("attention", ["linear", "hadamard"])
def test_the_whole_models_count_is_spikingjellys(attention: str) -> None:
    torch.manual_seed(0)
    model = create_spiking_model(
        "neuro_svt_nano", num_classes=3, height=32, width=32, attention=attention
    ).eval()
    nn.init.normal_(model.head.weight)
    state = model.init_state(2)
    with torch.no_grad():
        for _ in range(3):
            bins = (torch.rand(2, 2, 32, 32) < 0.2).float()
            before = state
            _, state = model.step(bins, before)
        counter = op_counter.SynOpCounter()
        with op_counter.DispatchCounterMode([counter]):
            model.step(bins, before)
        with EnergyMeter(model) as meter:
            model.step(bins, before)
    assert meter.count().accumulates == counter.get_total() > 10_000
    assert meter.count().multiplies == 0
