"""Counting floating-point operations, without computing anything when tensors are on `meta`."""

from __future__ import annotations

from collections.abc import Callable

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

__all__ = ["count_flops"]


def count_flops(function: Callable[[], object]) -> int:
    """Operations of the matrix products and convolutions of one call; a multiply-add is two.

    Fused attention kernels are counted like the plain arithmetic they replace.

    Args:
        function: is called once, without arguments.
    """
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        function()
    return counter.get_total_flops()
