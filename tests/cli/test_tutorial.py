"""The tutorial's commands run as printed, on recordings of half a minute and for one epoch."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vigilia.cli import COMMANDS, main
from vigilia.serving.config import read_config
from vigilia.serving.reading import Reader
from vigilia.serving.server import open_service
from vigilia.timeline import Timeline

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
SHORTER = {"--minutes 30": "--minutes 0.5", "--epochs 20": "--epochs 1 --size 16 --rows 2"}
"""What a reader has time for, and what a test has."""


def commands() -> list[str]:
    blocks = re.findall(r"```bash\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    return [line for block in blocks for line in block.strip().splitlines()]


@pytest.mark.long
def test_the_tutorial_runs_as_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (config,) = re.findall(r"```toml\n(.*?)```", TUTORIAL, flags=re.DOTALL)
    (tmp_path / "barn.toml").write_text(config, encoding="utf-8")
    used: set[str] = set()
    for command in commands():
        shorter = command
        for printed, short in SHORTER.items():
            if printed in command:
                used.add(printed)
                shorter = shorter.replace(printed, short)
        program, *arguments = shlex.split(shorter)
        assert program == "vigilia"
        assert main(arguments) == 0, f"{command}\n{capsys.readouterr().err}"
    assert used == set(SHORTER)
    written = ["sow.safetensors.card.md", "thursday/timeline.csv", "thursday/timeline.png"]
    written += ["thursday/report.html", "thursday/thursday.xlsx", "thursday/thursday.yasa.json"]
    for name in written:
        assert (tmp_path / name).stat().st_size > 0, name
    # The last step without `--check`, until the recording ends: the labels are those of step 4.
    with open_service(read_config("barn.toml")) as (supervisor, _):
        until = time.monotonic() + 120
        while supervisor.get("pen-1").status != "ended":
            assert time.monotonic() < until, supervisor.get("pen-1").problem
            time.sleep(0.05)
        reader, cursor = Reader(supervisor.journal.path), supervisor.journal.cursor("pen-1")
        segments = reader.segments(cursor, -1e18, 1e18, most=10**6)
    assert tuple(segments) == Timeline.read("thursday/timeline.json").segments


def test_the_pages_name_no_command_that_does_not_exist() -> None:
    known = {*COMMANDS, "labels", "bench", "events"}
    for page in ("index", "tutorial", "glossary", "faq"):
        text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
        named = set(re.findall(r"\bvigilia ([a-z]+)", " ".join(re.findall(r"`[^`]+`", text))))
        assert named <= known, page


def test_the_site_has_pages_that_exist_and_links_lead_somewhere() -> None:
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"([\w-]+\.md)", told)
    assert len(set(listed)) == len(listed) > 10
    written = {"commands.md", "python.md", "model-cards.md"}  # while the site is built
    assert set(listed) - written <= pages
    for page in pages:
        text = (ROOT / "docs" / page).read_text(encoding="utf-8")
        assert set(re.findall(r"\]\(([\w-]+\.md)\)", text)) <= pages, page


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the extra `docs` is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert "Vigilia" in page
    assert not re.search(r"<(?:script|link)[^>]+https?://", page), "it works without a network"
    for page, words in (
        ("commands", ["vigilia serve", "--streams-per-actor", "vigilia bench memory"]),
        ("python", ["create_model", "StepEngine", "run_on_ray"]),
        ("model-cards", ["pen-no-memory", "weakest class", "kappa"]),
    ):
        text = (tmp_path / "site" / page / "index.html").read_text(encoding="utf-8")
        assert all(one in text for one in words), page
