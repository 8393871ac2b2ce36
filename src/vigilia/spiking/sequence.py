"""Membranes through a whole sequence of steps, and back: what the functions of `neurons.py` run.

Nothing is recorded from step to step: the charged membranes are kept, and the way back is written
out by hand. On a CPU a hundred thousand neurons are taken through all steps together, in buffers
that stay in cache and are enough for every core; whole sequences of intermediate values would go
through memory instead, which made the way back five times as slow.

Letters: T steps, N neurons.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from vigilia.spiking.surrogate import Surrogate

__all__ = ["Rule", "through_time"]

BLOCK = 1 << 17
"""Neurons that are taken through a whole sequence together."""


@dataclass(frozen=True)
class Rule:
    """What neurons do in a step.

    Attributes:
        tau: time constant in steps; not looked at where a share is learned.
        threshold: a membrane that reaches it fires.
        reset: "hard", "soft" or "none".
        reset_value: where a hard reset leads, and where the leak leads.
        surrogate: the spike's derivative.
        detach_reset: gradient does not flow through the spike that resets.
    """

    tau: float
    threshold: float
    reset: str
    reset_value: float
    surrogate: Surrogate
    detach_reset: bool


def through_time(
    currents: Tensor, membrane: Tensor, share: Tensor | None, rule: Rule
) -> tuple[Tensor, Tensor]:
    """currents: (T, ...), membrane: (...) -> spikes (T, ...), membrane (...) after the last.

    Args:
        currents: input of each step.
        membrane: before the first step.
        share: 1 / tau where that is learned: () or anything that broadcasts to a membrane.
        rule: what a step does.
    """
    needs = any(t is not None and t.requires_grad for t in (currents, membrane, share))
    if torch.is_grad_enabled() and needs:
        learnt: tuple[Tensor, Tensor] = _Sequence.apply(currents, membrane, share, rule)
        return learnt
    spikes, after, _ = _forward(currents, membrane, share, rule, keep=False)
    return spikes, after


def _forward(
    currents: Tensor, membrane: Tensor, share: Tensor | None, rule: Rule, *, keep: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Spikes, last membrane and, on request, every charged membrane (T, ...)."""
    spikes = torch.empty_like(currents, memory_format=torch.contiguous_format)
    after = torch.empty_like(membrane, memory_format=torch.contiguous_format)
    charged = torch.empty_like(spikes) if keep else None
    x, v = _flat(currents), membrane.reshape(-1)
    fired, last = _flat(spikes), after.view(-1)
    kept = None if charged is None else _flat(charged)
    each = _each(share, membrane)
    for part in _blocks(v):
        _run(
            x[:, part],
            v[part],
            each if each is None or not each.ndim else each[part],
            rule,
            fired[:, part],
            last[part],
            None if kept is None else kept[:, part],
        )
    return spikes, after, charged


def _run(
    currents: Tensor,
    membrane: Tensor,
    share: Tensor | None,
    rule: Rule,
    spikes: Tensor,
    after: Tensor,
    charged: Tensor | None,
) -> None:
    """currents: (T, N), membrane: (N,) -> spikes (T, N), after (N,) and charged (T, N), in place.

    The order of the sums is SpikingJelly's, and the same in every form: that makes them bit-equal.
    """
    scratch, rest = torch.empty_like(membrane), torch.empty_like(membrane)
    for step, current in enumerate(currents):
        h = scratch if charged is None else charged[step]
        leads = membrane - rule.reset_value if rule.reset_value else membrane
        torch.sub(current, leads, out=h)
        h = h.div_(rule.tau) if share is None else h.mul_(share)
        h.add_(membrane)
        # Into floats: a mask of bools costs several times as much, here as in what reads it.
        fired = torch.ge(h, rule.threshold, out=spikes[step])
        if rule.reset == "hard":
            membrane = torch.mul(h, torch.lt(h, rule.threshold, out=rest), out=after)
            if rule.reset_value:
                membrane.add_(fired, alpha=rule.reset_value)
        elif rule.reset == "soft":
            membrane = torch.sub(h, fired, alpha=rule.threshold, out=after)
        else:
            membrane = after.copy_(h)
    if not len(currents):
        after.copy_(membrane)


class _Sequence(torch.autograd.Function):
    """The same with a gradient."""

    @staticmethod
    def forward(
        ctx: Any, currents: Tensor, membrane: Tensor, share: Tensor | None, rule: Rule
    ) -> tuple[Tensor, Tensor]:
        spikes, after, charged = _forward(currents, membrane, share, rule, keep=True)
        learns = share is not None and share.requires_grad
        ctx.save_for_backward(charged, currents if learns else None, membrane, share)
        ctx.rule = rule
        return spikes, after

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        charged, currents, membrane, share = ctx.saved_tensors
        to_currents = torch.empty_like(charged)
        to_membrane = gradients[1].clone(memory_format=torch.contiguous_format)
        learned = None if currents is None else torch.zeros_like(to_membrane)
        columns = (charged, gradients[0], to_currents)
        h, to_spikes, to_x = (_flat(one) for one in columns)
        to_v, each = to_membrane.view(-1), _each(share, membrane)
        for part in _blocks(to_v):
            own = each if each is None or not each.ndim else each[part]
            moved = 1 / ctx.rule.tau if own is None else own
            _run_back(
                h[:, part], to_spikes[:, part], to_v[part], 1 - moved, ctx.rule, to_x[:, part]
            )
            if learned is not None:
                _share_back(
                    h[:, part],
                    _flat(currents)[:, part],
                    membrane.reshape(-1)[part],
                    to_x[:, part],
                    ctx.rule,
                    learned.view(-1)[part],
                )
            to_x[:, part].mul_(moved)
        summed = None if learned is None else learned.sum_to_size(share.shape)
        return to_currents, to_membrane, summed, None


def _run_back(
    charged: Tensor,
    to_spikes: Tensor,
    to_membrane: Tensor,
    kept: Tensor | float,
    rule: Rule,
    to_charged: Tensor,
) -> None:
    """charged, to_spikes: (T, N) -> to_charged (T, N); to_membrane (N,) moves to before, in place.

    With b the surrogate's bump, g the gradient of the charged membrane h, and s the spike,
    g = b * (to_spike + to_membrane * (reset_value - h)) + to_membrane * (1 - s) for a hard reset.
    """
    bump, scratch = torch.empty_like(to_membrane), torch.empty_like(to_membrane)
    one = to_membrane.new_ones(())
    for step in reversed(range(len(charged))):
        h, g, through = charged[step], to_charged[step], to_spikes[step]
        torch.sub(h, rule.threshold, out=bump)
        if not rule.detach_reset and rule.reset == "hard":
            torch.sub(rule.reset_value, h, out=g)
            through = torch.addcmul(through, g, to_membrane, out=g)
        elif not rule.detach_reset and rule.reset == "soft":
            through = torch.add(through, to_membrane, alpha=-rule.threshold, out=g)
        if rule.reset == "hard":
            to_membrane.mul_(torch.lt(h, rule.threshold, out=scratch))
        rule.surrogate.times_(bump, through, to_membrane, one, out=g)
        torch.mul(g, kept, out=to_membrane)


def _share_back(
    charged: Tensor,
    currents: Tensor,
    membrane: Tensor,
    to_charged: Tensor,
    rule: Rule,
    learned: Tensor,
) -> None:
    """Adds to learned (N,) what the steps say about the share: g * (x - (v - reset_value))."""
    for step, current in enumerate(currents):
        moved = current - membrane
        if rule.reset_value:
            moved.add_(rule.reset_value)
        learned.add_(moved.mul_(to_charged[step]))
        membrane = _after_reset(charged[step], rule)


def _after_reset(charged: Tensor, rule: Rule) -> Tensor:
    if rule.reset == "hard":
        return charged.masked_fill(charged >= rule.threshold, rule.reset_value)
    if rule.reset == "soft":
        return charged - (charged >= rule.threshold).to(charged.dtype) * rule.threshold
    return charged


def _each(share: Tensor | None, membrane: Tensor) -> Tensor | None:
    """The share of each neuron, () or (N,)."""
    if share is None or not share.ndim:
        return share
    return share.expand(membrane.shape).reshape(-1)


def _flat(x: Tensor) -> Tensor:
    return x.reshape(len(x), -1) if x.numel() else x.new_zeros(len(x), 0)


def _blocks(neurons: Tensor) -> Iterator[slice]:
    """Parts of (N,) that are taken through time one after the other; on a device all at once."""
    total = len(neurons)
    size = BLOCK if neurons.device.type == "cpu" else max(1, total)
    for begin in range(0, total, size):
        yield slice(begin, begin + size)
