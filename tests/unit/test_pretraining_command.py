"""`vigilia pretrain`, and what training makes of its result."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from vigilia.checkpoint import load_model
from vigilia.cli import main
from vigilia.cli import pretrain as command
from vigilia.errors import OptionError
from vigilia.models import resolve_model
from vigilia.pretraining import METHODS, PretrainOptions
from vigilia.training.building import build_for_training

SMALL = ["--size", "16", "--clip-frames", "4", "--stride-frames", "2", "--rows", "4"]


@pytest.fixture(scope="module")
def videos(make_video: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("videos")
    return [make_video(folder / f"{name}.mp4", 48, seed=seed) for seed, name in enumerate("ab")]


@pytest.fixture(scope="module")
def pretrained(videos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for method in METHODS:
        found[method] = folder / f"{method}.safetensors"
        given = [*map(str, videos), "--out", str(found[method]), "--method", method]
        more = ["--model", "swin3d_nano", "--epochs", "2", "--cache", str(folder / "frames")]
        assert main(["pretrain", *given, *more, *SMALL]) == 0
    return found


def test_command_and_library_have_the_same_defaults() -> None:
    defaults = {name: one.default for name, one in inspect.signature(command).parameters.items()}
    mine = dataclasses.asdict(PretrainOptions())
    rare = {"warmup", "clip_norm", "cube_frames", "targets", "projection"}
    assert mine.keys() - defaults.keys() == rare
    assert {name: defaults[name] for name in mine.keys() - rare} == {
        name: value for name, value in mine.items() if name not in rare
    }


@pytest.mark.parametrize("method", METHODS)
def test_training_starts_from_the_backbone_and_with_fam(
    method: str, pretrained: dict[str, Path]
) -> None:
    start = load_model(pretrained[method])
    assert start.card["pretrained"]["options"]["method"] == method
    assert len(start.card["pretrained"]["epochs"]) == 2
    assert start.card["trained_on"].startswith(f"no labels: {method} on 2 recordings")

    def built(memory: str | None, classes: tuple[str, ...] = ("dark", "bright")) -> tuple:
        return build_for_training(
            pretrained[method],
            None,
            classes,
            memory=memory,
            memory_options={"slots": 2, "summary_tokens": 2} if memory is None else {},
            fps=4.0,
            clip_frames=None,
            stride_frames=None,
            size=None,
            background=1.0,
            drop_path=0.0,
            seed=7,
        )

    net, fresh = built(None)
    assert (net.spec.memory, fresh) == ("fam", True)
    assert net.preprocessing == start.preprocessing
    for name, tensor in start.backbone.state_dict().items():
        assert torch.equal(net.backbone.state_dict()[name], tensor)
    fresh_model = load_model(pretrained["mae" if method == "contrastive" else "contrastive"])
    assert not torch.equal(
        next(iter(fresh_model.backbone.parameters())), next(iter(start.backbone.parameters()))
    )
    assert built("none")[0].spec.memory == "none"
    # Its head has learned nothing, whatever the one class is called.
    torch.manual_seed(7)
    head = built("none", start.classes)[0].head.weight
    assert not torch.equal(head, start.head.weight)


def test_what_has_no_classes_yet_is_not_run(
    pretrained: dict[str, Path], videos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OptionError, match="pre-trained without labels and can name nothing yet"):
        resolve_model(pretrained["mae"])
    assert main(["run", str(videos[0]), "--model", str(pretrained["mae"])]) == 2
    assert "teach it with `vigilia train" in capsys.readouterr().err


def test_training_on_labels_from_it_makes_a_model_that_runs(
    pretrained: dict[str, Path], videos: list[Path], tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    rows = [
        f"{video.name},{s},{s + 3},{'rest' if s % 2 else 'walk'}"
        for video in videos
        for s in (0, 3)
    ]
    table.write_text("\n".join(["recording,start_seconds,end_seconds,label", *rows]))
    out = tmp_path / "model.safetensors"
    given = [*map(str, videos), str(table), "--model", str(pretrained["mae"]), "--out", str(out)]
    small = ["--epochs", "1", "--chunk-clips", "2", "--slots", "2", "--summary-tokens", "2"]
    assert main(["train", *given, *small, "--feedback-tokens", "2"]) == 0
    model = load_model(out)
    assert model.spec.memory == "fam"
    assert "pretrained" not in model.card
    assert model.card["started_from"] == str(pretrained["mae"])
    assert main(["run", str(videos[0]), "--model", str(out), "--out", str(tmp_path / "run")]) == 0


def test_pretraining_goes_on_from_a_model_file_and_leaves_its_memory_behind(
    model_files: dict[str, Path], videos: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "more.safetensors"
    given = [*map(str, videos), "--out", str(out), "--model", str(model_files["fam"])]
    assert main(["pretrain", *given, "--epochs", "1", "--rows", "4"]) == 0
    one, other = load_model(model_files["fam"]), load_model(out)
    assert other.spec.memory == "none"
    assert other.preprocessing == one.preprocessing
    moved = other.backbone.state_dict()
    assert any(not torch.equal(t, moved[n]) for n, t in one.backbone.state_dict().items())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--model", "neuro_svt_ti"], "takes the events of an event camera, not video"),
        (["--model", "swin3d_nanno"], "no backbone named 'swin3d_nanno'"),
        (["--model", "missing.safetensors"], "no such model file"),
        (["--method", "guess"], "method must be one of mae, contrastive"),
        (["--method", "mae", "--side", "7"], "must divide 16 x 16 pixels"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    more: list[str],
    told: str,
    videos: list[Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [str(videos[0]), "--out", str(tmp_path / "x.safetensors"), *SMALL, *more]
    assert main(["pretrain", *given]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert told in lines[-1]
    assert lines[-1].startswith("error: ")


def test_one_recording_is_too_few_to_tell_apart(
    videos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(videos[0]), "--out", str(tmp_path / "x.safetensors"), *SMALL]
    assert main(["pretrain", *given, "--method", "contrastive"]) == 2
    assert "contrastive needs two recordings or more" in capsys.readouterr().err
