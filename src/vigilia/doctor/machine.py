"""Processors, memory and disk: what is there, what of it this process may use."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from vigilia.doctor.findings import Finding

__all__ = ["disk", "memory", "memory_bytes", "processors"]

LITTLE_MEMORY = 2e9
TOO_LITTLE_MEMORY = 0.7e9
"""`vigilia run` with the bundled model takes about 0.4 GB, training more."""
LITTLE_DISK = 5e9
TOO_LITTLE_DISK = 0.2e9
CGROUP = Path("/sys/fs/cgroup")


def processors(folder: Path) -> Finding:
    """Cores, and how many of them this process may use."""
    there, usable = os.cpu_count() or 1, _usable_processors()
    told = os.environ.get("OMP_NUM_THREADS", "")
    found = f"{usable} of {there}" if usable != there else f"{there}"
    if told.isdigit() and int(told) < usable:
        advice = f"OMP_NUM_THREADS is {told}: unset it to use all {usable}"
        return Finding("processors", "note", f"{found}, of which torch takes {told}", advice)
    return Finding("processors", "ok", found)


def _usable_processors() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def memory(folder: Path) -> Finding:
    """What is free now, also as a container sees it."""
    there, free = memory_bytes()
    if there is None or free is None:
        return Finding("memory", "ok", "not told by this system")
    found = f"{_gigabytes(free)} free of {_gigabytes(there)}"
    if free < TOO_LITTLE_MEMORY:
        return Finding("memory", "problem", found, "close other programs, or give it more memory")
    if free < LITTLE_MEMORY:
        advice = "enough to run a small model; for training close other programs"
        return Finding("memory", "note", found, advice)
    return Finding("memory", "ok", found)


def memory_bytes() -> tuple[int | None, int | None]:
    """All memory and what is free of it, within the limits of a container; None if unknown."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        told = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines}
        there, free = told["MemTotal"], told["MemAvailable"]
    except (OSError, KeyError, ValueError, IndexError):
        try:
            there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        except (AttributeError, ValueError, OSError):
            return None, None
        return there, there
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return there, free
    return min(there, limit), min(free, max(0, limit - used))


def disk(folder: Path) -> Finding:
    """Room where results go, and whether anything can be written there."""
    where = folder.resolve()
    try:
        free = shutil.disk_usage(where).free
        with tempfile.TemporaryFile(dir=where):
            pass
    except OSError as error:
        told = (error.strerror or str(error)).lower()
        advice = "choose another folder with --out, or change its permissions"
        return Finding("disk", "problem", f"{where} cannot be written to: {told}", advice)
    found = f"{_gigabytes(free)} free in {where}"
    if free < TOO_LITTLE_DISK:
        return Finding("disk", "problem", found, "make room, or choose another folder with --out")
    if free < LITTLE_DISK:
        advice = "enough for results; training keeps sampled frames on disk and wants more"
        return Finding("disk", "note", found, advice)
    return Finding("disk", "ok", found)


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB"
