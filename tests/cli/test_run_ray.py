"""`vigilia run --ray`: what it is told and what it shows. The cluster is in tests/long."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import vigilia.scale
from conftest import tiny_model
from vigilia.cli import main
from vigilia.errors import MissingExtraError
from vigilia.running import Outcome, run_many
from vigilia.scale import Parcel, run_on_ray
from vigilia.scale.cluster import joined
from vigilia.stream import StreamClassifier

MakeVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def archive(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings, the second in two chunks, and one that is none."""
    folder = tmp_path_factory.mktemp("archive")
    make_video(folder / "night1.mkv", 40, seed=1)
    make_video(folder / "night2" / "1.mkv", 16, seed=2)
    make_video(folder / "night2" / "2.mkv", 16, seed=3)
    (folder / "junk.mp4").write_text("no video")
    return folder


def in_this_process(told: dict[str, Any]) -> Callable[..., list[Outcome]]:
    def instead(
        videos: list[str], *, model: Any, address: str, cpus_per_actor: int, **options: Any
    ) -> list[Outcome]:
        told.update(options, videos=videos, address=address, cpus=cpus_per_actor, model=model)
        options.pop("on_wait")("all is taken")
        assert options.pop("wait_seconds") == 5
        return run_many(videos, model=model, **options)

    return instead


def test_a_folder_stands_for_its_recordings_and_the_bad_one_is_named_at_the_end(
    archive: Path,
    model_files: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told: dict[str, Any] = {}
    monkeypatch.setattr(vigilia.scale, "run_on_ray", in_this_process(told))
    words = ["run", str(archive), "--ray", "head:6379", "--model", str(model_files["gru"])]
    words += ["--out", str(tmp_path), "--min-bout", "2", "--cpus-per-actor", "2", "--json"]
    words += ["--ray-wait-seconds", "5"]
    assert main(words) == 2
    said = capsys.readouterr()
    assert [Path(one).name for one in told["videos"]] == ["junk.mp4", "night1.mkv", "night2"]
    assert (told["address"], told["cpus"], told["minimum_bout_seconds"]) == ("head:6379", 2, 2.0)
    assert isinstance(told["model"], StreamClassifier)
    assert [one["folder"] for one in json.loads(said.out)] == [
        str(tmp_path / "night1"),
        str(tmp_path / "night2"),
    ]
    (error,) = (line for line in said.err.splitlines() if line.startswith("error"))
    assert "junk.mp4" in error
    assert "note: all is taken" in said.err


def test_without_ray_one_sentence_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], archive: Path
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[scale"), joined("auto"):
        pass
    assert main(["run", str(archive), "--ray", "local", "--out", str(archive / "out")]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: --ray needs ray")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--cpus-per-actor", "2"], "goes with --ray"),
        (["--ray-wait-seconds", "2"], "goes with --ray"),
        (["--ray", "auto", "--device", "cuda:1"], "device must be cpu or cuda"),
        (["--ray", "auto", "--truth", "labels.csv"], "goes with one VIDEO"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    words: list[str],
    message: str,
    archive: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", str(archive), "--out", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_model_arrives_as_it_was_packed(tmp_path: Path) -> None:
    model = tiny_model(3)
    parcel = Parcel.of_model(model)
    there = parcel.unpacked()
    for name, tensor in model.state_dict().items():
        assert tensor.equal(there.state_dict()[name]), name
    assert there.card == model.card
    (tmp_path / "step.onnx").write_bytes(b"a graph")
    other = Parcel.of_file(tmp_path / "step.onnx", load=lambda path: (path.name, path.read_bytes()))
    assert other.unpacked() == ("step.onnx", b"a graph")
    assert "a graph" not in repr(other)


def test_nothing_to_run_needs_no_cluster() -> None:
    assert run_on_ray([], outs=[], model=tiny_model(memory="none"), address="nowhere:1") == []
