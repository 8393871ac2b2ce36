"""Reading: age in seconds as a bias, empty slots hidden, the clip's tokens attend to the rest."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vigilia.layers.attention import attend
from vigilia.memory.fam import StageMemory, StageState
from vigilia.memory.reading import AGE_KNOTS, FeedbackReadout, MemoryReader, age_bias, slot_bias
from vigilia.memory.writing import SummaryWriter


def seconds(*ages: float) -> Tensor:
    return torch.tensor([ages], dtype=torch.float64)


def open_reader(dim: int = 16, heads: int = 2) -> MemoryReader:
    reader = MemoryReader(dim, heads=heads)
    nn.init.normal_(reader.gate)
    nn.init.normal_(reader.age_bias)
    return reader


def naive_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, bias: Tensor | None) -> Tensor:
    out = torch.zeros_like(q)
    width = q.shape[-1] // heads
    for head in range(heads):
        part = slice(head * width, (head + 1) * width)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width)
        if bias is not None:
            scores = scores + bias[:, head]
        out[..., part] = scores.softmax(-1) @ v[..., part]
    return out


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_the_textbook_formula(heads: int) -> None:
    q, k, v = torch.randn(3, 5, 8), torch.randn(3, 7, 8), torch.randn(3, 7, 8)
    bias = torch.randn(3, heads, 1, 7)
    assert torch.allclose(
        attend(q, k, v, heads=heads), naive_attention(q, k, v, heads, None), atol=1e-6
    )
    got = attend(q, k, v, heads=heads, bias=bias)
    assert torch.allclose(got, naive_attention(q, k, v, heads, bias), atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2, 1, 7), (1, 2, 1, 7), (3, 1, 5, 7), (1, 1, 1, 7)])
def test_a_bias_that_learns_gets_the_textbook_gradient(shape: tuple[int, ...]) -> None:
    tensors = [torch.randn(3, length, 8, requires_grad=True) for length in (5, 7, 7)]
    bias = torch.randn(shape)
    bias[..., 0] = float("-inf")  # a key that nobody may see
    bias.requires_grad_()
    wish = torch.randn(3, 5, 8)
    ours = attend(*tensors, heads=2, bias=bias)
    full = bias.expand(3, 2, -1, -1)
    theirs = naive_attention(*tensors, 2, full)
    assert torch.allclose(ours, theirs, atol=1e-6)
    inputs = [*tensors, bias]
    for one, other in zip(
        torch.autograd.grad(ours, inputs, wish),
        torch.autograd.grad(theirs, inputs, wish),
        strict=True,
    ):
        assert one.shape == other.shape
        assert torch.allclose(one, other, atol=1e-5)


def test_attention_to_two_keys_by_hand() -> None:
    # Scores ln 3 and 0: three quarters of the first value, one quarter of the second.
    mixed = attend(
        torch.tensor([[[1.0]]]),
        torch.tensor([[[math.log(3)], [0.0]]]),
        torch.tensor([[[8.0], [4.0]]]),
        heads=1,
    )
    assert mixed.item() == pytest.approx(7.0)


def test_ages_of_0_1_and_3_seconds_take_the_first_three_knots() -> None:
    table = torch.arange(AGE_KNOTS).float()[None] * 10
    ages = [2.0**knot - 1 for knot in range(AGE_KNOTS)]
    assert age_bias(table, seconds(0, 1, 3)).tolist() == [[[0.0, 10.0, 20.0]]]
    assert age_bias(table, seconds(*ages)).flatten().tolist() == table[0].tolist()


def test_between_knots_the_bias_is_linear_in_the_logarithm() -> None:
    table = torch.tensor([[0.0, 10.0, 20.0, 40.0]])
    middle = 2**0.5 - 1  # log2(1 + age) = 1/2
    quarter = 4 * 2**0.25 - 1
    got = age_bias(table, seconds(middle, quarter)).flatten()
    assert torch.allclose(got, torch.tensor([5.0, 25.0]))


def test_the_bias_is_the_interpolation_of_every_heads_own_row() -> None:
    table = torch.randn(3, 6)
    ages = torch.rand(4, 5, dtype=torch.float64) * 40
    got = age_bias(table, ages)
    assert got.shape == (4, 3, 5)
    for row in range(4):
        for head in range(3):
            for slot in range(5):
                position = min(math.log2(1 + ages[row, slot].item()), 5.0)
                low = min(int(position), 4)
                left, right = table[head, low].item(), table[head, low + 1].item()
                expected = left + (right - left) * (position - low)
                assert got[row, head, slot].item() == pytest.approx(expected, abs=1e-4)


def test_beyond_the_last_knot_the_bias_stays() -> None:
    table = torch.tensor([[1.0, 2.0, 7.0]])
    got = age_bias(table, seconds(3, 4, 1000, 1e12))
    assert got.tolist() == [[[7.0, 7.0, 7.0, 7.0]]]


def test_an_age_below_zero_counts_as_zero() -> None:
    assert age_bias(torch.tensor([[1.0, 2.0]]), seconds(-5)).item() == 1.0


def test_a_slot_of_eleven_days_and_one_of_twelve_still_differ() -> None:
    table = torch.arange(AGE_KNOTS).float()[None]
    eleven, twelve = age_bias(table, seconds(11 * 86400, 12 * 86400)).flatten().tolist()
    assert eleven < twelve <= AGE_KNOTS - 1


def test_empty_slots_are_hidden_row_by_row() -> None:
    table = torch.randn(2, AGE_KNOTS)
    ages = torch.rand(3, 4, dtype=torch.float64) * 100
    filled = torch.tensor(
        [[False, False, False, False], [False, False, True, True], [True, True, True, True]]
    )
    got = slot_bias(table, ages, filled, tokens=3)
    assert got.shape == (3, 2, 1, 12)
    plain = age_bias(table, ages)
    for row in range(3):
        for slot in range(4):
            part = got[row, :, 0, 3 * slot : 3 * slot + 3]  # the three tokens of one slot
            if filled[row, slot]:
                assert torch.equal(part, plain[row, :, slot, None].expand(2, 3))
            else:
                assert torch.equal(part, torch.full((2, 3), float("-inf")))


@pytest.mark.parametrize("huge", [0.0, 1.0, 1e4, 1e15])
def test_what_lies_in_an_empty_slot_changes_nothing_bit_for_bit(huge: float) -> None:
    reader, tokens = open_reader(), 3
    x, keys, values = torch.randn(2, 6, 16), torch.randn(2, 12, 16), torch.randn(2, 12, 16)
    filled = torch.tensor([[False, False, True, True], [False, True, True, True]])
    bias = slot_bias(reader.age_bias, torch.rand(2, 4, dtype=torch.float64), filled, tokens)
    empty = ~filled.repeat_interleave(tokens, dim=1)[..., None]
    noise = huge * torch.randn(2, 12, 16)
    expected = reader(x, keys, values, bias)
    got = reader(x, torch.where(empty, noise, keys), torch.where(empty, -noise, values), bias)
    assert torch.equal(got, expected)
    touched = reader(x, torch.where(empty, keys, keys + 1), values, bias)
    assert not torch.equal(touched, expected)


def test_an_empty_slot_takes_no_attention_from_the_others() -> None:
    reader, tokens = open_reader(), 2
    x, keys, values = torch.randn(1, 5, 16), torch.randn(1, 8, 16), torch.randn(1, 8, 16)
    filled = torch.tensor([[False, False, True, True]])
    ages = seconds(9, 8, 7, 6)
    with_empty = reader(x, keys, values, slot_bias(reader.age_bias, ages, filled, tokens))
    alone = slot_bias(reader.age_bias, ages[:, 2:], filled[:, 2:], tokens)
    assert torch.allclose(with_empty, reader(x, keys[:, 4:], values[:, 4:], alone), atol=1e-6)


def test_with_nothing_remembered_only_the_learned_token_is_read() -> None:
    reader = open_reader()
    bias = torch.full((2, 2, 1, 4), float("-inf"))
    x = torch.randn(2, 5, 16)
    key, value = reader.nothing(2)
    keys = torch.cat([key, torch.randn(2, 4, 16)], dim=1)
    values = torch.cat([value, torch.randn(2, 4, 16)], dim=1)
    got = reader(x, keys, values, torch.cat([torch.zeros(2, 2, 1, 1), bias], dim=-1))
    expected = reader.gate * reader.output(reader.no_memory[1])
    assert got.isfinite().all()
    assert torch.allclose(got, expected.expand(2, 5, 16), atol=1e-6)


def test_a_fresh_reader_adds_exactly_nothing() -> None:
    reader = MemoryReader(16, heads=2)
    got = reader(torch.randn(2, 5, 16), *torch.randn(2, 2, 4, 16), torch.zeros(2, 2, 1, 4))
    assert torch.equal(got, torch.zeros(2, 5, 16))


def test_a_greater_bias_draws_attention() -> None:
    reader = open_reader()
    x, keys, values = torch.randn(1, 3, 16), torch.randn(1, 2, 16), torch.randn(1, 2, 16)
    bias = torch.tensor([0.0, 60.0]).view(1, 1, 1, 2).expand(1, 2, 1, 2)
    got = reader(x, keys, values, bias)
    assert torch.allclose(
        got, (reader.gate * reader.output(values[:, 1:])).expand_as(got), atol=1e-5
    )


def test_a_clip_before_the_first_does_not_see_the_feedback_tokens() -> None:
    stage = StageMemory(
        16,
        heads=2,
        summary_tokens=2,
        feedback_tokens=3,
        slot_tokens=4,
        embedding_dim=8,
        reads_embedding=True,
        hidden=4,
    )
    nn.init.normal_(stage.reader.gate)
    x = torch.randn(2, 1, 2, 2, 16)
    bias = torch.zeros(2, 2, 1, 4)
    queue = torch.randn(2, 2, 2, 16), torch.randn(2, 2, 2, 16)
    first = torch.tensor([True, False])
    one = stage.read(x, StageState(*queue, torch.randn(2, 3, 16)), bias, first)
    other = stage.read(x, StageState(*queue, torch.randn(2, 3, 16)), bias, first)
    assert torch.equal(one[0], other[0])
    assert not torch.allclose(one[1], other[1])


def test_keys_and_values_are_projected_token_by_token() -> None:
    reader = open_reader()
    tokens = torch.randn(2, 4, 16)
    keys, values = reader.project(tokens)
    one_key, one_value = reader.project(tokens[1:, 2:3])
    assert keys.shape == values.shape == (2, 4, 16)
    assert torch.allclose(keys[1:, 2:3], one_key, atol=1e-6)
    assert torch.allclose(values[1:, 2:3], one_value, atol=1e-6)


def spread(tokens: Tensor) -> Tensor:
    """Second singular value over the first: 0 for copies of one token."""
    singular = torch.linalg.svdvals(tokens)
    return singular[..., 1] / singular[..., 0]


def test_summary_tokens_are_not_copies_of_one_mean() -> None:
    torch.manual_seed(0)
    writer = SummaryWriter(32, tokens=8, heads=4)
    x = torch.randn(3, 40, 32)
    tokens = writer(x)
    assert tokens.shape == (3, 8, 32)
    assert (spread(tokens) > 0.05).all()
    copies = x.mean(dim=1, keepdim=True).expand(3, 8, 32)
    assert (spread(copies) < 1e-5).all()


def test_writing_does_not_depend_on_the_order_of_the_tokens() -> None:
    writer = SummaryWriter(16, tokens=3, heads=2)
    x = torch.randn(2, 10, 16)
    assert torch.allclose(writer(x), writer(x[:, torch.randperm(10)]), atol=1e-6)
    assert not torch.allclose(writer(x)[0], writer(x)[1], atol=1e-3)


def test_the_readout_is_a_weighted_sum_over_feedback_tokens() -> None:
    readout = FeedbackReadout(2, memory_dim=2, tokens=3, hidden=0)
    tokens = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]])
    embedding = torch.tensor([[7.0, -7.0]])
    assert torch.equal(readout(tokens, embedding), torch.zeros(1, 2))  # the gate is shut
    with torch.no_grad():
        readout.weights.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]]))
        readout.output.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
        readout.output.bias.zero_()
        readout.gate.copy_(torch.tensor([1.0, 10.0]))
    # First features: 1 + 5 = 6, second: 4 - 6 = -2; then 6 and (6 - 2) times 10.
    assert torch.equal(readout(tokens, embedding), torch.tensor([[6.0, 40.0]]))


def test_the_hidden_layer_tells_same_from_different_which_no_sum_can() -> None:
    """What is held and what is shown are 1 or -1. The parity of two signs is no sum of them."""
    readout = FeedbackReadout(2, memory_dim=1, tokens=1, hidden=2)
    assert readout.hear is not None
    assert readout.hold is not None
    with torch.no_grad():
        readout.weights.fill_(1.0)
        readout.hear.weight.copy_(20 * torch.tensor([[0.5, -0.5], [-0.5, 0.5]]))
        readout.hear.bias.zero_()
        readout.hold.weight.copy_(20 * torch.tensor([[1.0], [-1.0]]))
        readout.hold.bias.zero_()
        readout.output.weight.copy_(torch.tensor([[0.0, 0.025, 0.025], [0.0, 0.0, 0.0]]))
        readout.output.bias.zero_()
        readout.gate.fill_(1.0)
    held = torch.tensor([1.0, 1.0, -1.0, -1.0]).view(4, 1, 1)
    shown = torch.tensor([1.0, -1.0, 1.0, -1.0])
    embedding = torch.stack([shown, -shown], dim=1)  # the norm leaves it as it is
    same = readout(held, embedding)[:, 0]
    assert torch.allclose(same, torch.tensor([1.0, 0.0, 0.0, 1.0]), atol=1e-4)
