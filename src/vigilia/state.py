"""State as a value: what a stream remembers between two calls.

A state is a frozen dataclass whose fields are tensors with the stream axis B first, other
states, or tuples of states. The fresh state is all zeros, so that `reset` needs no model, and
every function here returns a new value and leaves the old one alone.

Letters: B streams.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

__all__ = [
    "State",
    "any_row",
    "detach",
    "map_tensors",
    "named_tensors",
    "reset",
    "where_rows",
    "with_tensors",
]


@dataclasses.dataclass(frozen=True)
class State:
    """Base of every state: fields are tensors (B, ...), states, or tuples of states."""

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors together."""
        return sum(tensor.nbytes for tensor in named_tensors(self).values())


S = TypeVar("S", bound=State)


def map_tensors(function: Callable[..., Tensor], state: S, *others: S) -> S:
    """Applies `function` to each tensor of `state`, with the same tensors of `others` beside it."""
    return _map(function, state, *others)


def _map(function: Callable[..., Tensor], *values: Any) -> Any:
    first = values[0]
    if isinstance(first, Tensor):
        return function(*values)
    if isinstance(first, tuple):
        return tuple(_map(function, *items) for items in zip(*values, strict=True))
    assert isinstance(first, State), f"a state holds tensors and states, got {type(first).__name__}"
    fields = {
        field.name: _map(function, *(getattr(value, field.name) for value in values))
        for field in dataclasses.fields(first)
    }
    return dataclasses.replace(first, **fields)


def where_rows(rows: Tensor, new: S, old: S) -> S:
    """Takes the rows of `new` where `rows` is true and those of `old`, bit for bit, elsewhere.

    Args:
        rows: (B,) bool.
        new: state after a step.
        old: state before it.
    """
    return map_tensors(lambda a, b: torch.where(_column(rows, a), a, b), new, old)


def reset(state: S, rows: Tensor | Sequence[bool] | None = None) -> S:
    """Returns the state in which the chosen streams start anew.

    Args:
        state: any state with B streams.
        rows: (B,) bool, tensor or list, true where a stream starts anew; None for all of them.
    """
    if rows is None:
        return map_tensors(torch.zeros_like, state)
    rows = torch.as_tensor(rows, dtype=torch.bool)
    # `where`, not a product with zero: what is thrown away may hold NaN.
    return map_tensors(lambda a: torch.where(_column(rows, a), torch.zeros_like(a), a), state)


def any_row(rows: Tensor) -> bool:
    """Whether a row is true; where that is not known yet, as in an export, one may be.

    rows: bool, of any shape.
    """
    return rows.is_meta or torch.compiler.is_compiling() or bool(rows.any())


def detach(state: S) -> S:
    """Cuts the gradient's way into the past: the end of a chunk in truncated backpropagation."""
    return map_tensors(Tensor.detach, state)


def _column(rows: Tensor, tensor: Tensor) -> Tensor:
    return rows.to(tensor.device).view(-1, *[1] * (tensor.ndim - 1))


def named_tensors(state: State) -> dict[str, Tensor]:
    """The tensors of a state by dotted name, for saving: `memory.stages.0.keys`."""
    return dict(_walk(state, ""))


def _walk(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _walk(item, f"{name}.{index}" if name else str(index))
    else:
        for field in dataclasses.fields(value):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _walk(getattr(value, field.name), inner)


def with_tensors(state: S, tensors: dict[str, Tensor]) -> S:
    """The state with its tensors replaced by those of the same name, shape and type.

    Raises:
        ValueError: a tensor is missing, left over, or of another shape or type.
    """
    mine = named_tensors(state)
    if mine.keys() != tensors.keys():
        odd = sorted(mine.keys() ^ tensors.keys())
        raise ValueError(
            f"the saved state does not fit this model: {odd[0]} is in only one of them"
        )
    for name, tensor in mine.items():
        saved = tensors[name]
        if saved.shape != tensor.shape or saved.dtype != tensor.dtype:
            raise ValueError(
                f"the saved state does not fit this model: {name} is {tuple(saved.shape)} "
                f"{saved.dtype}, expected {tuple(tensor.shape)} {tensor.dtype}"
            )
    names = iter(mine)
    return map_tensors(lambda old: tensors[next(names)].to(old.device), state)
