"""The doctor: what it asks, what it makes of the answers, and that nothing stops it."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vigilia.doctor import (
    CHECKS,
    Finding,
    Report,
    examine,
    examining,
    machine,
    software,
    torch_devices,
    video_codecs,
)
from vigilia.installation import install_command

HERE = Path(".")


def test_notes_are_no_problems() -> None:
    ok, note = Finding("a", "ok", "x"), Finding("b", "note", "y", "do")
    problem = Finding("c", "problem", "z", "do")
    assert Report((ok, note)).ok
    assert not Report((ok, note, problem)).ok
    assert Report((ok, note, problem)).problems == (problem,)


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(folder: Path) -> Finding:
        raise RuntimeError("no such operator\nand much more")

    asked: list[str] = []
    checks = {"first": broken, "second": lambda folder: Finding("second", "ok", str(folder))}
    monkeypatch.setattr(examining, "CHECKS", checks)
    report = examine("there", on_check=asked.append)
    first, second = report.findings
    assert asked == ["first", "second"]
    assert (first.name, first.status, first.found) == (
        *("first", "problem"),
        "RuntimeError: no such operator",
    )
    assert first.advice
    assert second.found == "there"


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "self-test"])
def test_every_question_has_an_answer_on_this_machine(name: str, tmp_path: Path) -> None:
    answer = CHECKS[name](tmp_path)
    findings = (answer,) if isinstance(answer, Finding) else tuple(answer)
    assert findings
    for one in findings:
        assert one.found
        assert "\n" not in one.found + one.advice
        assert (one.status == "ok") != bool(one.advice)


# Software


def installed(versions: dict[str, str]) -> Callable[[str], str]:
    def version(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    return version


@pytest.mark.parametrize(
    ("requirement", "versions", "lacks"),
    [
        ("av<20,>=17", {"av": "18.1.0"}, ""),
        ("av<20,>=17", {"av": "17"}, ""),
        ("av<20,>=17", {"av": "16.9"}, "av 16.9, older than 17"),
        ("av<20,>=17", {"av": "20.0"}, "av 20.0, 20 or newer"),
        ("torch>=2.6", {"torch": "2.13.0+cpu"}, ""),
        ("torch>=2.6", {"torch": "2.5.1"}, "torch 2.5.1, older than 2.6"),
        ("pympi-ling>=1.70", {}, "no pympi-ling"),
    ],
)
def test_versions_are_compared_as_numbers(
    requirement: str, versions: dict[str, str], lacks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "version", installed(versions))
    assert software._what_lacks(requirement) == lacks


def test_an_extra_that_is_not_there_says_what_it_is_for_and_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = ["av>=17", 'edfio>=0.4; extra == "formats"', 'openpyxl>=3; extra == "formats"']
    told += ["ray>=2; extra == 'scale'", 'pytest; extra == "dev"']
    monkeypatch.setattr(metadata, "requires", lambda name: told)
    monkeypatch.setattr(metadata, "version", installed({"edfio": "0.5", "openpyxl": "3.1"}))
    assert software.requirements()[""] == ("av>=17",)
    formats, scale = software.extras(HERE)
    assert (formats.name, formats.status) == ("extra formats", "ok")
    assert scale == Finding(
        "extra scale", "note", "no ray", f"for several machines: {install_command('scale')}"
    )
    core = software.packages(HERE)
    assert (core.status, core.found) == ("problem", "no av")


def test_every_extra_of_the_package_has_a_purpose() -> None:
    extras = software.requirements().keys() - {"", *software.FOR_DEVELOPERS}
    assert extras <= software.PURPOSES.keys()


def test_an_old_python_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    assert software.python(HERE).status == "ok"
    monkeypatch.setattr(software, "OLDEST", (9, 0))
    assert software.python(HERE).status == "problem"


# Machine


@pytest.mark.parametrize(
    ("free", "status"), [(8_000_000, "ok"), (1_500_000, "note"), (300_000, "problem")]
)
def test_little_free_memory_is_noticed(
    free: int, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"MemTotal: 16000000 kB\nMemAvailable: {free} kB\n"
    monkeypatch.setattr(Path, "read_text", meminfo(text, {}))
    assert machine.memory(HERE).status == status


def meminfo(text: str, limits: dict[str, str]) -> Callable[..., str]:
    def read_text(path: Path, *args: Any, **kwargs: Any) -> str:
        if path == Path("/proc/meminfo"):
            return text
        if path.name in limits:
            return limits[path.name]
        raise FileNotFoundError(path)

    return read_text


def test_a_container_has_the_memory_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "MemTotal: 16000000 kB\nMemAvailable: 9000000 kB\n"
    limits = {"memory.max": "2000000000", "memory.current": "500000000"}
    monkeypatch.setattr(Path, "read_text", meminfo(text, limits))
    assert machine.memory_bytes() == (2_000_000_000, 1_500_000_000)
    limits["memory.max"] = "max\n"
    assert machine.memory_bytes() == (16_384_000_000, 9_216_000_000)


@pytest.mark.parametrize(("free", "status"), [(9e9, "ok"), (1e9, "note"), (1e8, "problem")])
def test_a_full_disk_is_noticed(
    free: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda where: SimpleNamespace(free=free))
    assert machine.disk(tmp_path).status == status
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    found = machine.disk(tmp_path / "none")
    assert (found.status, "no such file or directory" in found.found) == ("problem", True)


def test_threads_that_are_held_back_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_usable_processors", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = machine.processors(HERE)
    assert (found.status, found.advice) == (
        *("note",),
        "OMP_NUM_THREADS is 1: unset it to use all 8",
    )
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine.processors(HERE).status == "ok"


# Torch and FFmpeg


@pytest.mark.parametrize(
    ("check", "package", "says"),
    [
        (torch_devices.torch_itself, "torch", "torch cannot be loaded: lib.so is missing"),
        (torch_devices.torch_itself, "torchvision", "torchvision cannot be loaded"),
        (video_codecs.ffmpeg, "av", "PyAV cannot be loaded: lib.so is missing"),
    ],
)
def test_a_library_that_cannot_be_loaded_is_a_problem_with_advice(
    check: Callable[[Path], Finding], package: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == package:
            raise ImportError("lib.so is missing")
        return whole(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    found = check(HERE)
    assert (found.status, found.advice[:11]) == ("problem", "pip install")
    assert found.found.startswith(says)


def test_a_missing_decoder_is_a_problem_only_where_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert video_codecs.codecs(HERE).status == "ok"
    has = video_codecs._has
    monkeypatch.setattr(video_codecs, "_has", lambda name, mode: name != "vp9" and has(name, mode))
    found = video_codecs.codecs(HERE)
    assert (found.status, "without VP9" in found.found) == ("note", True)
    monkeypatch.setattr(video_codecs, "_has", lambda name, mode: name != "h264")
    assert video_codecs.codecs(HERE).found == "cannot decode H.264"


def test_a_card_that_this_torch_cannot_use_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/" + name)
    names = {one.name: one.status for one in torch_devices.devices(HERE)}
    assert names["device cuda"] == "note"
    assert names["device cpu"] == "ok"
