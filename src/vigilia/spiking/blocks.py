"""Blocks of a spiking transformer, with shortcuts between membranes.

What is added up from block to block are currents; each part turns them into spikes before its first
weights, so that no weight ever meets anything but a 0 or a 1 (Hu et al., "Advancing spiking neural
networks towards deep residual learning", 2021; Yao et al., "Spike-driven transformer", 2023).

Letters: T steps, B streams, N tokens, D features, h heads, d features of a head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.spiking.attention import (
    hadamard_attention,
    linear_attention,
    merge_heads,
    split_heads,
)
from vigilia.spiking.layers import SpikeLinear, count_scale
from vigilia.spiking.neuron_layer import FRESH, Neurons, working_gain
from vigilia.state import State

__all__ = ["ATTENTIONS", "AttentionState", "BlockState", "MlpState", "SpikingBlock"]

ATTENTIONS = ("linear", "hadamard")
"""Q (K^T V), or the first version's mask; see `vigilia.spiking.attention`."""


@dataclass(frozen=True)
class AttentionState(State):
    """Membranes (B, N, D) of each layer of neurons; `attended` is (B, h, 1, d) under "hadamard"."""

    shortcut: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    attended: Tensor


@dataclass(frozen=True)
class MlpState(State):
    """Membranes: shortcut (B, N, D), hidden (B, N, 4 D)."""

    shortcut: Tensor
    hidden: Tensor


@dataclass(frozen=True)
class BlockState(State):
    """The two parts of a block."""

    attention: AttentionState
    mlp: MlpState


class SpikingAttention(nn.Module):
    """Spike-driven self-attention between the tokens of one step.

    Args:
        dim: D.
        heads: h, divides D.
        tokens: N.
        tau: of the neurons; None keeps no membranes.
        learns_tau: each layer of neurons learns its own.
        form: one of `ATTENTIONS`.
    """

    def __init__(
        self, dim: int, *, heads: int, tokens: int, tau: float | None, learns_tau: bool, form: str
    ) -> None:
        super().__init__()
        if form not in ATTENTIONS:
            raise OptionError(f"attention must be one of {', '.join(ATTENTIONS)}, got {form!r}")
        if heads < 1 or dim % heads:
            raise OptionError(f"heads must divide dim, got {heads} and {dim}")
        self.heads = heads
        self.form = form
        own: dict[str, Any] = {"features": dim, "learns_tau": learns_tau}
        self.shortcut = Neurons(tau, **own)
        self.to_query, self.to_key, self.to_value = (SpikeLinear(dim, dim) for _ in range(3))
        self.query, self.key, self.value = (Neurons(tau, **own) for _ in range(3))
        if form == "hadamard":
            self.attended = Neurons(tau, threshold=0.5, learns_tau=learns_tau)
        else:
            self.attended = Neurons(tau, spread=0.5 * working_gain(tau), **own)
        self.out = SpikeLinear(dim, dim, spread=0.5 * FRESH)
        self.scale = 1.0 if form == "hadamard" else count_scale(dim // heads, tokens)

    def init_state(
        self, rows: int, tokens: int, *, device: torch.device, dtype: torch.dtype
    ) -> AttentionState:
        """Membranes at rest."""
        dim = self.out.weight.shape[1]
        full = (rows, tokens, dim)
        attended = (rows, self.heads, 1, dim // self.heads) if self.form == "hadamard" else full
        shapes = (full, full, full, full, attended)
        neurons = (self.shortcut, self.query, self.key, self.value, self.attended)
        return AttentionState(
            *(
                layer.rest(*shape, device=device, dtype=dtype)
                for layer, shape in zip(neurons, shapes, strict=True)
            )
        )

    def forward(self, x: Tensor, state: AttentionState) -> tuple[Tensor, AttentionState]:
        """x: currents (T, B, N, D) -> currents to add (T, B, N, D), state."""
        spikes, shortcut = self.shortcut(x, state.shortcut)
        queries, query = self.query(self.to_query(spikes), state.query)
        keys, key = self.key(self.to_key(spikes), state.key)
        values, value = self.value(self.to_value(spikes), state.value)
        queries = split_heads(queries, self.heads)  # (T, B, h, N, d)
        keys, values = split_heads(keys, self.heads), split_heads(values, self.heads)
        if self.form == "hadamard":
            counts = hadamard_attention(keys, values)  # (T, B, h, 1, d)
            mask, attended = self.attended(counts * self.scale, state.attended)
            picked = merge_heads(queries * mask)
        else:
            counts = merge_heads(linear_attention(queries, keys, values))  # (T, B, N, D)
            picked, attended = self.attended(counts * self.scale, state.attended)
        return self.out(picked), AttentionState(shortcut, query, key, value, attended)


class SpikingMlp(nn.Module):
    """Two layers of synapses for each token by itself, four times as wide in between."""

    def __init__(self, dim: int, *, tau: float | None, learns_tau: bool) -> None:
        super().__init__()
        self.shortcut = Neurons(tau, features=dim, learns_tau=learns_tau)
        self.widen = SpikeLinear(dim, 4 * dim)
        self.hidden = Neurons(tau, features=4 * dim, learns_tau=learns_tau)
        self.narrow = SpikeLinear(4 * dim, dim, spread=0.5 * FRESH)

    def init_state(
        self, rows: int, tokens: int, *, device: torch.device, dtype: torch.dtype
    ) -> MlpState:
        """Membranes at rest."""
        wide, dim = self.widen.weight.shape
        return MlpState(
            self.shortcut.rest(rows, tokens, dim, device=device, dtype=dtype),
            self.hidden.rest(rows, tokens, wide, device=device, dtype=dtype),
        )

    def forward(self, x: Tensor, state: MlpState) -> tuple[Tensor, MlpState]:
        """x: currents (T, B, N, D) -> currents to add (T, B, N, D), state."""
        spikes, shortcut = self.shortcut(x, state.shortcut)
        spikes, hidden = self.hidden(self.widen(spikes), state.hidden)
        return self.narrow(spikes), MlpState(shortcut, hidden)


class SpikingBlock(nn.Module):
    """Attention, then the perceptron, each added to the currents that pass by."""

    def __init__(
        self, dim: int, *, heads: int, tokens: int, tau: float | None, learns_tau: bool, form: str
    ) -> None:
        super().__init__()
        self.attention = SpikingAttention(
            dim, heads=heads, tokens=tokens, tau=tau, learns_tau=learns_tau, form=form
        )
        self.mlp = SpikingMlp(dim, tau=tau, learns_tau=learns_tau)

    def init_state(
        self, rows: int, tokens: int, *, device: torch.device, dtype: torch.dtype
    ) -> BlockState:
        """Membranes at rest."""
        return BlockState(
            self.attention.init_state(rows, tokens, device=device, dtype=dtype),
            self.mlp.init_state(rows, tokens, device=device, dtype=dtype),
        )

    def forward(self, x: Tensor, state: BlockState) -> tuple[Tensor, BlockState]:
        """x: currents (T, B, N, D) -> the same shape, state."""
        added, attention = self.attention(x, state.attention)
        x = x + added
        added, mlp = self.mlp(x, state.mlp)
        return x + added, BlockState(attention, mlp)
