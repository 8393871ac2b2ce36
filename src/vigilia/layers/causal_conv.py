"""Causal convolution over time: what a later chunk of frames needs of the earlier ones is cached.

A convolution of k frames with a stride of s frames is made causal by padding k - s frames before
the clip and none behind it: output i then sees nothing later than input (i + 1) s - 1. Cut into
chunks whose length divides by the strides, it needs of the past the last k - s frames of its input
and no more, its *border*. With borders handed from chunk to chunk, the chunks' outputs are those
of the whole clip. Before the first frame lie zeros, as in a padded clip.

After "Continual 3D Convolutional Neural Networks for Real-time Processing of Videos", Hedegaard,
Iosifidis, 2022, who push single frames and wait for the later ones; here nothing waits.

Letters: B streams, C channels, T frames, H W the grid.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.state import State

__all__ = ["BorderState", "Borders", "walk"]


@dataclass(frozen=True)
class BorderState(State):
    """The borders of a network's convolutions.

    Attributes:
        borders: one (B, C, k - s, H, W) for every convolution with k > s, in the order they run.
    """

    borders: tuple[Tensor, ...]


class Borders:
    """Runs a network's convolutions causally: takes each one's border, and keeps the next.

    It lives for one call of a network; what lasts is `state`.

    Args:
        old: the borders that the chunk before left; None for zeros, at the start of a clip.
    """

    def __init__(self, old: BorderState | None = None) -> None:
        self._old: Iterator[Tensor] | None = None if old is None else iter(old.borders)
        self._new: list[Tensor] = []
        self._frames: list[int] = []

    def convolve(self, conv: nn.Conv3d, x: Tensor) -> Tensor:
        """x: (B, C, T, H, W) -> (B, C', T / s, H', W'). The convolution's padding in time is void.

        T must divide by the stride s; a kernel shorter than its stride sees each stride's first
        frames, as it does without padding.
        """
        assert x.shape[2] % conv.stride[0] == 0, "a chunk divides by the strides in time"
        assert conv.dilation[0] == 1
        assert conv.padding_mode == "zeros"
        assert not isinstance(conv.padding, str)
        keep = conv.kernel_size[0] - conv.stride[0]
        if keep > 0:
            self._frames.append(x.shape[2])
            if self._old is None:
                border = x.new_zeros((*x.shape[:2], keep, *x.shape[3:]))
            else:
                border = next(self._old).to(x.dtype)
            x = torch.cat([border, x], dim=2)
            self._new.append(x[:, :, -keep:].clone(memory_format=torch.contiguous_format))
        padding = (0, *conv.padding[1:])
        return F.conv3d(x, conv.weight, conv.bias, conv.stride, padding, conv.dilation, conv.groups)

    def reached(self, frames: int) -> int:
        """How far before a chunk of so many frames the convolutions that ran have looked.

        It counts convolutions with a border as one behind the other, which those of residual
        blocks are.
        """
        pairs = zip(self._new, self._frames, strict=True)
        return sum(border.shape[2] * (frames // length) for border, length in pairs)

    def state(self, like: BorderState | None = None) -> BorderState:
        """The borders behind the chunk; call it when every convolution has run.

        Args:
            like: whose types the tensors take, so that a state keeps its own.
        """
        if like is None:
            return BorderState(tuple(self._new))
        pairs = zip(self._new, like.borders, strict=True)
        return BorderState(tuple(new.to(old.dtype) for new, old in pairs))


def walk(module: nn.Module, x: Tensor, borders: Borders | None) -> Tensor:
    """Runs a chain of modules, causally if there are borders.

    x: (B, C, T, H, W) -> what the module makes of it.

    Args:
        module: a layer or an `nn.Sequential` of layers, however deep.
        borders: None runs the module as it is.
    """
    if borders is None:
        return module(x)
    if isinstance(module, nn.Conv3d):
        return borders.convolve(module, x)
    if isinstance(module, nn.Sequential):
        for layer in module:
            x = walk(layer, x, borders)
        return x
    if isinstance(module, nn.MaxPool3d):
        kernel, stride, padding = (
            size[0] if isinstance(size, Sequence) else size
            for size in (module.kernel_size, module.stride, module.padding)
        )
        assert (kernel, padding) == (stride, 0), "pools must not overlap in time to be causal"
    return module(x)
