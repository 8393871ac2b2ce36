"""This process among those that train one model: its device, its precision, its rows.

Each process computes its share of the rows; gradients are added up once per update, in one piece,
so that no process waits on a parameter that its rows did not need. lightning-fabric brings the
processes together (`torchrun --nproc-per-node 2 -m vigilia train ...`) and carries the precision;
one process in float32 does without it.

Letters: B rows of all processes together.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor

from vigilia.errors import MissingExtraError, OptionError
from vigilia.installation import install_command
from vigilia.state import State, map_tensors

__all__ = ["Worker", "is_first", "make_worker"]

S = TypeVar("S", bound=State)
T = TypeVar("T")


def is_first() -> bool:
    """Whether this process is the one that speaks and writes; torchrun numbers them."""
    return int(os.environ.get("RANK", "0")) == 0


@dataclass(frozen=True)
class Worker:
    """One of the processes.

    Attributes:
        device: where it computes.
        rank: its number.
        size: how many there are.
        fabric: of lightning-fabric; None for one process in float32.
    """

    device: torch.device
    rank: int = 0
    size: int = 1
    fabric: Any = None

    @property
    def first(self) -> bool:
        """Whether it is the one that writes files."""
        return self.rank == 0

    def rows(self, total: int) -> slice:
        """Its share of B rows."""
        each = total // self.size
        return slice(self.rank * each, (self.rank + 1) * each)

    @property
    def autocast(self) -> Callable[[], AbstractContextManager[Any]] | None:
        """The precision of forward passes; None for that of the weights."""
        return None if self.fabric is None else self.fabric.autocast

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            self.fabric.barrier()

    def in_turn(self, do: Callable[[], T]) -> T:
        """Does something in each process, one after the other: what writes a shared cache."""
        result: list[T] = []
        for rank in range(self.size):
            if rank == self.rank:
                result.append(do())
            self.wait()
        return result[0]

    def add(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size == 1:
            return value
        return self.fabric.all_reduce(value.to(self.device), reduce_op="sum")

    def gather(self, state: S) -> S:
        """The state of all B rows from each process's share."""
        if self.size == 1:
            return state

        def every(tensor: Tensor) -> Tensor:
            if not tensor.numel():
                return tensor.new_empty(self.size * len(tensor), *tensor.shape[1:])
            return self.fabric.all_gather(tensor.contiguous()).flatten(0, 1)

        return map_tensors(every, state)

    def add_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Adds up the gradients of all processes, in place.

        A parameter that no process needed keeps no gradient, as with one process.
        """
        if self.size == 1:
            return
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        needed = [float(parameter.grad is not None) for parameter in learning]
        parts = [
            parameter.grad.flatten().float()
            if parameter.grad is not None
            else torch.zeros(parameter.numel(), device=self.device)
            for parameter in learning
        ]
        total = self.add(torch.cat([*parts, torch.tensor(needed, device=self.device)]))
        counts = total[-len(learning) :].tolist()
        sums = total.split([*(len(part) for part in parts), len(learning)])
        for parameter, gradient, count in zip(learning, sums, counts, strict=False):
            if count:
                parameter.grad = gradient.view_as(parameter).to(parameter.dtype)

    def same_weights(self, module: torch.nn.Module) -> None:
        """Gives every process the weights of the first."""
        if self.size > 1:
            with torch.no_grad():
                for tensor in module.state_dict().values():
                    tensor.copy_(self.fabric.broadcast(tensor, src=0))


def make_worker(device: torch.device, *, precision: str = "32", rows: int = 1) -> Worker:
    """Joins the other processes, if torchrun started several.

    Args:
        device: as the user named it; of several graphics cards each process takes its own.
        precision: "32" or "bf16".
        rows: B, to be shared out.

    Raises:
        MissingExtraError: precision or processes need lightning-fabric, and it is not installed.
        OptionError: the rows cannot be shared out evenly.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 and precision == "32":
        return Worker(device)
    if rows % size:
        raise OptionError(
            f"rows must divide by the {size} processes, got {rows}; every process takes its share"
        )
    try:
        from lightning_fabric import Fabric
        from lightning_fabric.strategies import DDPStrategy
    except ImportError as error:
        raise MissingExtraError(
            "precision bf16 and several processes need lightning-fabric: "
            f"{install_command('train')}"
        ) from error
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    devices: Any = [device.index] if size == 1 and device.index is not None else here
    with _quiet():
        fabric = Fabric(
            accelerator=device.type,
            devices=devices,
            num_nodes=size // here,
            # Decoding comes before the first update, in one process: hours must not be too long.
            strategy=DDPStrategy(timeout=timedelta(days=7)) if size > 1 else "auto",
            precision="bf16-mixed" if precision == "bf16" else "32-true",
        )
        fabric.launch()
    if size > 1:
        # A group that is still open when the interpreter ends may abort it: its threads run.
        atexit.register(_leave_group)
    return Worker(fabric.device, fabric.global_rank, size, fabric)


def _leave_group() -> None:
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the banner of lightning-fabric."""
    import logging

    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
