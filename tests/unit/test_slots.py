"""The queue of slots: first in, first out, and consolidation held to an oracle of plain lists."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest
import torch
from torch import Tensor

from vigilia.memory.slots import merge_neighbours, push


def test_pushing_1_to_5_into_three_slots_leaves_3_4_5() -> None:
    slots = torch.zeros(1, 3)
    for number in (1.0, 2.0, 3.0, 4.0, 5.0):
        slots = push(slots, torch.tensor([number]), torch.tensor([True]))
    assert slots.tolist() == [[3.0, 4.0, 5.0]]


def test_the_empty_slots_stay_in_front() -> None:
    slots = push(torch.zeros(1, 3), torch.tensor([7.0]), torch.tensor([True]))
    assert slots.tolist() == [[0.0, 0.0, 7.0]]


def test_each_row_is_a_queue_of_its_own() -> None:
    rows, length = 4, 5
    slots = torch.zeros(rows, length, 2, 3)
    queues: list[list[Tensor]] = [[torch.zeros(2, 3)] * length for _ in range(rows)]
    for _ in range(40):
        new, written = torch.randn(rows, 2, 3), torch.rand(rows) < 0.5
        before = slots
        slots = push(slots, new, written)
        assert torch.equal(slots[~written], before[~written])
        for row in written.nonzero().flatten().tolist():
            queues[row] = [*queues[row][1:], new[row]]
        assert torch.equal(slots, torch.stack([torch.stack(queue) for queue in queues]))


def test_pushing_leaves_the_old_queue_alone() -> None:
    slots = torch.randn(2, 3)
    before = slots.clone()
    push(slots, torch.randn(2), torch.tensor([True, False]))
    assert torch.equal(slots, before)


class Oracle:
    """One row as a list of slots, each the list of all that was written into it."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.slots: list[list[float]] = []

    def write(self, number: float) -> None:
        if len(self.slots) == self.length:
            self.merge()
        self.slots.append([number])

    def merge(self) -> None:
        best, place = None, 0
        for i in range(self.length - 1):
            joint = len(self.slots[i]) + len(self.slots[i + 1])
            ratio = Fraction(joint, sum(len(slot) for slot in self.slots[i:]))
            if best is None or ratio < best:
                best, place = ratio, i
        self.slots[place : place + 2] = [self.slots[place] + self.slots[place + 1]]

    def spans(self) -> list[int]:
        return [0] * (self.length - len(self.slots)) + [len(slot) for slot in self.slots]

    def means(self) -> list[float]:
        return [sum(slot) / len(slot) for slot in self.slots]


def write(
    slots: tuple[Tensor, ...], spans: Tensor, new: tuple[Tensor, ...], rows: Tensor
) -> tuple[tuple[Tensor, ...], Tensor]:
    slots, spans = merge_neighbours(slots, spans, rows)
    written = tuple(push(old, entry, rows) for old, entry in zip(slots, new, strict=True))
    return written, push(spans, torch.ones_like(spans[:, 0]), rows)


def write_times(length: int, times: int) -> Tensor:
    """Spans (times, L) after each of so many writes into one row."""
    spans, history = torch.zeros(1, length, dtype=torch.int64), []
    for _ in range(times):
        _, spans = write((), spans, (), torch.tensor([True]))
        history.append(spans[0])
    return torch.stack(history)


def test_seven_writes_into_four_slots_by_hand() -> None:
    # At the seventh, the pairs of 4, 1, 1, 1 have joint spans 5, 2, 2 at ages 7, 3, 2.
    assert write_times(4, 7).tolist() == [
        [0, 0, 0, 1],
        [0, 0, 1, 1],
        [0, 1, 1, 1],
        [1, 1, 1, 1],
        [2, 1, 1, 1],
        [3, 1, 1, 1],
        [4, 1, 1, 1],
    ]
    assert write_times(4, 8)[-1].tolist() == [4, 2, 1, 1]


def test_merging_by_hand_weighs_by_span() -> None:
    values = torch.tensor([[10.0, 40.0, 7.0]])
    (merged,), spans = merge_neighbours((values,), torch.tensor([[2, 1, 1]]), torch.tensor([True]))
    # Joint spans 3 and 2 at ages 4 and 2: the older pair, (2 * 10 + 1 * 40) / 3.
    assert spans.tolist() == [[0, 3, 1]]
    assert merged[0, 1:].tolist() == [20.0, 7.0]


def test_with_equal_spans_the_oldest_pair_is_merged() -> None:
    for length in range(2, 9):
        spans = torch.full((1, length), 3)
        _, merged = merge_neighbours((), spans, torch.tensor([True]))
        assert merged[0].tolist() == [0, 6] + [3] * (length - 2)


@pytest.mark.parametrize("length", [2, 3, 5, 8])
def test_consolidation_agrees_with_lists(length: int) -> None:
    rng = random.Random(length)
    rows = 3
    oracles = [Oracle(length) for _ in range(rows)]
    wide = torch.zeros(rows, length, 2, 2, dtype=torch.float64)
    flat = torch.zeros(rows, length, dtype=torch.float64)
    spans = torch.zeros(rows, length, dtype=torch.int64)
    for step in range(90):
        numbers = [rng.uniform(-1, 1) for _ in range(rows)]
        written = torch.tensor([rng.random() < (0.2, 0.6, 1.0)[row] for row in range(rows)])
        new = torch.tensor(numbers, dtype=torch.float64)
        before = (wide, flat, spans)
        (wide, flat), spans = write(
            (wide, flat), spans, (new.view(-1, 1, 1).expand(-1, 2, 2), new), written
        )
        for old, tensor in zip(before, (wide, flat, spans), strict=True):
            assert torch.equal(old[~written], tensor[~written])
        for row in written.nonzero().flatten().tolist():
            oracles[row].write(numbers[row])
        assert spans.tolist() == [oracle.spans() for oracle in oracles], step
        for row, oracle in enumerate(oracles):
            means = torch.tensor(oracle.means(), dtype=torch.float64)
            filled = spans[row] > 0
            assert torch.allclose(flat[row][filled], means, atol=1e-6)
            assert torch.allclose(
                wide[row][filled], means.view(-1, 1, 1).expand(-1, 2, 2), atol=1e-6
            )


@pytest.mark.parametrize("length", [2, 4, 9])
def test_nothing_is_ever_lost(length: int) -> None:
    sums = write_times(length, 200).sum(dim=1)
    assert sums.tolist() == list(range(1, 201))


@pytest.mark.parametrize("length", [8, 16, 25])
def test_spans_grow_with_age_and_the_newest_stay_in_full_detail(length: int) -> None:
    spans = write_times(length, 1500)[-1]
    begin = spans.flip(0).cumsum(0).flip(0)  # clips from a slot's start to now
    share = spans.double() / begin.double()
    assert spans[-1] == spans[-2] == 1
    # A slot stands for about the same share of its age wherever it lies: a proportion, not a fixed
    # length. Among the old slots, whose spans are no small integers, within a factor of three.
    old = share[spans >= 8][1:]
    assert len(old) >= 3
    assert old.max() < 3 * old.min()


def reach(length: int) -> int:
    """Writes until some merged slot stands for more than half of its age: the detail has gone."""
    history = write_times(length, 500)
    begin = history.flip(1).cumsum(1).flip(1)
    gone = ((history > 1) & (2 * history > begin)).any(dim=1)
    assert gone.any()
    return int(gone.nonzero()[0])


def test_the_time_covered_at_equal_detail_grows_exponentially_with_the_slots() -> None:
    few, more, most = reach(4), reach(8), reach(16)
    # A queue that drops its oldest slot would cover twice the time with twice the slots.
    assert more > 4 * few
    assert most > 16 * more
    assert most > 25 * 16


def test_rows_with_room_are_left_as_they_are() -> None:
    values = torch.randn(3, 4, 2)
    spans = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    (merged,), after = merge_neighbours((values,), spans, torch.tensor([True, False, True]))
    assert torch.equal(merged[:2], values[:2])
    assert torch.equal(after[:2], spans[:2])
    assert after[2].tolist() == [0, 2, 1, 1]


def test_gradient_passes_through_a_merge_by_weight() -> None:
    values = torch.randn(1, 3, requires_grad=True)
    (merged,), _ = merge_neighbours((values,), torch.tensor([[3, 1, 1]]), torch.tensor([True]))
    # 3 + 1 at age 5 against 1 + 1 at age 2: the older pair.
    merged[0, 1].backward()
    assert values.grad is not None
    assert torch.allclose(values.grad, torch.tensor([[0.75, 0.25, 0.0]]))
