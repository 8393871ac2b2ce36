"""The commands do what their help says: run, train, evaluate, models."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

import vigilia
import vigilia.training.recordings as recordings
from conftest import tiny_model
from vigilia.backbones import BACKBONES
from vigilia.checkpoint import load_model, save_model
from vigilia.cli import COMMANDS, main
from vigilia.cli.run_display import far
from vigilia.memory import MEMORIES
from vigilia.timeline import Timeline

MakeVideo = Callable[..., Path]
Command = Callable[..., str]
TINY = ["--size", "16", "--clip-frames", "4", "--stride-frames", "2", "--epochs", "2"]
TINY += ["--rows", "2", "--chunk-clips", "2", "--slots", "2", "--summary-tokens", "2"]
TINY += ["--feedback-tokens", "2"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that must succeed, and returns what it printed to standard output."""

    def run(*words: object, errors: bool = False) -> str:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        assert code == 0, said.err
        assert errors or said.err == ""
        return said.out

    return run


# Help


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_every_command_has_an_example_and_fits_80_columns(
    name: str, flag: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = command(name, flag)
    assert re.search(r"Examples?:", text)
    assert re.search(rf"^\s+vigilia {name} ", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text, "nothing is cut off"


def test_the_examples_in_the_help_use_options_that_exist() -> None:
    for name, function in COMMANDS.items():
        doc = function.__doc__ or ""
        examples = [line.strip() for line in doc.splitlines() if line.strip().startswith("vigilia")]
        assert examples[0].split()[1] == name
        for example in examples:  # what comes next may be another command
            known = set(COMMANDS[example.split()[1]].__annotations__) | {"min_bout", "json"}
            for word in example.split():
                if word.startswith("--"):
                    assert word.removeprefix("--").replace("-", "_") in known, example


def test_the_command_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.err == ""
    assert all(name in said.out for name in COMMANDS)
    assert main(["--help"]) == 0
    assert capsys.readouterr().out.strip() == said.out.strip()


def test_the_version_is_printed_by_every_way_in(command: Command) -> None:
    expected = f"vigilia {vigilia.__version__}\n"
    assert command("--version") == expected
    done = subprocess.run([sys.executable, "-m", "vigilia", "--version"], capture_output=True)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, expected, b"")


def test_output_that_nobody_reads_to_the_end_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "vigilia", "models", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read().decode()
    process.wait()
    assert "Traceback" not in said


# models; what it says in detail is tested with the catalogue


def test_models_lists_every_backbone_with_every_memory(command: Command) -> None:
    rows = json.loads(command("models", "--json"))
    listed = [(row["name"], row["memory"]) for row in rows if row["name"] in BACKBONES]
    assert set(listed) == {(name, memory) for name in BACKBONES for memory in MEMORIES}
    for row in rows:
        assert row["parameters"] > 5e4
        assert row["gmac"] > 0
        assert 0.5 * row["state_bytes"] <= row["state_bytes_bfloat16"] <= row["state_bytes"]
    assert "pen" in command("models")


# run


def test_run_prints_a_summary_and_names_its_folder_after_the_video(
    command: Command,
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_video(tmp_path / "in" / "night3.mkv", 64)
    monkeypatch.chdir(tmp_path)
    said = command("run", "in/night3.mkv", "--model", model_files["fam"])
    timeline = Timeline.read(tmp_path / "night3.vigilia" / "timeline.json")
    assert said.startswith("night3.mkv: 0:00:08 in ")
    assert said.splitlines()[0].endswith(f"{len(timeline.segments)} segments -> night3.vigilia")
    for one in timeline.summary().classes:
        assert (f"{one.label} " in said) == (one.bouts > 0)
        assert not one.bouts or f"{one.share:.1%}" in said


def test_run_prints_json_for_programs(
    command: Command, model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    videos = [make_video(tmp_path / f"{name}.mkv", 64, seed=seed) for seed, name in enumerate("ab")]
    words = ["--model", model_files["fam"], "--json", "--out", tmp_path / "out"]
    one = json.loads(command("run", videos[0], *words))
    assert one["source"] == "a.mkv"
    assert one["folder"] == str(tmp_path / "out")
    assert one["seconds"] == 8.0
    assert one["unobserved_seconds"] == 0.0
    assert sum(found["seconds"] for found in one["classes"].values()) == pytest.approx(8.0)
    both = json.loads(command("run", *videos, *words))
    assert [found["source"] for found in both] == ["a.mkv", "b.mkv"]
    assert both[0]["classes"] == one["classes"]
    truth = tmp_path / "truth.csv"
    truth.write_text("start,end,label\n0,4,rest\n4,8,walk\n")
    compared = command("run", videos[0], *words, "--truth", truth, "--live", errors=True)
    assert json.loads(compared)["agreement"]["seconds_scored"] == 8.0


def test_live_prints_every_segment_once(
    command: Command, model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    times = [125 * k for k in range(60)] + [13_000 + 125 * k for k in range(61)]
    video = make_video(tmp_path / "a.mkv", times=times)
    words = ["--model", model_files["fam"], "--out", tmp_path / "out"]
    said = command("run", video, *words, "--live")
    timeline = Timeline.read(tmp_path / "out" / "timeline.json")
    printed = [line.split("  ")[1] for line in said.splitlines() if " - " in line]
    assert printed == [one.label or "unobserved" for one in timeline.segments]
    assert len(printed) > 3


def test_names_are_printed_as_they_are_called(
    command: Command,
    make_video: MakeVideo,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save_model(tiny_model(classes=("[red]sleep", ":cat: walks")), tmp_path / "m.safetensors")
    video = make_video(tmp_path / "[bold]pen[1].mkv", 64)
    out = tmp_path / "[night]"
    said = command("run", video, "--model", tmp_path / "m.safetensors", "--out", out, "--live")
    assert "[bold]pen[1].mkv: 0:00:08" in said
    assert f"-> {out}" in said
    assert "[red]sleep" in said or ":cat: walks" in said
    assert main(["run", str(tmp_path / "[bold]nope.mkv"), "--model", "swin3d_nano"]) == 2
    assert "[bold]nope.mkv" in capsys.readouterr().err


def test_a_backbone_without_weights_says_that_it_has_learned_nothing(
    make_video: MakeVideo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "a.mkv", 4)
    words = ["--clip-frames", "2", "--stride-frames", "2", "--out", str(tmp_path / "out")]
    assert main(["run", str(video), "--model", "swin3d_nano", *words]) == 0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "learned nothing" in said


# evaluate


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Path, Path]:
    """Eight of ten seconds agree; one second is unobserved, one was not scored."""
    timeline = tmp_path / "timeline.csv"
    timeline.write_text(
        "start_seconds,end_seconds,label,confidence\n"
        "0,4,rest,0.9\n4,5,unobserved,0\n5,9,walk,0.8\n9,12,rest,0.7\n"
    )
    labels = tmp_path / "labels.csv"
    labels.write_text("start,end,label\n0,3,rest\n3,10,walk\n10,11,rest\n11,12,\n")
    return timeline, labels


def test_evaluate_scores_a_timeline_against_labels(
    scored: tuple[Path, Path], command: Command, tmp_path: Path
) -> None:
    found = json.loads(command("evaluate", *scored, "--json", "--plot", tmp_path / "plot.png"))
    # Truth: rest 0-3, 10-11; walk 3-10. Said: rest 0-4, 9-12; walk 5-9; nothing 4-5.
    assert found["seconds_scored"] == 10.0
    assert found["seconds_unobserved"] == 1.0
    assert found["accuracy"] == pytest.approx(0.8)
    # Chance: (4 * 6 + 6 * 4) / 100 = 0.48.
    assert found["kappa"] == pytest.approx((0.8 - 0.48) / (1 - 0.48))
    assert found["balanced_accuracy"] == pytest.approx((1 + 4 / 6) / 2)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    table = command("evaluate", *scored)
    assert "0.800" in table
    assert "rest" in table
    assert "walk" in table


def test_evaluate_takes_a_table_in_which_a_class_never_came(
    scored: tuple[Path, Path], command: Command
) -> None:
    timeline, labels = scored
    timeline.write_text("start_seconds,end_seconds,label,confidence\n0,12,rest,0.9\n")
    found = json.loads(command("evaluate", timeline, labels, "--json"))
    assert found["accuracy"] == pytest.approx(4 / 11)


def test_a_timeline_agrees_with_itself_in_every_format(
    command: Command, model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    command("run", make_video(tmp_path / "a.mkv", 80), "--model", model_files["fam"], "--out", out)
    for name in ("timeline.json", "timeline.csv", "timeline.vtt"):
        words = ["evaluate", out / name, out / "timeline.csv", "--json"]
        assert json.loads(command(*words))["accuracy"] == 1.0


# train


@pytest.fixture
def barn(make_video: MakeVideo, tmp_path: Path) -> Path:
    """Two recordings, one table of labels, and a folder with a table for each."""
    rows = {"a": ["0,3,rest", "3,6,walk"], "b": ["0,2,walk", "2,4.5,rest"]}
    (tmp_path / "labels").mkdir()
    table = ["video,start,end,label"]
    for seed, (name, bouts) in enumerate(rows.items()):
        make_video(tmp_path / f"{name}.mkv", 48 - 12 * seed, seed=seed)
        lines = ["start,end,label", *bouts]
        (tmp_path / "labels" / f"{name}.csv").write_text("\n".join(lines) + "\n")
        table += [f"{name}.mkv,{bout}" for bout in bouts]
    (tmp_path / "labels.csv").write_text("\n".join(table) + "\n")
    return tmp_path


def train(command: Command, barn: Path, out: str, *more: object, labels: str = "labels.csv") -> str:
    videos: Sequence[Path] = [barn / "a.mkv", barn / "b.mkv"]
    words = ["train", *videos, barn / labels, "--out", barn / out, "--cache", barn / "frames"]
    return command(*words, *TINY, *more, errors=True)


def test_training_on_a_table_or_on_a_folder_of_labels_gives_one_and_the_same_model(
    barn: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = train(command, barn, "table.safetensors")
    assert said.startswith(f"{barn / 'table.safetensors'}: 2 epochs in ")
    # The second time nothing is decoded: the frames lie in the cache.
    monkeypatch.setattr(recordings, "open_video", None)
    train(command, barn, "folder.safetensors", labels="labels")
    table = (barn / "table.safetensors").read_bytes()
    assert (barn / "folder.safetensors").read_bytes() == table
    model = load_model(barn / "table.safetensors")
    assert model.classes == ("rest", "walk")
    assert model.card["recordings"] == ["a.mkv", "b.mkv"]
    assert model.card["trained_on"].startswith("2 recordings")
    assert sum(model.card["clips"].values()) == 21
    train(command, barn, "seed.safetensors", "--seed", "1")
    assert (barn / "seed.safetensors").read_bytes() != table
    assert not list(barn.glob("*.training"))


def test_a_trained_model_runs(barn: Path, command: Command) -> None:
    train(command, barn, "m.safetensors", "--classes", "walk, rest, fly")
    assert load_model(barn / "m.safetensors").classes == ("walk", "rest", "fly")
    words = ["--model", barn / "m.safetensors", "--out", barn / "out"]
    command("run", barn / "a.mkv", *words, "--truth", barn / "labels.csv")
    assert Timeline.read(barn / "out" / "timeline.json").end_seconds == 6.0


def test_validation_recordings_choose_the_epoch_and_are_not_learned_from(
    barn: Path, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["train", barn / "a.mkv", barn / "b.mkv", barn / "labels.csv", *TINY]
    words += ["--out", barn / "m.safetensors", "--validation", "b"]
    assert main([str(word) for word in words]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in said] == ["epoch 1", "epoch 2"]
    card = load_model(barn / "m.safetensors").card
    assert card["recordings"] == ["a.mkv"]
    assert card["validation"] == ["b.mkv"]
    best = max(card["epochs"], key=lambda epoch: epoch["balanced_accuracy"])
    assert card["best"] == best


def test_training_goes_on_from_a_model_file_with_other_classes(
    barn: Path, command: Command
) -> None:
    train(command, barn, "first.safetensors")
    first = load_model(barn / "first.safetensors")
    text = (barn / "labels.csv").read_text().replace("walk", "run")
    (barn / "other.csv").write_text(text)
    videos = [barn / "a.mkv", barn / "b.mkv"]
    words = ["--model", barn / "first.safetensors", "--epochs", "1", "--rows", "2"]
    words += ["--chunk-clips", "2", "--learning-rate", "1e-12"]
    same = barn / "same.safetensors"
    command("train", *videos, barn / "labels.csv", *words, "--out", same, errors=True)
    other = barn / "other.safetensors"
    command("train", *videos, barn / "other.csv", *words, "--out", other, errors=True)
    went_on, changed = load_model(same), load_model(other)
    assert changed.classes == ("rest", "run")
    assert went_on.preprocessing == changed.preprocessing == first.preprocessing
    for name, tensor in first.state_dict().items():
        assert torch.allclose(went_on.state_dict()[name], tensor, atol=1e-6), name
        if not name.startswith("head."):
            assert torch.allclose(changed.state_dict()[name], tensor, atol=1e-6), name
    assert not torch.allclose(changed.head.weight, first.head.weight, atol=1e-3)
    assert changed.card["started_from"] == str(barn / "first.safetensors")


def test_training_from_a_model_file_can_change_its_memory(barn: Path, command: Command) -> None:
    train(command, barn, "first.safetensors")
    words = ["train", barn / "a.mkv", barn / "b.mkv", barn / "labels.csv", "--epochs", "1"]
    words += ["--model", barn / "first.safetensors", "--memory", "none"]
    command(*words, "--out", barn / "plain.safetensors", errors=True)
    plain = load_model(barn / "plain.safetensors")
    assert plain.spec.memory == "none"
    assert plain.init_state(1).nbytes < 100


def test_a_run_without_a_terminal_says_how_far_it_is(
    barn: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["vigilia.cli.run_display"], "LINE_EVERY_SECONDS", 0.0)
    words = ["run", str(barn / "a.mkv"), "--model", "swin3d_nano", "--out", str(barn / "out")]
    assert main(words) == 0
    said = capsys.readouterr().err
    lines = [line for line in said.splitlines() if line.startswith("a: ")]
    assert lines, said
    assert re.fullmatch(r"a: 0:00:0\d of 0:00:06, \d+x real time, 0:00:0\d left", lines[0])


def test_how_far_a_run_of_unknown_length_is_needs_no_time_left() -> None:
    assert far(600.0, 200.0, 1800.0) == "0:10:00 of 0:30:00, 200x real time, 0:00:06 left"
    assert far(600.0, 200.0, None) == "0:10:00, 200x real time"
