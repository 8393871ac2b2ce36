"""`vigilia export`, and `vigilia run` with what it wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vigilia.cli import main
from vigilia.timeline import Timeline


@pytest.fixture(scope="module")
def video(make_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "barn.mp4", 80)


def test_a_file_is_checked_against_its_model_and_gives_the_same_timeline(
    model_files: dict[str, Path],
    video: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    step = tmp_path / "step.onnx"
    model = str(model_files["gru"])
    assert main(["export", model, "-o", str(step), "--check", str(video), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["clip"] == [1, 3, 8, 32, 32]
    assert told["bytes"] == step.stat().st_size
    assert set(told["checks"]) == {"onnxruntime", "openvino"}
    for check in told["checks"].values():
        assert check["same_label"] == 1
        assert check["probability_difference"] < 1e-4
        assert check["steps"] == 10
    for name, chosen in {"model": model, "file": str(step)}.items():
        assert main(["run", str(video), "--model", chosen, "--out", str(tmp_path / name)]) == 0
    first, second = (Timeline.read(tmp_path / name / "timeline.json") for name in ("model", "file"))
    assert [one.label for one in first.segments] == [one.label for one in second.segments]
    assert second.assumptions["precision"] == "float32, onnxruntime"
    assert "precision" not in first.assumptions


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["export", "pen", "-o", "step.bin"], "error: step.bin: an exported step is called .onnx"),
        (["export", "pen", "--truth", "a.csv"], "error: --truth, --steps and --runtime go with"),
        (["run", "a.mp4", "--model", "none.onnx"], "error: none.onnx: no such file; make it with"),
        (
            ["run", "a.mp4", "--runtime", "openvino"],
            "error: --runtime openvino goes with an exported",
        ),
        (["run", "a.mp4", "--precision", "fp8"], "error: precision must be one of float32"),
    ],
)
def test_what_cannot_work_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(told) == 1
    assert told[0].startswith(message)
