"""The README's commands run, its Python runs, and its tree is the tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.long
def test_the_five_minute_tour_runs_as_printed(tmp_path: Path) -> None:
    (tour,) = blocks("bash")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in tour.strip().splitlines():
        done = subprocess.run(
            command.split(),
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    for name in ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png"):
        assert (tmp_path / "pen" / name).stat().st_size > 0
    assert (tmp_path / "pen" / "report.html").stat().st_size > 0
    assert (tmp_path / "pen.boris").stat().st_size > 0

    first, second = blocks("python")
    for code in (first, second):
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        if code is first:
            assert {"wake", "NREM", "REM"} <= set(done.stdout.split())


def test_the_tree_in_the_readme_is_the_tree() -> None:
    printed = subprocess.run(
        [sys.executable, ROOT / "scripts" / "file_tree.py"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"```\n{printed}```" in README, "run: python scripts/file_tree.py --write"


def test_every_file_that_the_documentation_names_exists() -> None:
    texts = [README, *(page.read_text(encoding="utf-8") for page in ROOT.glob("docs/*.md"))]
    named = set(re.findall(r"(?:docs|scripts|examples|benchmarks)/[\w.-]+\.\w+", " ".join(texts)))
    assert named
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing


def test_the_readme_names_every_command() -> None:
    from vigilia.cli import COMMANDS

    assert [name for name in COMMANDS if f"vigilia {name}" not in README] == []
