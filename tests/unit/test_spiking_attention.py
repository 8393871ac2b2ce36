"""Attention between spikes: exact in either order, by hand, and only as dear as it must be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vigilia.errors import OptionError
from vigilia.spiking.attention import (
    hadamard_attention,
    linear_attention,
    merge_heads,
    read,
    split_heads,
    store,
)
from vigilia.spiking.blocks import ATTENTIONS, SpikingAttention, SpikingBlock


def spikes(*shape: int, rate: float = 0.3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(*shape, generator=generator) < rate).float()


def naive(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """(Q K^T) V, the order that is quadratic in the number of tokens: only ever a reference."""
    return (queries @ keys.transpose(-2, -1)) @ values


def test_attention_by_hand() -> None:
    # Two tokens with two features. The first query picks feature 0 of the keys, which fired with
    # both features of the values once and with the second once more.
    queries = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    keys = torch.tensor([[[1.0, 0.0], [1.0, 1.0]]])
    values = torch.tensor([[[1.0, 1.0], [0.0, 1.0]]])
    assert store(keys, values).tolist() == [[[1, 2], [0, 1]]]
    assert linear_attention(queries, keys, values).tolist() == [[[1, 2], [1, 3]]]
    assert hadamard_attention(keys, values).tolist() == [[[1, 1]]]


@settings(max_examples=30, deadline=None)
@given(
    tokens=st.integers(1, 300),
    features=st.integers(1, 64),
    rate=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_both_orders_are_equal_to_the_bit(
    tokens: int, features: int, rate: float, seed: int
) -> None:
    queries, keys, values = spikes(3, 2, tokens, features, rate=rate, seed=seed)
    assert torch.equal(linear_attention(queries, keys, values), naive(queries, keys, values))


def test_half_precision_counts_exactly() -> None:
    queries, keys, values = spikes(3, 2, 600, 16, rate=0.9)
    half = store(keys.bfloat16(), values.bfloat16())
    assert half.dtype == torch.float32
    assert torch.equal(half, store(keys, values))
    assert half.max() > 300  # where bfloat16 has gaps
    assert torch.equal(read(queries.bfloat16(), half), linear_attention(queries, keys, values))
    assert torch.equal(
        hadamard_attention(keys.bfloat16(), values.bfloat16()).float(),
        (keys * values).sum(-2, keepdim=True).bfloat16().float(),
    )


def test_splitting_and_merging_heads_are_inverse() -> None:
    x = torch.randn(2, 3, 5, 12)
    split = split_heads(x, 4)
    assert split.shape == (2, 3, 4, 5, 3)
    assert torch.equal(split[1, 2, 1, 4], x[1, 2, 4, 3:6])
    assert torch.equal(merge_heads(split), x)


def test_heads_do_not_mix() -> None:
    queries, keys, values = (split_heads(x, 3) for x in spikes(3, 1, 7, 12))
    whole = linear_attention(queries, keys, values)
    values[:, 1] = 0
    changed = linear_attention(queries, keys, values)
    assert not changed[:, 1].any()
    assert torch.equal(changed[:, [0, 2]], whole[:, [0, 2]])


@pytest.mark.parametrize("form", ATTENTIONS)
def test_the_order_of_the_tokens_does_not_matter(form: str) -> None:
    torch.manual_seed(0)
    part = SpikingAttention(16, heads=2, tokens=9, tau=2.0, learns_tau=False, form=form).eval()
    x, order = 3 * torch.randn(4, 2, 9, 16), torch.randperm(9)
    where = {"device": x.device, "dtype": x.dtype}
    with torch.no_grad():
        added, _ = part(x, part.init_state(2, 9, **where))
        shuffled, _ = part(x[:, :, order], part.init_state(2, 9, **where))
    assert added.any()
    torch.testing.assert_close(shuffled, added[:, :, order])


@pytest.mark.parametrize("form", ATTENTIONS)
@pytest.mark.parametrize("tau", [2.0, None])
def test_a_block_sees_other_tokens_but_not_other_rows_or_later_steps(
    form: str, tau: float | None
) -> None:
    torch.manual_seed(1)
    block = SpikingBlock(16, heads=2, tokens=6, tau=tau, learns_tau=False, form=form).eval()
    x = 0.5 * torch.randn(5, 2, 6, 16)
    other = x.clone()
    other[2, 1, 3] += torch.randn(16)
    state = block.init_state(2, 6, device=x.device, dtype=x.dtype)
    with torch.no_grad():
        a, b = (block(y, state)[0] for y in (x, other))
    assert torch.equal(a[:, 0], b[:, 0])
    assert torch.equal(a[:2], b[:2])
    assert not torch.equal(a[2:, 1, :3], b[2:, 1, :3])
    assert torch.equal(a[3:], b[3:]) == (tau is None)  # membranes carry it on


@pytest.mark.parametrize("form", ATTENTIONS)
def test_nothing_in_nothing_out(form: str) -> None:
    block = SpikingBlock(16, heads=2, tokens=6, tau=2.0, learns_tau=False, form=form).eval()
    zeros = torch.zeros(3, 2, 6, 16)
    state = block.init_state(2, 6, device=zeros.device, dtype=zeros.dtype)
    out, after = block(zeros, state)
    assert not out.any()
    assert not after.mlp.hidden.any()


def test_mistakes_are_one_clear_line() -> None:
    options = {"tokens": 4, "tau": 2.0, "learns_tau": False}
    with pytest.raises(OptionError, match="attention must be one of linear, hadamard, got 'soft'"):
        SpikingAttention(16, heads=2, form="soft", **options)
    with pytest.raises(OptionError, match="heads must divide dim, got 3 and 16"):
        SpikingAttention(16, heads=3, form="linear", **options)
