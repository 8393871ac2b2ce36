"""Events to tokens: convolutions and neurons, until a patch is one token.

Letters: T steps, B streams, H W pixels, N tokens, D features.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.spiking.layers import SpikeConv
from vigilia.spiking.neuron_layer import Neurons
from vigilia.state import State

__all__ = ["EmbedState", "SpikingPatchEmbed"]

PATCHES = (4, 8, 16)


@dataclass(frozen=True)
class EmbedState(State):
    """membranes: one (B, C, H', W') for each convolution but the last, whose currents go on."""

    membranes: tuple[Tensor, ...]


class SpikingPatchEmbed(nn.Module):
    """Conv2d -> LIF -> Conv2d -> ... -> tokens.

    The first convolution takes the bins as they are, counts or ones, and is the only product of the
    model whose operand need not be binary. The last one's currents are the tokens' first currents;
    the blocks' own neurons turn them into spikes.

    Args:
        height: H in pixels, a multiple of the patch.
        width: W in pixels, likewise.
        dim: D.
        patch: side of a patch in pixels, one of `PATCHES`.
        tau: of the neurons; None keeps no membranes.
        learns_tau: each layer of neurons learns its own.
        convolutions: at each size of the picture. The first makes the picture smaller; the others
            keep it, and add their currents to those that came in, as blocks do.

    Raises:
        OptionError: sizes that do not fit.
    """

    def __init__(
        self,
        *,
        height: int,
        width: int,
        dim: int,
        patch: int,
        tau: float | None,
        learns_tau: bool,
        convolutions: int = 1,
    ) -> None:
        super().__init__()
        if convolutions < 1:
            raise OptionError(f"convolutions must be at least 1, got {convolutions}")
        if patch not in PATCHES:
            raise OptionError(f"patch must be one of {', '.join(map(str, PATCHES))}, got {patch}")
        if height < patch or width < patch or height % patch or width % patch:
            raise OptionError(
                f"height and width must be multiples of the patch, {patch} pixels, "
                f"got {height} by {width}"
            )
        shrinking = (2, 2) if patch == 4 else (4, *[2] * (int(math.log2(patch)) - 2))
        strides = [one for stride in shrinking for one in (stride, *[1] * (convolutions - 1))]
        sizes = [dim >> (len(shrinking) - 1 - layer) for layer in range(len(shrinking))]
        widths = [2, *(wide for wide in sizes for _ in range(convolutions))]
        self.size = (height, width)
        self.grid = (height // patch, width // patch)
        self.convolutions = nn.ModuleList(
            SpikeConv(a, b, kernel=7 if stride == 4 else 3, stride=stride)
            for a, b, stride in zip(widths[:-1], widths[1:], strides, strict=True)
        )
        self.neurons = nn.ModuleList(
            Neurons(tau, features=wide, axis=-3, learns_tau=learns_tau) for wide in widths[1:-1]
        )
        self.shapes = []
        for channels, stride in zip(widths[1:-1], strides[:-1], strict=True):
            height, width = height // stride, width // stride
            self.shapes.append((channels, height, width))

    @property
    def tokens(self) -> int:
        """N."""
        return self.grid[0] * self.grid[1]

    def init_state(self, rows: int, *, device: torch.device, dtype: torch.dtype) -> EmbedState:
        """Membranes at rest."""
        return EmbedState(
            tuple(
                cast(Neurons, neurons).rest(rows, *shape, device=device, dtype=dtype)
                for neurons, shape in zip(self.neurons, self.shapes, strict=True)
            )
        )

    def forward(self, bins: Tensor, state: EmbedState) -> tuple[Tensor, EmbedState]:
        """bins: (T, B, 2, H, W) -> currents of the tokens (T, B, N, D), state."""
        x, membranes = self.convolutions[0](bins), []
        later = zip(self.neurons, self.convolutions[1:], state.membranes, strict=True)
        for neurons, convolution, membrane in later:
            spikes, after = neurons(x, membrane)
            membranes.append(after)
            added = convolution(spikes)
            x = x + added if added.shape == x.shape else added
        return x.flatten(3).transpose(2, 3), EmbedState(tuple(membranes))
