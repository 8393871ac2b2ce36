"""What is told to who lacks an extra installs this Vigilia, and not another of the same name."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from vigilia.installation import install_command

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        (
            {"url": "file:///home/jo/my%20code/vigilia", "dir_info": {"editable": True}},
            "pip install --editable '/home/jo/my code/vigilia[serve]'",
        ),
        ({"url": "file:///opt/vigilia", "dir_info": {}}, "pip install '/opt/vigilia[serve]'"),
        (
            {"url": "file:///tmp/vigilia-0.1.0-py3-none-any.whl", "archive_info": {}},
            "pip install '/tmp/vigilia-0.1.0-py3-none-any.whl[serve]'",
        ),
        (
            {"url": "https://barn.example/v.whl", "archive_info": {}},
            "pip install 'vigilia[serve] @ https://barn.example/v.whl'",
        ),
        (
            {
                "url": "https://barn.example/vigilia.git",
                "vcs_info": {"vcs": "git", "commit_id": "87a78a1"},
            },
            "pip install 'vigilia[serve] @ git+https://barn.example/vigilia.git@87a78a1'",
        ),
        (None, "pip install 'vigilia[serve]==0.1.0'"),
    ],
)
def test_the_command_names_where_this_copy_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, object] | None, told: str
) -> None:
    noted = None if origin is None else json.dumps(origin)
    copy = SimpleNamespace(version="0.1.0", read_text=lambda name: noted)
    monkeypatch.setattr(metadata, "distribution", lambda name: copy)
    assert install_command("serve") == told


def test_under_pipx_it_is_pipx_that_installs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "pipx_metadata.json").write_text("{}")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert install_command("serve").startswith("pipx install --force ")


def test_again_is_even_if_it_is_there() -> None:
    assert install_command(again=True).startswith("pip install --force-reinstall ")


def test_no_text_names_the_bare_package() -> None:
    files = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.toml", "*.service", "*.ipynb", "Dockerfile"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    bare = re.compile(r"pipx? install (-\S+ )*['\"]?vigilia(?![\w./-])")
    found = [
        f"{name}: {line.strip()}"
        for name in files
        if name != "tests/unit/test_installation.py"
        for line in (ROOT / name).read_text().splitlines()
        if bare.search(line)
    ]
    assert found == []
