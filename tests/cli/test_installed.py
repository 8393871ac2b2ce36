"""A built wheel is the whole program: it runs in an environment that has no copy of the source."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import vigilia

ROOT = Path(__file__).resolve().parents[2]


def run(*command: str | Path, **variables: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(one) for one in command],
        capture_output=True,
        text=True,
        env=kept | variables,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; what it depends on is that of the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__")
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps"]
    run(*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", folder / "dist", source)
    shutil.rmtree(source)
    (wheel,) = (folder / "dist").iterdir()
    environment = folder / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    run(*pip, "--python", environment / "bin" / "python", "install", *offline, wheel)
    names = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=names))
    (packages / "what_it_needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment


@pytest.mark.skipif(sys.platform == "win32", reason="the places of an environment are others there")
def test_a_wheel_brings_the_command_its_models_and_the_page(installed: Path) -> None:
    command = installed / "bin" / "vigilia"
    assert run(command, "--version").split()[-1] == vigilia.__version__
    told = json.loads(run(command, "doctor", "--json"))
    assert not [one for one in told["findings"] if one["status"] == "problem"]
    inside = run(
        installed / "bin" / "python",
        "-c",
        "import vigilia, pathlib; from vigilia.models import resolve_model; resolve_model('pen');"
        "folder = pathlib.Path(vigilia.__file__).parent; print(folder);"
        "print((folder / 'serving/page/index.html').stat().st_size)",
    ).split()
    assert Path(inside[0]).is_relative_to(installed), "not the copy that the tests run on"
    assert int(inside[1]) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="the places of an environment are others there")
def test_who_lacks_an_extra_is_told_the_wheel_that_this_came_from(installed: Path) -> None:
    told = run(
        installed / "bin" / "python",
        "-c",
        "from vigilia.installation import install_command; print(install_command('serve'))",
    )
    assert told.startswith("pip install ")
    assert told.strip().endswith(".whl[serve]'")


def test_the_shell_completes_commands() -> None:
    told = run(
        Path(sys.executable).with_name("vigilia"),
        _VIGILIA_COMPLETE="complete_bash",
        COMP_WORDS="vigilia r",
        COMP_CWORD="1",
    )
    assert "run" in told.split()
