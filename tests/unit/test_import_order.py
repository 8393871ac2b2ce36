"""Imports run one way, downwards, and `import vigilia` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vigilia

ROOT = Path(vigilia.__file__).parent
ORDER = [
    "errors",
    "installation",
    "files",
    "state",
    "fingerprints",
    "video",
    "events",
    "layers",
    "backbones",
    "memory",
    "spiking",
    "relevance",
    "beyond",
    "preprocessing",
    "stream",
    "checkpoint",
    "models",
    "catalogue",
    "timeline",
    "engine",
    "running",
    "evaluation",
    "training",
    "pretraining",
    "adaptation",
    "serving",
    "scale",
    "simulate",
    "bench",
    "demonstration",
    "doctor",
    "export",
    "cli",
    "__main__",
]
FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_rooms(source: str, package: str) -> Iterator[tuple[str, int]]:
    """Rooms of vigilia that a file imports, also inside functions, and the lines.

    Args:
        source: the file.
        package: dotted name of the package it lies in.
    """

    def visit(node: ast.AST) -> Iterator[tuple[str, int]]:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.orelse:
                yield from visit(child)
            return
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from named(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            home = ".".join([*(parents if node.level else []), *filter(None, [node.module])])
            if home == "vigilia":
                for alias in node.names:
                    yield from named(f"vigilia.{alias.name}", node.lineno)
            else:
                yield from named(home, node.lineno)
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    def named(module: str, line: int) -> Iterator[tuple[str, int]]:
        parts = module.split(".")
        if parts[0] == "vigilia" and len(parts) > 1 and not parts[1].startswith("__"):
            # `from vigilia import run`: a name that `vigilia` fetches from another room.
            home = vigilia._HOMES.get(parts[1], f"vigilia.{parts[1]}")
            yield home.split(".")[1], line

    yield from visit(ast.parse(source))


def test_the_order_names_every_room() -> None:
    assert {room(path) for path in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_downwards(path: Path) -> None:
    package = ".".join(["vigilia", *path.relative_to(ROOT).parent.parts])
    here = ORDER.index(room(path))
    upwards = [
        f"line {line}: {room(path)} imports {name}"
        for name, line in imported_rooms(path.read_text(encoding="utf-8"), package)
        if ORDER.index(name) > here
    ]
    assert not upwards


def test_the_reading_of_imports_sees_all_kinds() -> None:
    source = """
import numpy, vigilia.cli
from vigilia.memory.fam import x
from vigilia import state, run, __version__
from ..timeline import y
from . import z
if TYPE_CHECKING:
    from vigilia.export import hidden
else:
    import vigilia.video
def later():
    from vigilia.training import inside
"""
    found = {name for name, _ in imported_rooms(source, "vigilia.stream")}
    assert found == {"cli", "memory", "state", "running", "timeline", "stream", "video", "training"}


def modules_after(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_vigilia_loads_neither_torch_nor_numpy_nor_av() -> None:
    loaded = modules_after("import vigilia")
    assert "vigilia" in loaded
    assert not loaded & {"torch", "torchvision", "numpy", "av", "matplotlib", "safetensors"}


def test_video_and_timeline_do_not_load_torch() -> None:
    loaded = modules_after("import vigilia.video, vigilia.timeline, vigilia.simulate")
    assert not loaded & {"torch", "matplotlib"}


def test_every_public_name_of_the_package_is_there() -> None:
    for name in vigilia.__all__:
        assert getattr(vigilia, name) is not None
    assert set(vigilia._HOMES) == set(vigilia.__all__) - {"__version__"}
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        vigilia.nonsense  # noqa: B018
