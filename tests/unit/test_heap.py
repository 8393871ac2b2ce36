"""Few heaps for many threads, unless somebody said how many."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, threading
from vigilia.serving.heap import few_heaps

if sys.argv[1] == "few":
    assert few_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
together = threading.Barrier(12)
heaps = set()

def take():
    together.wait()
    # A heap beside the main one lies at a multiple of 64 MB.
    heaps.add(libc.malloc(1000) >> 26)
    together.wait()

threads = [threading.Thread(target=take) for _ in range(12)]
for one in threads:
    one.start()
for one in threads:
    one.join()
print(len(heaps))
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is about glibc")


def heaps(how: str, **environment: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", COUNT, how],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path), **environment},
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@glibc
def test_threads_share_two_heaps() -> None:
    assert heaps("few") <= 2 < heaps("as it is")


@glibc
def test_who_said_how_many_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    from vigilia.serving.heap import few_heaps

    monkeypatch.setenv("MALLOC_ARENA_MAX", "4")
    assert not few_heaps()
