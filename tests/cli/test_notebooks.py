"""The notebooks of examples/ run from top to bottom, without Jupyter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.ipynb"))
SAYS = {
    "first_timeline": ["accuracy 0.", "NREM", "pen.boris", "pen.png"],
    "clip_by_clip": ["(2, 3) 14.89 MB", "True\n", "True [12, 0]"],
}


def cells(path: Path) -> list[dict[str, Any]]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    return notebook["cells"]


def test_there_are_notebooks_and_each_says_something() -> None:
    assert {path.stem for path in NOTEBOOKS} == set(SAYS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_whole_and_holds_no_results_of_somebodys_machine(path: Path) -> None:
    found = cells(path)
    assert found[0]["cell_type"] == "markdown"
    assert found[0]["source"][0].startswith("# ")
    assert len({one["id"] for one in found}) == len(found)
    for one in found:
        assert "".join(one["source"]).strip()
        if one["cell_type"] == "code":
            assert one["outputs"] == []
            assert one["execution_count"] is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, one in enumerate(cells(path)):
        if one["cell_type"] == "code":
            exec(compile("".join(one["source"]), f"{path.name}, cell {number + 1}", "exec"), names)
    said = capsys.readouterr().out
    for words in SAYS[path.stem]:
        assert words in said, said
