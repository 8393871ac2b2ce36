"""The user's mistakes and damaged files: exit code 2, one line that names the culprit, no harm."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch

import vigilia
from vigilia.checkpoint import load_model, read_tensors, save_tensors
from vigilia.cli import main
from vigilia.errors import BrokenVideoError
from vigilia.timeline import Timeline

MakeVideo = Callable[..., Path]
Refused = Callable[..., str]
TINY = ["--size", "16", "--clip-frames", "4", "--stride-frames", "2"]
TINY += ["--epochs", "1", "--rows", "2", "--chunk-clips", "2"]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def desk(make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two videos, their labels, and results of earlier work; also the current one."""
    make_video(tmp_path / "a.mkv", 40)
    make_video(tmp_path / "b.mkv", 40, seed=1)
    (tmp_path / "labels.csv").write_text(
        "video,start,end,label\na.mkv,0,3,rest\na.mkv,3,5,walk\nb.mkv,0,5,walk\n"
    )
    (tmp_path / "a.csv").write_text("start,end,label\n0,3,rest\n3,5,walk\n")
    (tmp_path / "a.vigilia").mkdir()
    for name in ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png"):
        (tmp_path / "a.vigilia" / name).write_text("an earlier result")
    (tmp_path / "model.safetensors").write_text("an earlier model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refused(desk: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that must fail with exit code 2 and one line; nothing on the desk changes."""

    def check(*arguments: object, names: str) -> str:
        before = tree(desk)
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert code == 2, said
        assert said.err.count("\n") == 1, said.err
        assert said.err.startswith("error: ")
        assert names in said.err
        assert "Traceback" not in said.err
        after = tree(desk)
        assert {name: after.get(name) for name in before} == before
        return said.err

    return check


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le" if path.suffix == ".wav" else "aac", rate=8000)
        wave = (3000 * np.sin(np.arange(8000) / 5)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# Videos


def test_a_video_that_cannot_be_read_is_named(
    refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    (desk / "empty").mkdir()
    (desk / "notes").mkdir()
    (desk / "notes" / "readme.txt").write_text("no video")
    (desk / "zero.mp4").write_bytes(b"")
    (desk / "text.mp4").write_text("this is no video\n" * 100)
    (desk / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (desk / "head.mp4").write_bytes((desk / "a.mkv").read_bytes()[:200])
    sound(desk / "voice.wav")
    sound(desk / "voice.mp4")
    bad = ["nope.mp4", "nope/*.mp4", "empty", "notes", "zero.mp4", "text.mp4", "noise.mp4"]
    bad += ["head.mp4", "voice.wav", "voice.mp4", "labels.csv"]
    for name in bad:
        refused("run", name, "--model", model_files["fam"], names=name)
        assert [path.name for path in desk.glob("*.vigilia")] == ["a.vigilia"], "nothing is left"
    for name in ("nope.mp4", "empty", "zero.mp4", "voice.mp4"):
        refused("train", name, "a.csv", "--out", "new", *TINY, names=name)
        assert not (desk / "new").exists()


def test_the_other_videos_are_classified_though_one_is_bad(
    desk: Path, model_files: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "bad.mkv").write_bytes(b"")
    command = ["run", "bad.mkv", "b.mkv", "nope.mkv", "a.mkv", "--out", "out"]
    assert main([*command, "--model", str(model_files["fam"])]) == 2
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert len(lines) == 2
    assert "bad.mkv" in lines[0]
    assert "nope.mkv" in lines[1]
    for name in "ab":
        alone = vigilia.run(desk / f"{name}.mkv", model=model_files["fam"])
        written = Timeline.read(desk / "out" / name / "timeline.json")
        assert written.segments == alone.segments


def test_two_videos_never_share_a_folder(refused: Refused, model_files: dict[str, Path]) -> None:
    for out in ([], ["--out", "o"]):
        refused("run", "a.mkv", "x/a.mp4", "--model", model_files["fam"], *out, names="x/a.mp4")


def check_broken(video: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a broken video: what came before the break is delivered, and the line says where."""
    out = video.parent / "out"
    assert main(["run", str(video), "--model", str(model), "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert said.err.count("\n") == 1, said.err
    assert str(video) in said.err
    assert str(out) in said.err
    with pytest.raises(BrokenVideoError) as caught:
        vigilia.run(video, model=model)
    error = caught.value
    assert f"{error.seconds:.3f} s" in said.err
    timeline = Timeline.read(out / "timeline.json")
    assert error.timeline is not None
    assert timeline.segments == error.timeline.segments
    assert timeline.start_seconds == 0.0
    assert error.seconds is not None
    assert error.seconds <= timeline.end_seconds <= error.seconds + 0.5
    assert timeline.assumptions["broken_after_seconds"] == error.seconds
    names = ["timeline.csv", "timeline.json", "timeline.png", "timeline.vtt"]
    assert sorted(path.name for path in out.iterdir()) == names
    return said.err


def test_a_video_cut_short_gives_everything_before_the_break(
    make_video: MakeVideo,
    model_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = make_video(tmp_path / "whole.mp4", 160)
    expected = vigilia.run(whole, model=model_files["fam"])
    data = whole.read_bytes()
    for share in (0.5, 0.8):
        folder = tmp_path / str(share)
        folder.mkdir()
        (folder / "cut.mp4").write_bytes(data[: int(share * len(data))])
        check_broken(folder / "cut.mp4", model_files["fam"], capsys)
        cut = Timeline.read(folder / "out" / "timeline.json")
        assert 20 * share * 0.5 < cut.duration_seconds < 20 * share * 1.3
        assert cut.scores is not None
        assert expected.scores is not None
        full = int(cut.duration_seconds) - 1
        assert np.array_equal(cut.scores.probabilities[:full], expected.scores.probabilities[:full])


def test_a_real_damaged_video_gives_everything_before_the_break(
    shared_data: Path,
    model_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = tmp_path / "corrupted.mp4"
    video.write_bytes((shared_data / "odd" / "corrupted.mp4").read_bytes())
    assert "broken after 2.700 s" in check_broken(video, model_files["fam"], capsys)


# Models


def test_a_file_that_is_no_model_is_named(
    refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    state = load_model(model_files["fam"]).state_dict()
    torch.save(state, desk / "pickle.pt")
    torch.save(state, desk / "old.pth", _use_new_zipfile_serialization=False)
    tensors, header = read_tensors(model_files["fam"])
    save_tensors(desk / "plain.safetensors", tensors, {})
    gru_tensors, _ = read_tensors(model_files["gru"])
    save_tensors(desk / "mixed.safetensors", gru_tensors, header)
    narrow = {name: one[:1] if one.ndim else one for name, one in tensors.items()}
    save_tensors(desk / "narrow.safetensors", narrow, header)
    newer = header["spec"].replace("swin3d_nano", "swin9d")
    save_tensors(desk / "newer.safetensors", tensors, {**header, "spec": newer})
    whole = model_files["fam"].read_bytes()
    (desk / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (desk / "empty.safetensors").write_bytes(b"")
    (desk / "folder.safetensors").mkdir()
    bad = {
        "nope.safetensors": "no such",
        "pickle.pt": "pickled",
        "old.pth": "pickled",
        "a.csv": "safetensors",
        "model.safetensors": "safetensors",
        "plain.safetensors": "not a model",
        "mixed.safetensors": "architecture",
        "narrow.safetensors": "architecture",
        "newer.safetensors": "swin9d",
        "half.safetensors": "damaged",
        "empty.safetensors": "damaged",
        "folder.safetensors": "folder",
        "swin3d_huge": "did you mean swin3d_t",
    }
    for name, problem in bad.items():
        assert problem in refused("run", "a.mkv", "--model", name, names=name)
        command = ["train", "a.mkv", "a.csv", "--model", name, "--out", "new"]
        assert problem in refused(*command, names=name)
    assert not (desk / "new").exists()


def test_weights_go_with_names_and_are_called_kinetics400(
    refused: Refused, model_files: dict[str, Path]
) -> None:
    model = model_files["fam"]
    for weights in ("kinetics400", model):
        refused("run", "a.mkv", "--model", model, "--weights", weights, names="--weights")
        command = ["train", "a.mkv", "a.csv", "--out", "new", "--model", model]
        refused(*command, "--weights", weights, names="--weights")
    for command in (["run", "a.mkv"], ["train", "a.mkv", "a.csv", "--out", "new"]):
        nano = [*command, "--model", "swin3d_nano", "--weights"]
        refused(*nano, model, names=str(model))
        refused(*nano, "imagenet", names="imagenet")
        refused(*nano, "kinetics400", names="swin3d_nano")


def test_a_device_that_is_not_there_is_named(
    refused: Refused, model_files: dict[str, Path]
) -> None:
    for device in ("nonsense", "cuda:99", "meta", ""):
        refused("run", "a.mkv", "--model", model_files["fam"], "--device", device, names="device")
        command = ["train", "a.mkv", "a.csv", "--out", "new", *TINY]
        refused(*command, "--device", device, names="device")


# Labels


LABELS = {
    "outside": ("start,end,label\n0,3,rest\n3,50,walk\n", "row 3"),
    "before": ("start,end,label\n-9,-5,rest\n3,5,walk\n", "row 2"),
    "overlap": ("start,end,label\n0,3,rest\n2,5,walk\n", "row 3"),
    "backwards": ("start,end,label\n3,1,rest\n", "row 2"),
    "words": ("start,end,label\nzero,one,rest\n", "row 2"),
    "no-label": ("start,end\n0,3\n", "label"),
    "no-times": ("label\nrest\n", "times"),
    "header": ("start,end,label\n", "no rows"),
    "nothing": ("", ""),
    "frames": ("start_frame,end_frame_exclusive,label\n0,9,rest\n", "fps"),
    "other-video": ("video,start,end,label\nz.mkv,0,3,rest\n", "a.mkv"),
    "unlabelled": ("start,end,label\n0,5,unobserved\n", ""),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_cannot_be_used_are_named_with_the_row(
    kind: str, refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    text, problem = LABELS[kind]
    path = desk / f"{kind}.csv"
    path.write_text(text)
    assert problem in refused("train", "a.mkv", path, "--out", "new", *TINY, names=path.name)
    assert not (desk / "new").exists()
    if kind != "unlabelled":
        vigilia.run(desk / "a.mkv", model=model_files["fam"], out=desk / "done")
        timeline = desk / "done" / "timeline.json"
        assert problem in refused("evaluate", timeline, path, names=path.name)


def test_a_label_file_that_is_none_is_named(
    refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    (desk / "binary.csv").write_bytes(np.random.default_rng(0).bytes(3000))
    (desk / "labels").mkdir()
    for name in ("nope.csv", "binary.csv", "a.mkv"):
        refused("train", "a.mkv", name, "--out", "new", *TINY, names=name)
        refused("run", "b.mkv", "--model", model_files["fam"], "--truth", name, names=name)
        assert not (desk / "b.vigilia").exists(), "bad labels are found before the run"
    refused("train", "a.mkv", "labels", "--out", "new", *TINY, names="a.csv")
    refused("train", "a.mkv", "b.mkv", "a.csv", "--out", "new", *TINY, names="a.csv")


def test_classes_that_nobody_knows_are_named(
    refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    (desk / "fly.csv").write_text("start,end,label\n0,3,rest\n3,5,fly\n")
    vigilia.run(desk / "a.mkv", model=model_files["fam"], out=desk / "done")
    refused("evaluate", "done/timeline.json", "fly.csv", names="'fly'")
    refused("run", "a.mkv", "--model", model_files["fam"], "--truth", "fly.csv", names="'fly'")
    command = ["train", "a.mkv", "fly.csv", "--out", "new", *TINY]
    refused(*command, "--classes", "rest,walk", names="'fly'")
    assert not (desk / "new.frames").exists(), "before the decoding"
    for classes in (",", "rest,rest,fly", "rest,,fly", " "):
        refused(*command, "--classes", classes, names="classes")


def test_recordings_to_keep_apart_must_exist(refused: Refused) -> None:
    command = ["train", "a.mkv", "b.mkv", "labels.csv", "--out", "new", *TINY, "--validation"]
    refused(*command, "nope", names="'nope'")
    refused(*command, "a", "--validation", "b", names="every recording is kept apart")


# Timelines


def test_a_timeline_that_cannot_be_read_is_named(refused: Refused, desk: Path) -> None:
    (desk / "binary.json").write_bytes(np.random.default_rng(0).bytes(3000))
    (desk / "other.json").write_text("[1, 2, 3]")
    (desk / "empty.csv").write_text("")
    (desk / "half.json").write_text('{"segments": [')
    bad = ["nope.json", "binary.json", "other.json", "half.json", "empty.csv"]
    for name in [*bad, "a.vigilia/timeline.json", "a.vigilia/timeline.vtt", "a.mkv", "a.vigilia"]:
        refused("evaluate", name, "a.csv", names=name)


# Places to write to


def test_a_place_that_is_taken_is_named(
    refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    refused("run", "a.mkv", "--model", model_files["fam"], "--out", "a.csv", names="a.csv")
    refused("run", "a.mkv", "--model", model_files["fam"], "--out", "a.csv/x", names="a.csv")
    refused("train", "a.mkv", "a.csv", "--out", "a.vigilia", *TINY, names="a.vigilia")
    refused("train", "a.mkv", "a.csv", "--out", "a.csv/x", *TINY, names="a.csv")
    command = ["train", "a.mkv", "a.csv", "--out", "new", *TINY]
    refused(*command, "--cache", "a.csv", names="a.csv")
    vigilia.run(desk / "a.mkv", model=model_files["fam"], out=desk / "done")
    command = ["evaluate", "done/timeline.json", "a.csv", "--plot"]
    refused(*command, "nope/plot.png", names="nope/plot.png")
    refused(*command, "a.csv", names="a.csv")
    refused(*command, "a.vigilia", names="a.vigilia")
    refused("simulate", "a.csv", "--minutes", "0.1", names="a.csv")


def test_no_permission_is_one_line_that_names_the_place(
    refused: Refused, model_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # As root nothing is forbidden, so the refusal of the system is made here.
    def forbidden(*args: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    run = ["run", "a.mkv", "--model", model_files["fam"], "--out", "locked"]
    train = ["train", "a.mkv", "a.csv", *TINY, "--out", "locked/new"]
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "mkdir", forbidden)
        assert "Permission denied" in refused(*run, names="locked")
        assert "Permission denied" in refused(*train, names="locked")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", forbidden)
        assert "ermission" in refused(*run, names="locked")
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda path, mode, **rest: mode != os.W_OK)
        assert "no permission" in refused(*train, names="locked/new")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_one_line(
    refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    (desk / "locked").mkdir(mode=0o500)
    refused("run", "a.mkv", "--model", model_files["fam"], "--out", "locked", names="locked")
    refused("train", "a.mkv", "a.csv", *TINY, "--out", "locked/new", names="locked")


@pytest.mark.parametrize("function", ["replace", "fsync"])
def test_a_full_disk_is_one_line_and_earlier_results_stay_whole(
    function: str,
    refused: Refused,
    desk: Path,
    model_files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vigilia.run(desk / "a.mkv", model=model_files["fam"], out=desk / "done")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, function, full)
    refused("run", "a.mkv", "--model", model_files["fam"], names="a.vigilia")
    refused("train", "a.mkv", "a.csv", *TINY, "--out", "model.safetensors", names="model.safete")
    refused("evaluate", "done/timeline.json", "a.csv", "--plot", "a.png", names="a.png")
    assert not (desk / "a.png").exists()
    assert not [name for name in tree(desk) if name.endswith(".tmp")]


# Options


def test_options_and_arguments_that_do_not_exist_are_named(refused: Refused) -> None:
    for command in ("run", "train", "evaluate", "models", "simulate", "demo"):
        refused(command, "--nonsense", names="--nonsense")
    refused("--nonsense", names="--nonsense")
    refused("nonsense", names="nonsense")
    refused("models", "extra", names="extra")
    refused("run", names="VIDEO")
    refused("run", "--model", names="--model")
    refused("run", "a.mkv", "--model", names="--model")
    refused("train", names="VIDEO")
    refused("train", "a.mkv", names="VIDEO")
    refused("train", "a.mkv", "a.csv", names="--out")
    refused("evaluate", "a.json", names="LABELS")
    refused("evaluate", "a.json", "a.csv", "b.csv", names="b.csv")
    refused("simulate", names="VIDEO")


NUMBERS = {
    "run": {
        "--smooth-seconds": "-1 nan inf x",
        "--hysteresis": "-0.1 1.1 nan x",
        "--min-bout": "-1 nan inf x",
        "--max-gap-seconds": "-1 0 nan inf x",
        "--fps": "-1 0 nan inf x",
        "--clip-frames": "-1 0 1 2.5 x",
        "--stride-frames": "-1 0 9 2.5 x",
    },
    "train": {
        "--fps": "-1 0 nan inf x",
        "--clip-frames": "-1 0 1 2.5 x",
        "--stride-frames": "-1 0 9 2.5 x",
        "--size": "-1 0 7 2.5 x",
        "--epochs": "-1 0 2.5 x",
        "--rows": "-1 0 2.5 x",
        "--chunk-clips": "-1 0 2.5 x",
        "--carry-probability": "-0.1 1.1 nan x",
        "--learning-rate": "-1 0 nan x",
        "--drop-path": "-0.1 1 nan x",
        "--zoom": "-0.1 1 nan x",
        "--brightness": "-0.1 1 nan x",
        "--seed": "-1 1.5 99999999999999999999999 x",
        "--slots": "-1 1.5 x",
        "--summary-tokens": "-1 0 1.5 x",
        "--feedback-tokens": "-1 1.5 x",
        "--label-fps": "-1 0 nan inf x",
    },
    "evaluate": {"--step-seconds": "-1 0 nan inf x"},
    "models": {"--size": "-1 0 7 2.5 x"},
    "simulate": {"--minutes": "-1 0 nan inf x", "--seed": "-1 1.5 x"},
    "demo": {"--minutes": "-1 0 nan inf x", "--seed": "-1 1.5 x"},
}


@pytest.mark.parametrize("command", NUMBERS)
def test_a_number_that_cannot_work_is_refused_by_name(
    command: str, refused: Refused, desk: Path, model_files: dict[str, Path]
) -> None:
    vigilia.run(desk / "a.mkv", model=model_files["fam"], out=desk / "done")
    words = {
        "run": ["a.mkv", "--model", model_files["fam"], "--out", "new"],
        "train": ["a.mkv", "a.csv", "--out", "new"],
        "evaluate": ["done/timeline.json", "a.csv"],
        "models": [],
        "simulate": ["new.mp4"],
        "demo": ["--out", "new"],
    }[command]
    usual = {"--size": "16", "--clip-frames": "8", "--stride-frames": "2"}
    for option, values in NUMBERS[command].items():
        for value in values.split():
            others = usual if command == "train" else {}
            rest = [word for one in others.items() if one[0] != option for word in one]
            name = "bout" if option == "--min-bout" else option.removeprefix("--label-")
            said = refused(command, *words, *rest, f"{option}={value}", names="")
            plain = said.replace("_", "-")
            assert name.removeprefix("--") in plain, (option, value, said)
    assert not list(desk.glob("new*")), "nothing was begun"


# Through a process of its own: nothing is printed that tests inside this one would miss.


def test_the_command_itself_says_one_line_and_exits_2(
    desk: Path, model_files: dict[str, Path]
) -> None:
    for words, name in [
        (["run", "nope.mp4", "--model", str(model_files["fam"])], "nope.mp4"),
        (["run", "a.mkv", "--nonsense"], "--nonsense"),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "vigilia", *words],
            capture_output=True,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert name in done.stderr
