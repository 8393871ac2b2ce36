"""The container and the unit run commands that there are, without rights they do not need."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
import typer

from vigilia.cli import app
from vigilia.serving.config import ServeConfig, read_config
from vigilia.serving.ending import MOST_SECONDS

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "vigilia.service"


def unit() -> dict[str, list[str]]:
    """Every directive with its values."""
    found: dict[str, list[str]] = defaultdict(list)
    for line in UNIT.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found[key].append(value)
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Instructions and what follows them, of the last stage last."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"(?m)^#.*\n", "", text).replace("\\\n", " ")
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def parse(words: list[str]) -> None:
    """Fails unless the command line has such a command with such options."""
    command = typer.main.get_command(app)
    found = command.get_command(None, words[0])
    assert found is not None, f"there is no command {words[0]}"
    found.make_context(words[0], words[1:], resilient_parsing=False)


def test_the_units_commands_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("ExecStartPre", "ExecStart"):
        (line,) = unit()[key]
        program, *words = shlex.split(line)
        assert program.endswith("/vigilia")
        parse(words)


def test_the_unit_is_hardened_and_gives_time_to_end() -> None:
    found = unit()
    for key in ("DynamicUser", "NoNewPrivileges", "PrivateTmp", "ProtectKernelModules"):
        assert found[key] == ["yes"], key
    assert found["ProtectSystem"] == ["strict"]
    assert found["CapabilityBoundingSet"] == [""]
    assert found["Restart"] == ["on-failure"]
    assert float(found["TimeoutStopSec"][0]) > MOST_SECONDS
    assert found["WorkingDirectory"] == [f"/var/lib/{found['StateDirectory'][0]}"]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    copy = tmp_path / "vigilia.service"
    copy.write_text(UNIT.read_text().replace("/opt/vigilia/bin/vigilia", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, timeout=60
    )
    about = [line for line in done.stderr.splitlines() if "vigilia.service" in line]
    assert about == []


def test_the_containers_command_exists_and_it_is_not_root() -> None:
    said: dict[str, str] = dict(dockerfile())
    assert json.loads(said["ENTRYPOINT"]) == ["vigilia"]
    parse(json.loads(said["CMD"]))
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", said["USER"])
    assert said["VOLUME"] == said["WORKDIR"] == "/var/lib/vigilia"
    assert int(said["EXPOSE"]) == ServeConfig(Path("x")).bind.port
    health = re.search(r"http://127\.0\.0\.1:(\d+)(/\w+)", said["HEALTHCHECK"])
    assert health is not None
    assert (health[1], health[2]) == (said["EXPOSE"], "/healthz")


def test_the_container_installs_extras_that_there_are_and_copies_files_that_travel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [rest for _, rest in dockerfile()]
    (asked,) = (found[1] for line in lines if (found := re.search(r'"\.\[([\w,]+)\]"', line)))
    extras = set(project["optional-dependencies"])
    assert {"serve", "formats"} <= set(asked.split(",")) <= extras
    travels = {
        line.lstrip("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for instruction, rest in dockerfile():
        if instruction == "COPY" and not rest.startswith("--from"):
            *files, _ = rest.split()
            assert set(files) <= travels
            assert all((ROOT / file).exists() for file in files)


def test_the_example_of_a_configuration_is_valid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "packaging" / "serve.toml").read_text()
    config = read_config(ROOT / "packaging" / "serve.toml")
    assert config.bind.loopback
    assert str(config.data) == "/var/lib/vigilia"
    # The stream that is commented out, too.
    monkeypatch.setenv("CAMERA_USER", "eve")
    monkeypatch.setenv("CAMERA_PASSWORD", "s3cret")
    (tmp_path / "serve.toml").write_text(re.sub(r"(?m)^# (\[\[|\w+ = )", r"\1", text))
    assert [one.name for one in read_config(tmp_path / "serve.toml").streams] == ["pen-3"]
