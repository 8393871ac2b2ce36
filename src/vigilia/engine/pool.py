"""The states of all streams, in tensors that are allocated once.

A stream owns one row. Joining takes a free row, leaving gives it back; nothing is moved, nothing
grows and there is nothing to fragment. A batch gathers its rows and puts them back after the step.

Letters: R rows of the pool, B rows of a batch.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import torch
from torch import Tensor

from vigilia.errors import OptionError
from vigilia.state import map_tensors, named_tensors
from vigilia.stream import StreamClassifier, StreamState

__all__ = ["StatePool"]


class StatePool:
    """Rows of state for R streams of one model, and one more for the idle rows of a batch.

    Args:
        model: whose states they are; they lie where it lies.
        rows: R.
        batch: B.
        dtype: of what is remembered; by default the model's.

    Raises:
        OptionError: `rows` or `batch` is not positive.
    """

    def __init__(
        self,
        model: StreamClassifier,
        *,
        rows: int,
        batch: int,
        dtype: torch.dtype | None = None,
    ) -> None:
        if rows < 1 or batch < 1:
            raise OptionError(f"streams and batch must be at least 1, got {rows} and {batch}")
        self.rows = rows
        self.batch = batch
        self._all = model.init_state(rows + 1, dtype=dtype)
        # A batch of one is a view of its row and needs no room of its own.
        self._batch = model.init_state(batch, dtype=dtype) if batch > 1 else None
        self._free = list(range(rows))
        self._device = self._all.logits.device

    @property
    def nbytes(self) -> int:
        """Bytes of all rows, and of a batch."""
        return self._all.nbytes + (0 if self._batch is None else self._batch.nbytes)

    @property
    def nbytes_per_stream(self) -> int:
        """Bytes of one row: what a stream remembers."""
        return self._all.nbytes // (self.rows + 1)

    @property
    def device(self) -> torch.device:
        """Where the states lie."""
        return self._device

    @property
    def dtype(self) -> torch.dtype:
        """Of the clips that go with them."""
        return self._all.logits.dtype

    @property
    def free(self) -> int:
        """Rows that no stream owns."""
        return len(self._free)

    def take(self) -> int:
        """A free row, the lowest. What lies in it is the last owner's: reset it before use.

        Raises:
            OptionError: there is none.
        """
        if not self._free:
            raise OptionError(
                f"there is room for {self.rows} streams and all are taken; remove one, or make "
                "the engine with more"
            )
        return heapq.heappop(self._free)

    def give_back(self, row: int) -> None:
        """The row's stream has ended."""
        assert 0 <= row < self.rows
        assert row not in self._free
        heapq.heappush(self._free, row)

    def gather(self, rows: Sequence[int]) -> StreamState:
        """The states of the chosen rows as a batch; rows that are missing are idle.

        The result is valid until the next `gather` or `scatter`.
        """
        if self._batch is None:
            (row,) = rows
            return map_tensors(lambda tensor: tensor[row : row + 1], self._all)
        index = self._index(rows)

        def select(place: Tensor, tensor: Tensor) -> Tensor:
            return torch.index_select(tensor, 0, index, out=place)

        return map_tensors(select, self._batch, self._all)

    def scatter(self, rows: Sequence[int], state: StreamState) -> None:
        """Puts a batch's states back into the chosen rows."""
        index = self._index(rows)
        count = len(rows)
        new = named_tensors(state)
        for name, tensor in named_tensors(self._all).items():
            if self._batch is None:
                tensor[rows[0]].copy_(new[name][0])
            else:
                tensor.index_copy_(0, index[:count], new[name][:count])

    def read(self, row: int) -> StreamState:
        """A copy of one row, with B = 1."""
        return map_tensors(lambda tensor: tensor[row : row + 1].clone(), self._all)

    def write(self, row: int, state: StreamState) -> None:
        """Fills one row from a state with B = 1.

        Raises:
            OptionError: the state is another model's.
        """
        mine, theirs = named_tensors(self._all), named_tensors(state)
        if mine.keys() != theirs.keys() or any(
            mine[name][:1].shape != theirs[name].shape for name in mine
        ):
            raise OptionError("state must be of one stream of this model")
        for name, tensor in mine.items():
            tensor[row].copy_(theirs[name][0])

    def set_seconds(self, row: int, seconds: float) -> None:
        """Moves one stream's clock to `seconds`, where a step was not worth its while."""
        self._all.seconds[row] = seconds

    def _index(self, rows: Sequence[int]) -> Tensor:
        """(B,) int64: the chosen rows, then the one that nobody owns."""
        padded = [*rows, *[self.rows] * (self.batch - len(rows))]
        return torch.tensor(padded, device=self._device)
