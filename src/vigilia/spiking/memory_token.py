"""The memory token: a membrane whose clock is the events, not the frames.

A leaky membrane forgets at a rate that the frame clock sets: with tau = 2 it keeps 9e-10 of itself
over 30 blank frames. Here a spike gates both writing and leaking,

    v += g * (u - v) / tau        g in {0, 1}, tau from a bank of time constants

so that what is remembered stays exactly as it is while the gate is silent, be it for a second or a
day. Reading is done by other neurons, which compare the membrane with a ladder of levels and never
reset it. The learned token is where the membrane starts, not a current that flows into it.

Letters: T steps, B streams, N tokens, D features, M memory tokens, C channels of a memory token,
J levels of a ladder, R regions, h heads, d features of a head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.errors import OptionError
from vigilia.spiking.attention import merge_heads, read, split_heads, store
from vigilia.spiking.layers import SpikeLinear, count_scale
from vigilia.spiking.neuron_layer import Neurons, working_gain
from vigilia.spiking.neurons import check_tau
from vigilia.spiking.surrogate import ATAN, spike
from vigilia.state import State

__all__ = ["Ladder", "Membrane", "MemoryTokenState", "MemoryTraces", "SpikingMemory"]

LEVELS = (0.25, 0.75, 1.5)
"""Rungs of a fresh ladder, in units of what a membrane reaches in `TYPICAL` writes."""

TYPICAL = 6
"""Writes after which the fresh ladders fit: an object in view for a few bins."""

OPENING = 0.03
"""Share of pooled neurons whose spikes open a fresh gate."""


@dataclass(frozen=True)
class MemoryTokenState(State):
    """What the memory token carries.

    Attributes:
        membrane: (B, M, C).
        pool: (B, R, D) membranes of the neurons that pool tokens; (B, 0) where none are kept.
        key: (B, N, D) likewise of the keys' neurons.
        value: (B, N, D) of the values'.
    """

    membrane: Tensor
    pool: Tensor
    key: Tensor
    value: Tensor


@dataclass(frozen=True)
class MemoryTraces:
    """What went on in the memory, step by step.

    Attributes:
        gates: (T, B, M) in {0, 1}.
        drive: (T, B, M) of the gates' neurons, less their threshold: positive where they fire.
        pooled: (T, B, R * D) spikes of the neurons that pool tokens.
        firing: (T, B, D) share of all tokens that fired.
    """

    gates: Tensor
    drive: Tensor
    pooled: Tensor
    firing: Tensor


class Membrane(nn.Module):
    """The store itself.

    Args:
        channels: C; the time constants are spread over them evenly in logarithm.
        taus: the shortest and the longest, in writes.
        reset: "none", or "hard" for an ordinary neuron that fires at 1 and forgets.
    """

    def __init__(self, channels: int, *, taus: tuple[float, float], reset: str) -> None:
        super().__init__()
        first, last = (check_tau(tau, "memory_taus") for tau in taus)
        if reset not in ("none", "hard"):
            raise OptionError(f"memory_reset must be none or hard, got {reset!r}")
        self.reset = reset
        bank = torch.logspace(math.log10(first), math.log10(last), channels)
        self.decay = nn.Parameter(-torch.log(bank - 1))  # 1 / tau = sigmoid(decay)

    @property
    def taus(self) -> Tensor:
        """(C,) as they are now."""
        return 1 / torch.sigmoid(self.decay)

    def forward(self, current: Tensor, membrane: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
        """current, membrane: (B, M, C), gate: (B, M, 1) -> membrane to read, membrane to keep."""
        moved = membrane + gate * ((current - membrane) * torch.sigmoid(self.decay))
        if self.reset == "none":
            return moved, moved
        fired = spike(moved - 1, ATAN)
        return fired, moved * (1 - fired)


class Ladder(nn.Module):
    """Read-out neurons: for each channel, J that fire above a level and J below its negative.

    None of them touches the membrane, and none fires while it is at zero.

    Args:
        scale: (C,) the unit of each channel's levels.
    """

    scale: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale, persistent=False)
        self.levels = nn.Parameter(torch.tensor(LEVELS).log().repeat(len(scale), 1))  # (C, J)

    def forward(self, membrane: Tensor) -> Tensor:
        """membrane: (..., C) -> spikes (..., 2 * J * C)."""
        level = (membrane / self.scale.to(membrane.dtype))[..., None]  # (..., C, 1)
        bars = self.levels.exp()
        return torch.cat([spike(level - bars), spike(-level - bars)], -1).flatten(-2)


class SpikingMemory(nn.Module):
    """Looks at the tokens of each step, decides whether they matter, and remembers them.

    Two roads lead from the tokens to the membrane: neurons that pool tokens of a region, which keep
    where things are; and attention, whose queries come from what is remembered.

    Args:
        dim: D, also C.
        grid: rows and columns of the tokens.
        heads: h, divides D.
        tokens: M.
        taus: shortest and longest time constant, in writes.
        gated: a spike must open the membrane; without, it leaks at every step.
        reset: of the membrane, see `Membrane`.
        regions: about how many, R; a square number.
        tau: of pooling, keys' and values' neurons.
    """

    def __init__(
        self,
        dim: int,
        *,
        grid: tuple[int, int],
        heads: int,
        tokens: int,
        taus: tuple[float, float],
        gated: bool,
        reset: str,
        regions: int,
        tau: float | None,
    ) -> None:
        super().__init__()
        if tokens < 1 or regions < 1:
            raise OptionError(
                f"memory_tokens and regions must be at least 1, got {tokens} and {regions}"
            )
        self.tokens, self.heads, self.gated = tokens, heads, gated
        self.pool_weight = nn.Parameter(_regions(grid, max(1, math.isqrt(regions))))  # (R, N)
        pooled = len(self.pool_weight) * dim
        self.pool = Neurons(tau, threshold=1.0 / (tau or 1.0))
        self.to_key, self.to_value = SpikeLinear(dim, dim), SpikeLinear(dim, dim)
        self.key, self.value = Neurons(tau, features=dim), Neurons(tau, features=dim)
        self.membrane = Membrane(dim, taus=taus, reset=reset)
        self.ladder: Ladder | None = None
        if reset == "none":
            reached = 1 - (1 - 1 / self.membrane.taus.detach()) ** TYPICAL
            self.ladder = Ladder(reached)
        self.code_size = dim * (2 * len(LEVELS) if self.ladder is not None else 1)
        self.to_query = SpikeLinear(self.code_size, dim, gain=1.0, spread=1.0)
        self.query = Neurons(None)
        self.attended = Neurons(None, threshold=0.5)
        self.scale = count_scale(dim // heads, grid[0] * grid[1])
        gain = working_gain(taus[0]) if reset == "hard" else 1.0
        self.write_pooled = SpikeLinear(pooled, tokens * dim, gain=gain, spread=1.0)
        # Weights that all tokens share: what is seen weighs the same wherever it is.
        self.write_anywhere = SpikeLinear(dim, tokens * dim, gain=gain, spread=1.0)
        self.write_attended = SpikeLinear(dim, dim, gain=0.3, spread=1.0)
        self.gate_pooled = SpikeLinear(pooled, tokens)
        self.gate = Neurons(None)
        self.token = nn.Parameter(0.02 * torch.randn(tokens, dim))
        # Weights of about one, scaled afterwards: a learning rate that suits other weights would
        # otherwise shut the gate in a few steps, and behind a shut gate nothing learns.
        nn.init.ones_(self.gate_pooled.weight)
        self.gate_scale = 2.0 ** -round(math.log2(OPENING * pooled))

    def init_state(
        self, rows: int, *, device: torch.device, dtype: torch.dtype
    ) -> MemoryTokenState:
        """Nothing seen: zeros, in whose place the first step takes the learned token."""
        regions, places = self.pool_weight.shape
        dim = self.token.shape[1]
        return MemoryTokenState(
            membrane=torch.zeros(rows, self.tokens, dim, device=device, dtype=dtype),
            pool=self.pool.rest(rows, regions, dim, device=device, dtype=dtype),
            key=self.key.rest(rows, places, dim, device=device, dtype=dtype),
            value=self.value.rest(rows, places, dim, device=device, dtype=dtype),
        )

    def forward(
        self, spikes: Tensor, state: MemoryTokenState, *, first: Tensor
    ) -> tuple[Tensor, MemoryTraces, MemoryTokenState]:
        """Remembers what the tokens show.

        Args:
            spikes: (T, B, N, D) of the tokens behind the last block.
            state: before the first of the steps.
            first: (B,) bool, rows that have seen no step yet.

        Returns:
            Codes (T, B, M * code_size) in {0, 1} that read-out neurons make of the membrane after
            each step, what went on meanwhile, and the state.
        """
        pooled, pool = self.pool(self.pool_weight @ spikes, state.pool)  # (T, B, R, D)
        pooled = pooled.flatten(2)
        keys, key = self.key(self.to_key(spikes), state.key)
        values, value = self.value(self.to_value(spikes), state.value)
        stored = store(split_heads(keys, self.heads), split_heads(values, self.heads))
        written = self.write_pooled(pooled) + self._anywhere(spikes)
        written = written.unflatten(-1, (self.tokens, -1))  # (T, B, M, C)
        opened = self.gate_scale * self.gate_pooled(pooled)[..., None]  # (T, B, M, 1)
        stirred = spikes.detach().amax((2, 3))[..., None, None]  # (T, B, 1, 1): anything at all?
        membrane = torch.where(
            first[:, None, None], self.token, state.membrane.to(self.token.dtype)
        )
        seen = self._read(membrane)
        codes, gates = [], []
        # Taken apart at once: a step's own slice would cost a whole sequence of zeros going back.
        steps = (x.unbind() for x in (written, opened, stirred, stored))
        with self.to_query.unrolled() as ask, self.write_attended.unrolled() as recall:
            for current, opens, anything, counted in zip(*steps, strict=True):
                query, _ = self.query(ask(seen * anything), pool)  # (B, M, D)
                counts = merge_heads(read(split_heads(query, self.heads), counted))
                found, _ = self.attended(counts.to(query.dtype) * self.scale, pool)
                gate = self._gate(opens)
                fired, membrane = self.membrane(current + recall(found), membrane, gate)
                seen = self._read(membrane)
                codes.append(seen if self.ladder is not None else fired)
                gates.append(gate[..., 0])
        after = MemoryTokenState(membrane.to(state.membrane.dtype), pool, key, value)
        drive = opened[..., 0] - self.gate.threshold
        traces = MemoryTraces(torch.stack(gates), drive, pooled, spikes.mean(2))
        return torch.stack(codes).flatten(2), traces, after

    def _anywhere(self, spikes: Tensor) -> Tensor:
        """spikes: (T, B, N, D) -> currents (T, B, M * C) of all tokens together."""
        if torch.is_grad_enabled():
            # Spikes are counted first, which is the same sum and less work for a processor.
            return self.write_anywhere(spikes.sum(2))
        return self.write_anywhere(spikes).sum(2)

    def _read(self, membrane: Tensor) -> Tensor:
        """What the next step's queries see, (B, M, code_size): the state alone decides."""
        return self.ladder(membrane) if self.ladder is not None else spike(membrane - 0.5)

    def _gate(self, opened: Tensor) -> Tensor:
        if not self.gated:
            return torch.ones_like(opened)
        gate: Tensor = self.gate(opened, opened)[0]
        return gate


def _regions(grid: tuple[int, int], side: int) -> Tensor:
    """Which tokens a region pools, (R, N): at most side x side rectangles that cover the grid."""
    rows, columns = grid
    across, down = min(side, columns), min(side, rows)
    row = torch.arange(rows) * down // rows
    column = torch.arange(columns) * across // columns
    region = (row[:, None] * across + column).flatten()  # (N,)
    return F.one_hot(region, across * down).T.float().contiguous()
