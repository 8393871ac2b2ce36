"""The C library's heap in a process that runs for months with a thread a camera.

glibc gives threads heaps of their own, eight a processor, and hands back little of what was freed
in them. A camera that is opened again frees and takes other sizes in another of them each time, and
resident memory creeps up for hours although nothing is kept. With two heaps it stands still sooner.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform

__all__ = ["few_heaps"]

_M_ARENA_MAX = -8  # malloc.h
_HEAPS = 2


def few_heaps() -> bool:
    """Limits the heaps of this process, unless MALLOC_ARENA_MAX says how many; whether it did.

    Only heaps that are made from now on count: call it before threads are started.
    """
    if platform.libc_ver()[0] != "glibc" or "MALLOC_ARENA_MAX" in os.environ:
        return False
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _HEAPS))
    return False
