"""`vigilia bench`: names that are not there are one line; results that are there are shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vigilia.bench.memory import Plan, bench_memory
from vigilia.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "T9"], "error: no task named 'T9'; there are T1, T2"),
        (["--memory", "elephant"], "error: no memory named 'elephant'; there are none, gru"),
        (["--jobs", "0"], "error:"),
        (["--seeds", "0"], "error:"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "memory", "--out", str(tmp_path / "out"), *arguments]) == 2
    told = capsys.readouterr().err
    assert told.startswith(message)
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_results_that_are_there_are_shown_without_another_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    score = {"low": 0, "label": "0 s", "accuracy": 0.5, "low95": 0.4, "high95": 0.6}
    score |= {"clips": 10, "cues": 3}
    result = {
        "task": "T1",
        "memory": "gru",
        "seed": 0,
        "all": score,
        "ages": [score],
        "memoryless_ceiling": 0.3,
        "memoryless_ceiling_from_1_clip": 0.25,
        "oracle": {"all": {**score, "accuracy": 1.0}, "ages": []},
        "horizon_clips": 16,
        "longest_training_clips": 64,
        "test_clips": 20_000,
        "updates": 280,
        "most_updates": 730,
    }
    (tmp_path / "T1-gru-0.json").write_text(json.dumps(result))
    arguments = ["--task", "T1", "--memory", "gru", "--seeds", "1", "--out", str(tmp_path)]
    assert main(["bench", "memory", *arguments]) == 0
    shown = capsys.readouterr().out
    assert "gru" in shown
    assert "50.0" in shown
    assert "| gru | 50.0 |" in (tmp_path / "table.md").read_text()
    assert main(["bench", "memory", *arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == [result]
    assert bench_memory(Plan(tasks=("T1",), memories=("gru",), seeds=(0,)), tmp_path) == [result]
