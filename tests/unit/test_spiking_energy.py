"""The energy meter: equal to counts by hand, and to torch's counter for the comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.spiking.attention import linear_attention
from vigilia.spiking.compared import vit_tiny_joules, vit_tiny_multiplies
from vigilia.spiking.energy import COSTS, Costs, EnergyMeter, LayerCount, synaptic_operations
from vigilia.spiking.layers import SpikeConv, SpikeLinear
from vigilia.spiking.neuron_layer import Neurons


def spikes(*shape: int, rate: float = 0.2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < rate).float()


class Toy(nn.Module):
    """Five inputs, four neurons, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first = SpikeLinear(5, 4, gain=None)
        self.neurons = Neurons(2.0)
        self.second = SpikeLinear(4, 2, gain=None)
        with torch.no_grad():
            # Neuron 0 hears input 0 twice as loud as it needs, neuron 1 inputs 1 and 2, the
            # third hears input 4 too softly, the last one nothing.
            self.first.weight.zero_()
            self.first.weight[0, 0] = 4.0
            self.first.weight[1, 1:3] = 1.0
            self.first.weight[2, 4] = 0.5

    def forward(self, x: Tensor, membrane: Tensor) -> tuple[Tensor, Tensor]:
        fired, membrane = self.neurons(self.first(x), membrane)
        return self.second(fired), membrane


def test_a_toy_network_by_hand() -> None:
    network = Toy()
    x = torch.tensor([[[1.0, 1.0, 1.0, 0.0, 1.0]]])  # (T, B, D): four spikes
    with EnergyMeter(network) as meter, torch.no_grad():
        out, membrane = network(x, torch.zeros(1, 4))
    first, neurons, second = meter.count().layers
    # Four spikes reach four neurons each; three of those receive a current, two fire, and each of
    # these two reaches two outputs. Three membranes of four bytes are read and written.
    assert first == LayerCount("first", accumulates=16)
    assert neurons == LayerCount("neurons", updates=3, spikes=2, state_bytes=24)
    assert second == LayerCount("second", accumulates=4)
    assert membrane.tolist() == [[0, 0, 0.25, 0]]
    count = meter.count()
    assert (count.accumulates, count.multiplies, count.updates, count.spikes) == (20, 0, 3, 2)
    assert count.state_bytes == 24
    assert count.joules() == pytest.approx((20 * 0.9 + 3 * 4.6) * 1e-12)
    assert count.joules(Costs(multiply=10, accumulate=1)) == pytest.approx(50e-12)
    assert out.shape == (1, 1, 2)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_counts_are_the_same_with_and_without_gradients(mode: Callable[..., Any]) -> None:
    network, convolution = Toy(), SpikeConv(1, 2, kernel=3, stride=1)
    with mode(), EnergyMeter(nn.ModuleList([network, convolution])) as meter:
        network(torch.tensor([[[1.0, 1.0, 1.0, 0.0, 1.0]]]), torch.zeros(1, 4))
        convolution(torch.ones(1, 1, 1, 2, 2))
        linear_attention(*torch.ones(3, 1, 2, 3))
    # 20 of the toy network, four spikes in corners, three by three products of two, two by three
    # spikes of queries that pick three counts each.
    assert meter.count().accumulates == 20 + 4 * 4 * 2 + 9 * 2 + 6 * 3
    assert meter.count().multiplies == 0


def test_counts_start_again_when_reset_and_stop_outside() -> None:
    network, x = Toy(), torch.ones(1, 1, 5)
    with EnergyMeter(network) as meter, torch.no_grad():
        network(x, torch.zeros(1, 4))
        one = meter.reset()
        network(x, torch.zeros(1, 4))
        network(x, torch.zeros(1, 4))
    network(x, torch.zeros(1, 4))
    assert 2 * one.accumulates == meter.count().accumulates > 0
    assert meter.reset().joules() > 0
    assert meter.count().layers == ()


def test_a_spike_at_the_edge_reaches_fewer_weights() -> None:
    # A 3 x 3 kernel with stride 1 and a border of one: 9 weights in the middle, 6 at an edge, 4 in
    # a corner; times two outputs.
    layer = SpikeConv(1, 2, kernel=3, stride=1)
    for place, uses in (((2, 2), 18), ((0, 2), 12), ((4, 4), 8)):
        x = torch.zeros(1, 1, 1, 5, 5)
        x[0, 0, 0, place[0], place[1]] = 1
        with EnergyMeter(layer) as meter, torch.no_grad():
            layer(x)
        assert meter.count().accumulates == uses


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (7, 4), (4, 4)])
def test_fan_out_is_that_of_the_convolution_itself(kernel: int, stride: int) -> None:
    x, weight = spikes(2, 3, 16, 12), torch.randn(6, 3, kernel, kernel)
    padding = kernel // 2 if kernel % 2 else 0
    # With weights of one, every addition adds one.
    ones = F.conv2d(x, torch.ones_like(weight), stride=stride, padding=padding)
    counted = synaptic_operations(x, weight, stride=stride, padding=padding)
    assert counted == ones.sum() < x.sum() * 6 * kernel * kernel


def test_values_other_than_spikes_are_multiplied_where_they_are_not_zero() -> None:
    layer, x = SpikeLinear(5, 7, gain=None), torch.tensor([[1.0, 0.0, 2.0, 0.5, 0.0]])
    with EnergyMeter(layer) as meter, torch.no_grad():
        layer(x)
    assert meter.count().layers == (LayerCount("", multiplies=21),)
    convolution, counts = SpikeConv(2, 3, kernel=3, stride=2), 2 * spikes(1, 1, 2, 8, 8)
    with EnergyMeter(convolution) as meter, torch.no_grad():
        convolution(counts)
    assert meter.count().multiplies == synaptic_operations(
        counts[0], convolution.weight, stride=2, padding=1
    )
    assert meter.count().accumulates == 0


def test_attention_counts_coincidences_and_then_spikes_of_queries() -> None:
    queries, keys, values = spikes(3, 2, 4, 9, 5)
    with EnergyMeter(nn.Module()) as meter:
        linear_attention(queries, keys, values)
    coincidences = sum(
        int(keys[row, head, token].sum() * values[row, head, token].sum())
        for row in range(2)
        for head in range(4)
        for token in range(9)
    )
    assert meter.count().accumulates == coincidences + 5 * queries.sum()


def test_the_meter_changes_no_result_and_leaves_nothing_behind() -> None:
    network, x = Toy(), spikes(6, 3, 5, rate=0.6)
    plain = network(x, torch.zeros(3, 4))
    with EnergyMeter(network):
        metered = network(x, torch.zeros(3, 4))
    assert torch.equal(plain[0], metered[0])
    assert torch.equal(plain[1], metered[1])
    assert not any(module._forward_hooks for module in network.modules())
    with pytest.raises(RuntimeError), EnergyMeter(network):
        network(torch.ones(2, 2, 4), torch.zeros(2, 4))
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_layers_without_membranes_have_no_traffic() -> None:
    layer = Neurons(None)
    with EnergyMeter(layer) as meter:
        layer(torch.tensor([[[2.0, 0.0, -1.0]]]), torch.zeros(1, 0))
    assert meter.count().layers == (LayerCount("", updates=2, spikes=1),)


def test_nothing_costs_nothing() -> None:
    network = Toy()
    with EnergyMeter(network) as meter:
        network(torch.zeros(4, 2, 5), torch.zeros(2, 4))
    assert meter.count().layers == ()
    assert meter.count().joules() == 0


def test_the_constants_are_those_of_45_nanometres() -> None:
    assert COSTS["float32"] == Costs(multiply=4.6, accumulate=0.9)
    assert COSTS["int8"] == Costs(multiply=0.23, accumulate=0.03)
    ratios = [round(cost.accumulate / cost.multiply, 3) for cost in COSTS.values()]
    assert ratios == [0.196, 0.267, 0.13]


def test_vit_tiny_by_hand() -> None:
    # Twelve layers of 197 tokens with 192 features, patches of 16 x 16 x 3, a head of 1,000.
    tokens, dim = 197, 192
    layer = tokens * dim * dim * (3 + 1 + 8) + 2 * tokens * tokens * dim
    expected = 12 * layer + 196 * dim * 768 + 1000 * dim
    assert vit_tiny_multiplies() == expected == 1_253_683_200
    assert vit_tiny_joules() == pytest.approx(5.767e-3, rel=1e-3)
    assert vit_tiny_joules(costs=COSTS["int8"]) == pytest.approx(0.288e-3, rel=2e-3)
    assert vit_tiny_multiplies(128) == 374_145_024
