"""A meter of what a network computes: synaptic operations, event by event.

    with EnergyMeter(model) as meter:
        logits, state = model.step(bin, state)
    meter.count().accumulates, meter.count().joules()

Each product of matrices and each convolution is looked at while it runs. Where one operand holds
only zeros and ones, every one of them adds a row of weights: the meter sums the fan-out that each
spike really has, at the edge of a picture the smaller one. Such additions are accumulates. All else
is multiplied: the meter then counts the inputs that are not zero, times their fan-out. Neurons that
receive a current are updated, and those that keep a membrane read and write it.

What this leaves out: fetching weights (in most chips dearer than the arithmetic), routing spikes,
instructions, leakage, the scaling of counts by powers of two, and updates of neurons that receive
nothing, whose leak an event-driven chip makes good when the next spike arrives. Products of spikes
with spikes count coincidences, as in SpikingJelly's counters. What the network that is compared
with leaves out is said at `vit_tiny_multiplies`.

Letters: B streams.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from vigilia.spiking.memory_token import Membrane
from vigilia.spiking.neuron_layer import Neurons
from vigilia.spiking.paths import Evidence

__all__ = ["COSTS", "Costs", "EnergyCount", "EnergyMeter", "LayerCount", "synaptic_operations"]

aten = torch.ops.aten


@dataclass(frozen=True)
class Costs:
    """Picojoules of an operation; memory is not in it.

    Attributes:
        multiply: of a multiplication and an addition.
        accumulate: of an addition.
    """

    multiply: float
    accumulate: float


COSTS: Mapping[str, Costs] = {
    "float32": Costs(4.6, 0.9),
    "float16": Costs(1.5, 0.4),
    "int8": Costs(0.23, 0.03),
}
"""In 45 nm at 0.9 V (Horowitz, "Computing's energy problem", ISSCC 2014)."""


@dataclass(frozen=True)
class LayerCount:
    """What one layer did.

    Attributes:
        name: of the module, as in `named_modules`.
        accumulates: additions that spikes caused.
        multiplies: multiplications with an addition each.
        updates: neurons that received a current.
        spikes: neurons that fired.
        state_bytes: of membranes read and written.
    """

    name: str
    accumulates: int = 0
    multiplies: int = 0
    updates: int = 0
    spikes: int = 0
    state_bytes: int = 0


@dataclass(frozen=True)
class EnergyCount:
    """What all layers did, in the order in which they did it first."""

    layers: tuple[LayerCount, ...]

    @property
    def accumulates(self) -> int:
        """Of all layers."""
        return sum(layer.accumulates for layer in self.layers)

    @property
    def multiplies(self) -> int:
        """Of all layers."""
        return sum(layer.multiplies for layer in self.layers)

    @property
    def updates(self) -> int:
        """Of all layers."""
        return sum(layer.updates for layer in self.layers)

    @property
    def spikes(self) -> int:
        """Of all layers."""
        return sum(layer.spikes for layer in self.layers)

    @property
    def state_bytes(self) -> int:
        """Of all layers."""
        return sum(layer.state_bytes for layer in self.layers)

    def joules(self, costs: Costs = COSTS["float32"]) -> float:
        """Energy of the synaptic operations, and of one multiplication for each update."""
        multiplied = (self.multiplies + self.updates) * costs.multiply
        return (multiplied + self.accumulates * costs.accumulate) * 1e-12


class EnergyMeter(TorchDispatchMode):
    """Counts while it is entered. It changes no result, and slows what it watches.

    Args:
        model: whose layers are told apart; what runs outside of them is counted under "".
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self._stack: list[str] = []
        self._counts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._handles: list[RemovableHandle] = []

    def count(self) -> EnergyCount:
        """Everything since the meter was made or last reset."""
        return EnergyCount(
            tuple(LayerCount(name, **fields) for name, fields in self._counts.items())
        )

    def reset(self) -> EnergyCount:
        """The same, and starts again from zero: one call a frame gives counts by frame."""
        count = self.count()
        self._counts.clear()
        return count

    def __enter__(self) -> EnergyMeter:
        for name, module in self._model.named_modules():
            self._handles.append(module.register_forward_pre_hook(self._entering(name)))
            self._handles.append(
                module.register_forward_hook(self._leaving(name), always_call=True)
            )
        super().__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        counter = _PRODUCTS.get(function)
        if counter is None:
            # Under inference mode torch hands over whole layers; their parts are what is counted.
            super().__enter__()
            try:
                out = function.decompose(*args, **(kwargs or {}))
            finally:
                super().__exit__(None, None, None)
            if out is not NotImplemented:
                return out
        out = function(*args, **(kwargs or {}))
        if counter is not None:
            accumulates, multiplies = counter(args)
            self._add(self._stack[-1] if self._stack else "", accumulates, multiplies)
        return out

    def _add(self, name: str, accumulates: int, multiplies: int) -> None:
        if accumulates or multiplies:
            self._counts[name]["accumulates"] += accumulates
            self._counts[name]["multiplies"] += multiplies

    def _entering(self, name: str) -> Callable[..., None]:
        return lambda module, arguments: self._stack.append(name)

    def _leaving(self, name: str) -> Callable[..., None]:
        def leave(module: nn.Module, arguments: tuple[Tensor, ...], result: Any) -> None:
            self._stack.pop()
            if isinstance(module, Neurons):
                current, membrane = arguments
                self._neurons(name, current != 0, result[0], module.tau is not None, membrane)
            elif isinstance(module, Membrane | Evidence):
                current, membrane, gate = arguments
                self._neurons(name, (gate != 0).expand_as(membrane), gate, True, membrane)

        return leave

    def _neurons(
        self, name: str, driven: Tensor, spikes: Tensor, keeps: bool, membrane: Tensor
    ) -> None:
        with torch.utils._python_dispatch._disable_current_modes():
            updates, fired = int(driven.sum()), int((spikes != 0).sum())
        if updates:
            layer = self._counts[name]
            layer["updates"] += updates
            layer["spikes"] += fired
            layer["state_bytes"] += 2 * updates * membrane.element_size() if keeps else 0


def synaptic_operations(
    spikes: Tensor, weight: Tensor, *, stride: int = 1, padding: int = 0
) -> int:
    """Additions that spikes cause in a convolution: each spike times the weights that see it.

    spikes: (B, C, H, W), weight: (outputs, C, h, w).
    """
    return _fan_out(spikes, weight, [stride] * 2, [padding] * 2, [1, 1], 1)


def _fan_out(
    x: Tensor, weight: Tensor, stride: Any, padding: Any, dilation: Any, groups: int
) -> int:
    fired = (x != 0).to(torch.float64).sum((0, 1), keepdim=True)  # (1, 1, H, W)
    kernel = torch.ones(1, 1, *weight.shape[2:], dtype=torch.float64, device=x.device)
    seen = F.conv2d(fired, kernel, None, tuple(stride), tuple(padding), tuple(dilation))
    return round(float(seen.sum())) * (len(weight) // groups)


def _binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _matrices(a: Tensor, b: Tensor) -> tuple[int, int]:
    """Accumulates and multiplies of a (..., n, k) @ b (..., k, m)."""
    left, right = _binary(a), _binary(b)
    if left and right:  # a one only counts where it meets a one
        return round(float((a.double() @ b.double()).sum())), 0
    if left:
        return int(a.count_nonzero()) * b.shape[-1], 0
    if right:
        return int(b.count_nonzero()) * a.shape[-2], 0
    return 0, int(a.count_nonzero()) * b.shape[-1]


def _convolution(args: Any) -> tuple[int, int]:
    x, weight, _, stride, padding, dilation, transposed, _, groups = args[:9]
    plain = x.ndim == 4 and not transposed
    assert plain, "the meter knows plain convolutions of pictures"
    uses = _fan_out(x, weight, stride, padding, dilation, groups)
    return (uses, 0) if _binary(x) else (0, uses)


_PRODUCTS: Mapping[Any, Callable[[Any], tuple[int, int]]] = {
    aten.mm.default: lambda args: _matrices(*args[:2]),
    aten.bmm.default: lambda args: _matrices(*args[:2]),
    aten.addmm.default: lambda args: _matrices(*args[1:3]),
    aten.baddbmm.default: lambda args: _matrices(*args[1:3]),
    aten.mv.default: lambda args: _matrices(args[0], args[1][:, None]),
    aten.convolution.default: _convolution,
}
