"""Asks every question in turn; one that cannot even be asked is a finding, too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vigilia.doctor.findings import Finding, Report
from vigilia.doctor.machine import disk, memory, processors
from vigilia.doctor.self_test import self_test
from vigilia.doctor.software import extras, packages, python
from vigilia.doctor.torch_devices import bfloat16, devices, torch_itself
from vigilia.doctor.video_codecs import codecs, ffmpeg
from vigilia.installation import install_command

__all__ = ["CHECKS", "examine"]

Check = Callable[[Path], Finding | Iterable[Finding]]

CHECKS: dict[str, Check] = {
    "Python": python,
    "packages": packages,
    "processors": processors,
    "memory": memory,
    "disk": disk,
    "torch": torch_itself,
    "devices": devices,
    "bfloat16": bfloat16,
    "FFmpeg": ffmpeg,
    "codecs": codecs,
    "extras": extras,
    "self-test": self_test,
}


def examine(folder: str | Path = ".", *, on_check: Callable[[str], None] | None = None) -> Report:
    """Examines the machine; it takes a few seconds and leaves nothing behind.

    Args:
        folder: where results are going to be written: its disk is looked at.
        on_check: called with the name of each check before it begins.

    Returns:
        A report; nothing that is wrong with the machine is raised.
    """
    found: list[Finding] = []
    for name, check in CHECKS.items():
        if on_check is not None:
            on_check(name)
        found += _asked(name, check, Path(folder))
    return Report(tuple(found))


def _asked(name: str, check: Check, folder: Path) -> Iterator[Finding]:
    try:
        answer = check(folder)
        yield from (answer,) if isinstance(answer, Finding) else tuple(answer)
    except Exception as error:
        # A broken installation can raise anything; the other questions are still worth asking.
        text = f"{type(error).__name__}: {error}".strip().split("\n", 1)[0][:200]
        advice = f"{install_command(again=True)}, and report it if that does not help"
        yield Finding(name, "problem", text, advice)
