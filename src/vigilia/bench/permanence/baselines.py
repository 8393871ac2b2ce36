"""Ordinary networks that take part: the same interface, real numbers in place of spikes.

All look at single bins through the same small convolutional eyes, or patches, and differ in what
they carry from bin to bin. None is told when something is to be seen.

Letters: T bins, B streams, O objects, H W pixels, N tokens, D features, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.bench.permanence.scenes import PICTURE
from vigilia.state import State

__all__ = ["Answers", "ConvLstm", "Gru", "MemorylessVit", "NetworkState"]


@dataclass(frozen=True)
class Answers:
    """What a network says in each bin: logits (T, B, O * K) and position (T, B, 2 O)."""

    logits: Tensor
    position: Tensor


@dataclass(frozen=True)
class NetworkState(State):
    """What a network carries: hidden and cell, each (B, ...); (B, 0) where it has none."""

    hidden: Tensor
    cell: Tensor


class Heads(nn.Module):
    """Class and place of each object from features (T, B, D)."""

    def __init__(self, dim: int, classes: int, objects: int) -> None:
        super().__init__()
        self.logits = nn.Linear(dim, classes * objects)
        self.position = nn.Linear(dim, 2 * objects)

    def forward(self, x: Tensor) -> Answers:
        """x: (T, B, D)."""
        return Answers(self.logits(x), self.position(x))


class Eyes(nn.Module):
    """The convolutions of the spiking contenders with real numbers in between.

    Bins (T, B, 2, H, W) -> (T, B, D, H / 4, W / 4).
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = (2, dim // 2, dim // 2, dim, dim)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride, 1, bias=False)
            for a, b, stride in zip(widths[:-1], widths[1:], (2, 1, 2, 1), strict=True)
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in widths[1:])

    def forward(self, bins: Tensor) -> Tensor:
        """bins: (T, B, 2, H, W) -> (T, B, D, H', W')."""
        shown = bins.to(next(self.parameters()).dtype).flatten(0, 1)
        x = self.convolutions[0](shown.contiguous(memory_format=torch.channels_last))
        for norm, convolution in zip(self.norms, self.convolutions[1:], strict=False):
            added = convolution(F.relu(norm(x)))
            x = x + added if added.shape == x.shape else added
        return F.relu(self.norms[-1](x)).unflatten(0, bins.shape[:2])


class MemorylessVit(nn.Module):
    """A vision transformer on each bin by itself, as small as the pictures: it must fail.

    Args:
        classes: K.
        objects: O.
        dim: D.
        depth: blocks.
        heads: of attention.
        patch: side of a patch in pixels.
    """

    def __init__(
        self,
        classes: int,
        objects: int,
        *,
        dim: int = 64,
        depth: int = 2,
        heads: int = 2,
        patch: int = 4,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(2, dim, patch, patch)
        self.place = nn.Parameter(0.02 * torch.randn((PICTURE // patch) ** 2, dim))
        self.blocks = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(
                dim,
                heads,
                4 * dim,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            ),
            depth,
            norm=nn.LayerNorm(dim),
            enable_nested_tensor=False,
        )
        self.heads = Heads(dim, classes, objects)

    def init_state(self, batch_size: int) -> NetworkState:
        """Nothing."""
        return _empty(batch_size, self.place, self.place)

    def sequence(self, bins: Tensor, state: NetworkState) -> tuple[Answers, NetworkState]:
        """bins: (T, B, 2, H, W) -> answers, the same state."""
        x = self.patches(bins.to(self.place.dtype).flatten(0, 1)).flatten(2).transpose(1, 2)
        x = self.blocks(x + self.place).mean(1)  # (T * B, D)
        return self.heads(x.unflatten(0, bins.shape[:2])), state


class Gru(nn.Module):
    """Eyes, a linear layer and a GRU.

    Args:
        classes: K.
        objects: O.
        dim: D, as much as the spiking contenders remember.
        seen: features of the eyes.
    """

    def __init__(self, classes: int, objects: int, *, dim: int = 128, seen: int = 64) -> None:
        super().__init__()
        self.eyes = Eyes(seen)
        self.narrow = nn.Linear(seen * (PICTURE // 4) ** 2, dim)
        self.gru = nn.GRU(dim, dim)
        self.heads = Heads(dim, classes, objects)

    def init_state(self, batch_size: int) -> NetworkState:
        """Zeros."""
        like = self.narrow.weight
        return _empty(batch_size, like, like.new_zeros(batch_size, len(like)))

    def sequence(self, bins: Tensor, state: NetworkState) -> tuple[Answers, NetworkState]:
        """bins: (T, B, 2, H, W) -> answers, state."""
        x = F.relu(self.narrow(self.eyes(bins).flatten(2)))
        x, hidden = self.gru(x, state.hidden[None].contiguous())
        return self.heads(x), NetworkState(hidden[0], state.cell)


class ConvLstm(nn.Module):
    """Eyes and an LSTM whose products are convolutions (Shi et al., "Convolutional LSTM network: a
    machine learning approach for precipitation nowcasting", 2015).

    Args:
        classes: K.
        objects: O.
        dim: D.
        seen: features of the eyes.
    """

    def __init__(self, classes: int, objects: int, *, dim: int = 32, seen: int = 64) -> None:
        super().__init__()
        self.dim = dim
        self.eyes = Eyes(seen)
        self.gates = nn.Conv2d(seen + dim, 4 * dim, 3, padding=1)
        with torch.no_grad():
            self.gates.bias[dim : 2 * dim].fill_(1.0)  # type: ignore[index]  # remembers at first
        self.heads = Heads(dim * (PICTURE // 4) ** 2, classes, objects)

    def init_state(self, batch_size: int) -> NetworkState:
        """Zeros."""
        zeros = self.gates.weight.new_zeros(batch_size, self.dim, PICTURE // 4, PICTURE // 4)
        return NetworkState(zeros, zeros)

    def sequence(self, bins: Tensor, state: NetworkState) -> tuple[Answers, NetworkState]:
        """bins: (T, B, 2, H, W) -> answers, state."""
        hidden, cell, out = state.hidden, state.cell, []
        for seen in self.eyes(bins):  # (B, D, H', W')
            write, keep, show, new = self.gates(torch.cat([seen, hidden], 1)).chunk(4, 1)
            cell = keep.sigmoid() * cell + write.sigmoid() * new.tanh()
            hidden = show.sigmoid() * cell.tanh()
            out.append(hidden.flatten(1))
        return self.heads(torch.stack(out)), NetworkState(hidden, cell)


def _empty(rows: int, like: Tensor, hidden: Tensor) -> NetworkState:
    none = like.new_zeros(rows, 0)
    return NetworkState(hidden if hidden is not like else none, none)
