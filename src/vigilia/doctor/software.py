"""Python, the packages that Vigilia needs, and its extras: there, old, or missing."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import vigilia
from vigilia.doctor.findings import Finding
from vigilia.installation import install_command

__all__ = ["extras", "packages", "python", "requirements"]

OLDEST = (3, 11)
FOR_DEVELOPERS = ("dev", "docs", "fuzz", "page")
PURPOSES = {
    "train": "training in lower precision, on several processes, with curves",
    "formats": "EDF+ and Excel files",
    "nwb": "NWB files",
    "events": "event cameras' DSEC and AEDAT4 files",
    "serve": "the service and its page",
    "mqtt": "the service's labels in Home Assistant and Frigate",
    "bench": "the permanence benchmark's digits",
    "readers": "other readers of video, which `vigilia bench decode` compares with",
    "docs": "this documentation as a site",
    "zoo": "MViT and other models of Hugging Face",
    "export": "ONNX and OpenVINO",
    "scale": "several machines",
    "tracks": "figures of masks and tracks in the examples",
}
"""What an extra is for, in the words of somebody who lacks it."""


def python(folder: Path) -> Finding:
    """The interpreter, the system, and which copy of Vigilia this is."""
    found = (
        f"{platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"Vigilia {vigilia.__version__} in {Path(vigilia.__file__).parent}"
    )
    if sys.version_info < OLDEST:
        return Finding("Python", "problem", found, "install Python 3.11 or newer")
    return Finding("Python", "ok", found)


def packages(folder: Path) -> Finding:
    """Everything that Vigilia always needs."""
    lacking = _lacking(requirements().get("", ()))
    if lacking:
        found = ", ".join(lacking)
        return Finding("packages", "problem", found, install_command())
    versions = [f"{name} {metadata.version(name)}" for name in ("torch", "av", "numpy")]
    return Finding("packages", "ok", ", ".join(versions))


def extras(folder: Path) -> Iterator[Finding]:
    """Each extra: whether all of it is installed."""
    for extra, wanted in requirements().items():
        if extra in ("", *FOR_DEVELOPERS):
            continue
        lacking = _lacking(wanted)
        name = f"extra {extra}"
        if not lacking:
            yield Finding(name, "ok", "installed")
            continue
        purpose = PURPOSES.get(extra, "more")
        advice = f"for {purpose}: {install_command(extra)}"
        yield Finding(name, "note", ", ".join(lacking), advice)


def requirements() -> dict[str, tuple[str, ...]]:
    """What the installed package asks for, by extra; under "" what it always needs."""
    told: dict[str, tuple[str, ...]] = {}
    for line in metadata.requires("vigilia") or ():
        wanted, _, marker = line.partition(";")
        extra = re.search(r"""extra\s*==\s*["']([^"']+)["']""", marker)
        key = extra[1] if extra else ""
        told[key] = (*told.get(key, ()), wanted.strip())
    return told


def _lacking(wanted: tuple[str, ...]) -> list[str]:
    return [said for said in map(_what_lacks, wanted) if said]


def _what_lacks(requirement: str) -> str:
    """What is wrong with one requirement such as `av<20,>=17`; empty if nothing is."""
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    name = found[0]
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"no {name}"
    oldest = re.search(r">=\s*([\d.]+)", requirement)
    first_too_new = re.search(r"(?<![=<>])<\s*([\d.]+)", requirement)
    if oldest and _numbers(version) < _numbers(oldest[1]):
        return f"{name} {version}, older than {oldest[1]}"
    if first_too_new and _numbers(version) >= _numbers(first_too_new[1]):
        return f"{name} {version}, {first_too_new[1]} or newer"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """`2.13.0+cpu` -> (2, 13)."""
    leading = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in leading[0].split(".")] if leading else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
