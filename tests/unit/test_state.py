"""State as a value: counted, mapped, reset by rows, chosen by rows, named and put back."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from torch import Tensor

from vigilia.state import (
    State,
    detach,
    map_tensors,
    named_tensors,
    reset,
    where_rows,
    with_tensors,
)


@dataclass(frozen=True)
class Inner(State):
    keys: Tensor
    count: Tensor


@dataclass(frozen=True)
class Outer(State):
    stages: tuple[Inner, ...]
    seconds: Tensor
    last: Inner


NAMES = [
    "stages.0.keys",
    "stages.0.count",
    "stages.1.keys",
    "stages.1.count",
    "seconds",
    "last.keys",
    "last.count",
]


def inner(rows: int) -> Inner:
    return Inner(torch.randn(rows, 2, 3), torch.randint(1, 9, (rows,)))


def outer(rows: int = 4) -> Outer:
    return Outer(
        stages=(inner(rows), inner(rows)),
        seconds=torch.rand(rows, dtype=torch.float64),
        last=inner(rows),
    )


def equal(a: State, b: State) -> bool:
    mine, theirs = named_tensors(a), named_tensors(b)
    return mine.keys() == theirs.keys() and all(
        tensor.dtype == theirs[name].dtype and torch.equal(tensor, theirs[name])
        for name, tensor in mine.items()
    )


def test_bytes_are_those_of_all_tensors_together() -> None:
    state = outer(rows=4)
    # Three inner states of 24 floats and 4 integers of 8 bytes, and 4 doubles.
    assert state.nbytes == 3 * (24 * 4 + 4 * 8) + 4 * 8
    assert outer(rows=8).nbytes == 2 * state.nbytes


def test_a_state_cannot_be_changed_in_place_by_its_fields() -> None:
    with pytest.raises(FrozenInstanceError):
        outer().seconds = torch.zeros(4)  # type: ignore[misc]


def test_map_reaches_every_tensor_and_keeps_the_types() -> None:
    a, b = outer(), outer()
    total = map_tensors(torch.add, a, b)
    assert type(total) is Outer
    assert type(total.stages[1]) is Inner
    for name, tensor in named_tensors(total).items():
        assert torch.equal(tensor, named_tensors(a)[name] + named_tensors(b)[name])


def test_map_leaves_the_old_value_alone() -> None:
    state = outer()
    before = {name: tensor.clone() for name, tensor in named_tensors(state).items()}
    map_tensors(lambda a: a * 2, state)
    reset(state, torch.tensor([True, True, False, False]))
    assert all(torch.equal(before[name], tensor) for name, tensor in named_tensors(state).items())


def test_states_of_unequal_depth_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        map_tensors(torch.add, outer(), Outer((inner(4),), torch.rand(4), inner(4)))


def test_reset_clears_the_chosen_rows_and_leaves_the_others_bit_for_bit() -> None:
    for _ in range(20):
        state = outer(rows=5)
        rows = torch.rand(5) < 0.5
        after = named_tensors(reset(state, rows))
        for name, old in named_tensors(state).items():
            assert torch.equal(after[name][~rows], old[~rows]), name
            assert not after[name][rows].any(), name


def test_reset_of_row_one_by_hand() -> None:
    state = Inner(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([4, 5, 6]))
    after = reset(state, torch.tensor([False, True, False]))
    assert after.keys.tolist() == [[1.0], [0.0], [3.0]]
    assert after.count.tolist() == [4, 0, 6]


@pytest.mark.parametrize("poison", [float("nan"), float("inf")])
def test_reset_also_clears_what_is_no_number(poison: float) -> None:
    state = Inner(torch.full((2, 3), poison), torch.ones(2))
    after = reset(state, torch.tensor([True, False]))
    assert torch.equal(after.keys[0], torch.zeros(3))
    assert not after.keys[1].isfinite().any()
    assert torch.equal(reset(state).keys, torch.zeros(2, 3))


def test_reset_without_rows_clears_all() -> None:
    state = outer()
    after = reset(state)
    assert not any(tensor.any() for tensor in named_tensors(after).values())
    assert equal(after, reset(state, torch.ones(4, dtype=torch.bool)))
    assert after.nbytes == state.nbytes


def test_detach_cuts_the_gradient_and_keeps_the_values() -> None:
    weight = torch.randn(2, 3, requires_grad=True)
    state = Inner(weight * 2, torch.arange(2.0, requires_grad=True) + 1)
    cut = detach(state)
    assert not any(tensor.requires_grad for tensor in named_tensors(cut).values())
    assert all(tensor.requires_grad for tensor in named_tensors(state).values())
    assert equal(cut, state)


def test_where_rows_takes_each_row_from_one_side_bit_for_bit() -> None:
    new, old = outer(), outer()
    rows = torch.tensor([True, False, False, True])
    mixed = named_tensors(where_rows(rows, new, old))
    for name, tensor in mixed.items():
        assert torch.equal(tensor[rows], named_tensors(new)[name][rows])
        assert torch.equal(tensor[~rows], named_tensors(old)[name][~rows])


def test_where_rows_does_not_let_a_bad_row_through() -> None:
    new = Inner(torch.full((2, 2), float("nan")), torch.ones(2))
    old = Inner(torch.ones(2, 2), torch.zeros(2))
    mixed = where_rows(torch.tensor([False, False]), new, old)
    assert equal(mixed, old)


def test_names_are_dotted_and_in_the_order_of_the_fields() -> None:
    assert list(named_tensors(outer())) == NAMES


def test_named_tensors_go_back_where_they_came_from() -> None:
    state, other = outer(), outer()
    assert not equal(state, other)
    tensors = dict(reversed(named_tensors(state).items()))
    assert equal(with_tensors(other, tensors), state)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_tensor_is_refused_by_name(name: str) -> None:
    tensors = named_tensors(outer())
    del tensors[name]
    with pytest.raises(ValueError, match=rf"does not fit this model: {name} is in only one"):
        with_tensors(outer(), tensors)


def test_a_tensor_too_many_is_refused_by_name() -> None:
    tensors = named_tensors(outer()) | {"stages.2.keys": torch.zeros(4)}
    with pytest.raises(ValueError, match=r"stages\.2\.keys is in only one of them"):
        with_tensors(outer(), tensors)


def test_another_number_of_rows_is_refused_with_both_shapes() -> None:
    with pytest.raises(ValueError, match=r"stages\.0\.keys is \(3, 2, 3\).*expected \(4, 2, 3\)"):
        with_tensors(outer(4), named_tensors(outer(3)))


def test_another_type_is_refused() -> None:
    tensors = named_tensors(outer())
    tensors["seconds"] = tensors["seconds"].float()
    with pytest.raises(ValueError, match=r"seconds is \(4,\) torch\.float32, expected"):
        with_tensors(outer(), tensors)


def test_a_state_without_tensors_is_a_state() -> None:
    @dataclass(frozen=True)
    class Nothing(State):
        pass

    assert Nothing().nbytes == 0
    assert named_tensors(Nothing()) == {}
    assert reset(Nothing(), torch.tensor([True])) == with_tensors(Nothing(), {})
