"""`vigilia train` from outside: every option arrives, the card can be repeated, logs say enough."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vigilia.training
from vigilia.checkpoint import load_model
from vigilia.cli import main
from vigilia.cli import train as train_command
from vigilia.models import resolve_model
from vigilia.training import TrainOptions

TINY = "--size 16 --clip-frames 4 --stride-frames 2 --slots 2 --summary-tokens 2 "
TINY += "--feedback-tokens 2 --epochs 2 --rows 2 --chunk-clips 2"


@pytest.fixture
def barn(make_video: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three short recordings and their labels, in the folder in which the command runs."""
    monkeypatch.chdir(tmp_path)
    rows = ["video,start,end,label"]
    for seed, name in enumerate("abc"):
        make_video(tmp_path / f"{name} 1.mkv", 36, seed=seed)
        rows += [f"{name} 1.mkv,0,2,rest", f"{name} 1.mkv,2,4.5,walk"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def train(*words: str, out: str = "m.safetensors") -> int:
    videos = ["a 1.mkv", "b 1.mkv", "c 1.mkv"]
    return main(["train", *videos, "labels.csv", "--out", out, *TINY.split(), *words])


ASKED: dict[str, Any] = {
    "curriculum": (1, 2),
    "curriculum_recent": True,
    "burn_in_clips": 1,
    "freeze_backbone": True,
    "frozen_stages": 1,
    "backbone_rate": 0.5,
    "learning_rate": 1e-4,
    "weight_decay": 0.01,
    "clip_norm": 2.0,
    "label_smoothing": 0.1,
    "balance": 0.25,
    "balanced_sampling": 0.75,
    "precision": "bf16",
    "accumulate": 2,
    "checkpoint_activations": True,
    "mirror": False,
    "quarter_turns": True,
    "zoom": 0.1,
    "brightness": 0.2,
    "temporal_jitter": 2,
    "frame_drop": 0.05,
    "tube_mask": 0.15,
    "sound_drop": 0.35,
    "feature_noise": 0.25,
    "mixup": 0.3,
    "cutmix": 0.4,
    "coherence": 0.2,
    "slow_features": 0.1,
    "label_weight": 0.8,
    "teach": 0.7,
    "teach_memory": 0.3,
    "teach_temperature": 3.0,
    "patience": 5,
    "metric": "kappa",
    "seed": 7,
    "epochs": 3,
    "rows": 6,
    "chunk_clips": 3,
    "carry_probability": 0.6,
}


def test_every_option_of_the_command_arrives(barn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[dict[str, Any]] = []

    def record(annotated: Any, **arguments: Any) -> list[dict[str, Any]]:
        came.append(arguments)
        return [{"loss": 0.0}]

    monkeypatch.setattr(vigilia.training, "train_recordings", record)
    words = []
    for name, value in ASKED.items():
        option = "--" + name.replace("_", "-")
        if value is False:
            words.append("--no-" + option[2:])
        elif value is True:
            words.append(option)
        else:
            told = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words += [option, told]
    more = ["--cache-features", "--drop-path", "0.2", "--teacher", "large.safetensors"]
    assert train(*words, *more) == 0
    options = came[0]["options"]
    assert {name: getattr(options, name) for name in ASKED} == ASKED
    assert all(ASKED[name] != getattr(TrainOptions(), name) for name in ASKED)
    assert came[0]["cache_features"]
    assert came[0]["drop_path"] == 0.2
    assert came[0]["teacher"] == "large.safetensors"
    missing = {field.name for field in dataclasses.fields(TrainOptions)} - ASKED.keys()
    assert missing == {"warmup", "mix_probability"}  # for those who write Python


def test_the_command_and_the_library_have_the_same_defaults() -> None:
    usual = TrainOptions()
    for name, parameter in inspect.signature(train_command).parameters.items():
        if hasattr(usual, name) and name != "curriculum":
            assert parameter.default == getattr(usual, name), name


@pytest.mark.parametrize("text", ["8,x", "8;16", "1.5", ",", "0", "8,-1"])
def test_a_curriculum_that_is_no_list_of_numbers_is_one_line(
    barn: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    capsys.readouterr()
    assert train(f"--curriculum={text}") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: curriculum must")
    assert said.err.count("\n") == 1


def test_the_card_tells_a_command_that_trains_the_same_model(
    barn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--validation", "b 1", "--validation", "c 1.mkv", "--no-mirror", "--seed", "3"]
    assert train(*words, "--quarter-turns", "--curriculum", "1,2") == 0
    text = (barn / "m.safetensors.card.md").read_text()
    told = re.search(r"^    (vigilia train .*)$", text, re.MULTILINE)
    assert told is not None
    assert "--brightness" not in told[1]  # only what was typed
    first = (barn / "m.safetensors").read_bytes()
    (barn / "m.safetensors").unlink()
    assert main(shlex.split(told[1])[1:]) == 0
    assert (barn / "m.safetensors").read_bytes() == first
    assert (barn / "m.last.safetensors").exists()
    assert "95 % interval over recordings" in text


def test_a_log_says_how_far_it_is(
    barn: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setattr(sys.modules["vigilia.cli.train_display"], "LINE_EVERY_SECONDS", -1.0)
    capsys.readouterr()
    assert train("--validation", "b 1") == 0
    lines = capsys.readouterr().err.splitlines()
    first = [line for line in lines if line.startswith("update ")]
    assert re.fullmatch(r"update 1 of \d+, epoch 1, loss \d+\.\d{3}", first[0])
    assert re.fullmatch(
        r"update (\d+) of \1, epoch 2, loss .*, 0:00:00 left, balanced accuracy 0\.\d{3}", first[-1]
    )
    assert [line[:7] for line in lines if line.startswith("epoch")] == ["epoch 1", "epoch 2"]


def test_a_short_training_leaves_no_such_lines(
    barn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert train() == 0
    assert capsys.readouterr().err == ""


def test_curves_and_kept_features_from_the_command(
    barn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("tensorboard")
    assert train(out="start.safetensors") == 0
    words = "--model start.safetensors --cache-features --tensorboard curves --validation c_1 "
    words += "--epochs 2 --rows 2 --chunk-clips 3 --cache kept --out m.safetensors"
    asked = [word.replace("_", " ") if word == "c_1" else word for word in words.split()]
    assert main(["train", "a 1.mkv", "b 1.mkv", "c 1.mkv", "labels.csv", *asked]) == 0
    assert list((barn / "curves").glob("events*"))
    assert len([path for path in (barn / "kept").iterdir() if path.is_dir()]) == 3
    start, learned = load_model(barn / "start.safetensors"), load_model(barn / "m.safetensors")
    for name, value in learned.backbone.state_dict().items():
        assert (value == start.backbone.state_dict()[name]).all(), name
    assert (learned.head.weight != start.head.weight).any()


def test_a_teacher_is_named_on_the_command_line_and_in_the_card(
    barn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--memory", "fam", "--seed", "1", out="large.safetensors") == 0
    taught = ["--teacher", "large.safetensors", "--teach-memory", "0.5"]
    assert train(*taught) == 0
    model = load_model(barn / "m.safetensors")
    assert model.card["teacher"] == "large.safetensors: swin3d_nano, memory fam"
    assert "--teacher large.safetensors" in (barn / "m.safetensors.card.md").read_text()
    assert "Taught by large.safetensors" in (barn / "m.safetensors.card.md").read_text()
    (barn / "m.safetensors").unlink()
    assert train("--fps", "2", *taught) == 2
    assert "teacher and student must step at the same times" in capsys.readouterr().err
    assert train("--teacher", "nobody.safetensors") == 2
    assert "nobody.safetensors: no such model file" in capsys.readouterr().err
    events = ["--model", "neuro_svt_nano", "--teacher", "large.safetensors"]
    assert train(*events) == 2
    assert "--teacher goes with models of video" in capsys.readouterr().err


def test_a_clip_model_goes_on_in_incremental_mode(
    barn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["train", "a 1.mkv", "b 1.mkv", "labels.csv", "--out", "live.safetensors"]
    little = ["--epochs", "1", "--rows", "2", "--chunk-clips", "2", "--learning-rate", "1e-9"]
    assert main([*given, *little, "--model", "pen", "--incremental"]) == 0
    live, pen = load_model(barn / "live.safetensors"), resolve_model("pen")
    assert live.spec.name == "swin3d_nano_incremental"
    assert (live.clip_frames, live.stride_frames) == (8, 8)
    assert live.classes == ("rest", "walk")
    for part in ("backbone", "memory"):  # the head is for other classes
        for name, tensor in getattr(pen, part).state_dict().items():
            torch.testing.assert_close(getattr(live, part).state_dict()[name], tensor)
    assert "Started from pen" in (barn / "live.safetensors.card.md").read_text()
    capsys.readouterr()
    for model, said in (
        ("swin3d_nano", "--model swin3d_nano_incremental"),
        ("live.safetensors", "swin3d_nano_incremental has no incremental form"),
        ("neuro_svt_nano", "--incremental is for video"),
    ):
        assert main([*given, *little, "--model", model, "--incremental"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
