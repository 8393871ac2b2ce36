"""Linear layers in one pass: the same numbers, counted alike, and plain where something learns."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vigilia.layers import linear as module
from vigilia.layers.linear import Linear, Mlp, linear

ROWS, DIM, HIDDEN = 256, 96, 384


def pair() -> tuple[Mlp, nn.Sequential]:
    torch.manual_seed(0)
    ours = Mlp(DIM, HIDDEN)
    plain = nn.Sequential(nn.Linear(DIM, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, DIM))
    plain.load_state_dict(ours.state_dict())
    return ours, plain


@pytest.mark.parametrize("shape", [(ROWS, DIM), (2, 4, 8, 8, DIM), (1, DIM)])
def test_the_result_is_that_of_plain_layers(shape: tuple[int, ...]) -> None:
    ours, plain = pair()
    x = torch.randn(*shape)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), plain(x), rtol=1e-5, atol=1e-5)
        every_other = torch.randn(*shape[:-1], 2 * DIM)[..., ::2]
        torch.testing.assert_close(ours(every_other), plain(every_other), rtol=1e-5, atol=1e-5)
    assert torch.equal(ours(x), plain(x)), "with gradient they are the same kernels"


def test_a_layer_without_bias() -> None:
    torch.manual_seed(0)
    layer, x = Linear(DIM, HIDDEN, bias=False), torch.randn(ROWS, DIM)
    with torch.inference_mode():
        torch.testing.assert_close(layer(x), x @ layer.weight.t(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layer", [Linear(HIDDEN, DIM), Mlp(DIM, HIDDEN)])
def test_what_went_around_a_layer_is_added_on_the_way(layer: Linear | Mlp) -> None:
    width = HIDDEN if isinstance(layer, Linear) else DIM
    x, around = torch.randn(2, 8, 16, width), torch.randn(2, 8, 20, DIM)[:, :, 2:18]
    kept = around.clone()
    with torch.inference_mode():
        torch.testing.assert_close(layer(x, around), around + layer(x), rtol=1e-5, atol=1e-5)
        assert torch.equal(around, kept), "what is added is only read"
    assert torch.equal(layer(x, around), around + layer(x)), "with gradient it is a plain sum"


@pytest.mark.parametrize("gelu", [False, True])
def test_a_packed_weight_gives_the_same_bits(gelu: bool) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    layer, x = Linear(DIM, HIDDEN), torch.randn(ROWS, DIM)
    names = layer.state_dict().keys()
    with torch.inference_mode():
        expected = layer.apply_to(x, gelu=gelu)
        few = layer.apply_to(x[:8], gelu=gelu)
        layer.pack(ROWS)
        assert layer.packed is not None
        assert torch.equal(layer.apply_to(x, gelu=gelu), expected)
        assert torch.equal(layer.apply_to(x[:8], gelu=gelu), few), "too few rows take no packing"
        assert layer.state_dict().keys() == names
        other = copy.deepcopy(layer)
        assert other.packed is None, "a copy may learn"
        assert torch.equal(other.apply_to(x, gelu=gelu), expected)
    lowered = other.bfloat16()
    lowered.pack(ROWS)
    assert lowered.packed is None


def test_it_is_one_pass_where_nothing_learns_and_only_there() -> None:
    x, weight, bias = torch.randn(ROWS, DIM), torch.randn(HIDDEN, DIM), torch.randn(HIDDEN)
    if not torch.backends.mkldnn.is_available():
        pytest.skip("this PyTorch has no oneDNN")
    with torch.no_grad():
        assert module._pays(x, weight)
        assert not module._pays(x[:8], weight)
        assert not module._pays(x.bfloat16(), weight.bfloat16())
        with torch.autocast("cpu", torch.bfloat16):
            assert not module._pays(x, weight)
    assert not module._pays(x, weight)
    learned = linear(x, weight.requires_grad_(), bias, gelu=True)
    learned.sum().backward()
    assert weight.grad is not None


def test_torch_counts_its_operations() -> None:
    ours, plain = pair()
    x = torch.randn(ROWS, DIM)
    counts = []
    for layers in (ours, plain):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            layers(x)
        counts.append(counter.get_total_flops())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ours(x, x)
    assert [*counts, counter.get_total_flops()] == [4 * ROWS * DIM * HIDDEN] * 3
