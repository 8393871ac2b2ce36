"""Killed at any moment and started again: the same bytes, or one line that says why not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import vigilia
from vigilia.checkpoint import load_model, read_tensors, save_tensors
from vigilia.cli import main
from vigilia.errors import CheckpointError, OutputError, VideoError
from vigilia.files import write_atomically
from vigilia.running import RunUpdate
from vigilia.running.classify import start
from vigilia.running.saved import SavedRun, StepTable

MakeVideo = Callable[..., Path]
OUTPUTS = ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png")
HOLE = [125 * k for k in range(60)] + [13_000 + 125 * k for k in range(50)]


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def interrupt(video: Path, model: Path, out: Path, *, after: int, **options: object) -> None:
    """A run that ends by Ctrl-C after some steps, each of which was saved."""

    def stop(update: RunUpdate) -> None:
        if update.steps >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        vigilia.run(video, model=model, out=out, save_every_seconds=0, on_update=stop, **options)
    assert (out / "unfinished" / "snapshot.safetensors").exists()


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail with exit code 2 and one line, which it returns."""

    def check(*arguments: object) -> str:
        capsys.readouterr()
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert said.err.startswith("error: ")
        return said.err

    return check


# One process that imports everything once and forks a child for each attempt; the child kills
# itself at a random moment of its work, or is killed from outside at a random time. What a child
# wants to tell it writes to standard output, a line at a time.
FORKS = """
import functools, json, os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import matplotlib.backends.backend_agg, matplotlib.figure
import vigilia, vigilia.running, vigilia.training.start
import vigilia.cli.train
from vigilia.cli import main

vigilia.running.run = functools.partial(vigilia.running.run, save_every_seconds=0)
vigilia.training.start.train_model = functools.partial(
    vigilia.training.start.train_model, save_every_seconds=0
)
chance = random.Random(7)

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def deadly(function, count, before):
    def call(*args, **kwargs):
        nonlocal count
        count -= 1
        if count == 0 and before:
            kill()
        result = function(*args, **kwargs)
        if count == 0:
            kill()
        return result
    return call

def attempt(arguments, calls, last):
    begun = os.fork()
    if begun == 0:
        if not last:
            name = chance.choice(["fsync", "replace", "unlink", "rmdir", "mkdir"] + 4 * ["time"])
            if name != "time":
                count, before = chance.randint(1, calls), chance.random() < 0.5
                setattr(os, name, deadly(getattr(os, name), count, before))
        os._exit(main(arguments))
    if not last:
        time.sleep(chance.uniform(0.02, 0.6))
        os.kill(begun, signal.SIGKILL)
    status = os.waitpid(begun, 0)[1]
    return os.waitstatus_to_exitcode(status)

def until_done(arguments, kills, calls):
    for number in range(kills + 1):
        yield attempt(arguments, calls, number == kills)

codes = []
for job in json.loads(sys.argv[1]):
    codes.append([])
    for code in until_done(*job):
        codes[-1].append(code)
        if code == 0:
            break
print(json.dumps(codes))
"""


def test_commands_killed_at_random_moments_end_as_unbroken_ones(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "night.mkv", times=HOLE)
    options = {"fps": 8.0, "stride_frames": 2, "minimum_bout_seconds": 1.0}
    jobs = []
    for name in ("fam", "gru"):
        model = model_files[name]
        vigilia.run(video, model=model, out=tmp_path / name / "unbroken", **options)
        command = ["run", video, "--model", model, "--out", tmp_path / name / "killed"]
        jobs.append([[*command, "--fps", "8", "--stride-frames", "2", "--min-bout", "1"], 4, 25])

    videos = [make_video(tmp_path / f"{name}.mkv", 60, seed=seed) for seed, name in enumerate("ab")]
    table = tmp_path / "labels.csv"
    table.write_text(
        "video,start,end,label\n"
        "a.mkv,0,4,rest\na.mkv,4,7.5,walk\nb.mkv,0,2,walk\nb.mkv,2,7.5,rest\n"
    )
    tiny = "--size 16 --clip-frames 4 --stride-frames 2 --epochs 2 --rows 2 --chunk-clips 2"
    tiny += " --slots 2 --summary-tokens 2 --feedback-tokens 2 --validation b"
    train = ["train", *videos, table, *tiny.split(), "--cache", tmp_path / "frames", "--out"]
    jobs.append([[*train, tmp_path / "killed.safetensors"], 3, 8])

    done = subprocess.run(
        [sys.executable, "-c", FORKS, json.dumps(jobs, default=str)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for codes in json.loads(done.stdout.splitlines()[-1]):
        assert codes[-1] == 0, (codes, done.stderr)
        assert codes.count(-signal.SIGKILL) == len(codes) - 1 >= 2, codes

    for name in ("fam", "gru"):
        assert outputs(tmp_path / name / "killed") == outputs(tmp_path / name / "unbroken")
        assert not (tmp_path / name / "killed" / "unfinished").exists()

    frames = tree(tmp_path / "frames")
    assert not [name for name in frames if name.endswith(".partial")]
    assert main([str(word) for word in [*train, tmp_path / "unbroken.safetensors"]]) == 0
    whole = (tmp_path / "unbroken.safetensors").read_bytes()
    assert (tmp_path / "killed.safetensors").read_bytes() == whole
    assert not (tmp_path / "killed.safetensors.training").exists()
    assert tree(tmp_path / "frames") == frames


def test_a_command_interrupted_and_killed_goes_on_where_it_was(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "night.mkv", 200)
    command = ["run", str(video), "--model", str(model_files["fam"]), "--fps", "8"]
    command += ["--stride-frames", "1", "--out", str(tmp_path / "out")]
    # A pause after every step, so that the run cannot end before the signal comes.
    # A shell that starts the tests in the background makes them deaf to SIGINT; here it counts.
    entry = (
        "import signal, time, vigilia.running as r\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "run = r.run\n"
        "def slow(*args, on_update, **options):\n"
        "    def pause(update): time.sleep(0.05); on_update(update)\n"
        "    return run(*args, on_update=pause, save_every_seconds=0, **options)\n"
        "r.run = slow\n"
        "from vigilia.cli import script; script()"
    )
    snapshot = tmp_path / "out" / "unfinished" / "snapshot.safetensors"

    def steps_saved() -> int:
        return json.loads(read_tensors(snapshot)[1]["place"])["steps"] if snapshot.exists() else 0

    def stopped(by: signal.Signals) -> tuple[int, str]:
        process = subprocess.Popen(
            [sys.executable, "-c", entry, *command],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        before, deadline = steps_saved(), time.monotonic() + 60
        while steps_saved() <= before + 3:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(by)
        said = process.communicate(timeout=60)[1]
        return process.returncode, said

    assert stopped(signal.SIGINT) == (
        130,
        "interrupted; the same command goes on where it was\n",
    )
    first = steps_saved()
    assert first > 3
    assert stopped(signal.SIGKILL)[0] == -signal.SIGKILL
    assert steps_saved() > first
    updates: list[RunUpdate] = []
    vigilia.run(
        video,
        model=model_files["fam"],
        out=tmp_path / "out",
        fps=8,
        stride_frames=1,
        on_update=updates.append,
    )
    assert updates[0].resumed_steps > first
    assert updates[0].steps == updates[0].resumed_steps + 1
    vigilia.run(video, model=model_files["fam"], out=tmp_path / "unbroken", fps=8, stride_frames=1)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "unbroken")


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_run_killed_between_its_outputs_writes_them_all_the_next_time(
    name: str,
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = make_video(tmp_path / "a.mkv", 40)
    vigilia.run(video, model=model_files["fam"], out=tmp_path / "unbroken")
    out = tmp_path / "out"
    out.mkdir()
    for old in OUTPUTS:
        (out / old).write_text("the result of an earlier run")
    replace = os.replace

    def dies(source: str | Path, target: str | Path) -> None:
        if Path(target).name == name:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        vigilia.run(video, model=model_files["fam"], out=out, save_every_seconds=0)
    monkeypatch.setattr(os, "replace", replace)
    assert (out / name).read_text() == "the result of an earlier run"
    assert (out / "unfinished").is_dir()
    updates: list[RunUpdate] = []
    vigilia.run(video, model=model_files["fam"], out=out, on_update=updates.append)
    assert outputs(out) == outputs(tmp_path / "unbroken")
    assert sorted(path.name for path in out.iterdir()) == sorted(OUTPUTS)
    assert updates == [], "all was saved, so nothing had to be computed again"


def test_going_on_with_other_smoothing_is_allowed_and_gives_its_timeline(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video, model = make_video(tmp_path / "a.mkv", 80), model_files["fam"]
    interrupt(video, model, tmp_path / "out", after=4)
    vigilia.run(video, model=model, out=tmp_path / "out", minimum_bout_seconds=3)
    vigilia.run(video, model=model, out=tmp_path / "unbroken", minimum_bout_seconds=3)
    assert outputs(tmp_path / "out") == outputs(tmp_path / "unbroken")


def test_a_run_of_a_folder_goes_on_in_a_later_part(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    for number in range(3):
        make_video(tmp_path / "barn" / f"{number}.mkv", 30, seed=number)
    model, folder = model_files["fam"], tmp_path / "barn"
    vigilia.run(folder, model=model, out=tmp_path / "unbroken")
    for after in (3, 5, 9):
        interrupt(folder, model, tmp_path / "out", after=after)
    vigilia.run(folder, model=model, out=tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "unbroken")


def test_a_video_that_breaks_half_way_is_resumed_like_any_other(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    whole = make_video(tmp_path / "whole.mp4", 120)
    video = tmp_path / "cut.mp4"
    video.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    model = model_files["fam"]
    with pytest.raises(VideoError):
        vigilia.run(video, model=model, out=tmp_path / "unbroken")
    interrupt(video, model, tmp_path / "out", after=3)
    interrupt(video, model, tmp_path / "out", after=7)
    with pytest.raises(VideoError):
        vigilia.run(video, model=model, out=tmp_path / "out")
    assert outputs(tmp_path / "out") == outputs(tmp_path / "unbroken")
    assert not (tmp_path / "out" / "unfinished").exists()


def test_another_model_video_gap_or_rate_is_refused_and_destroys_nothing(
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    refused: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    video, model, out = make_video(tmp_path / "a.mkv", 60), model_files["fam"], tmp_path / "out"
    other = make_video(tmp_path / "b.mkv", 60, seed=1)
    vigilia.run(video, model=model, out=out, smooth_seconds=5)  # an earlier result lies there
    interrupt(video, model, out, after=4)
    before = tree(tmp_path)
    for arguments, difference in [
        ((video, "--model", model_files["other"]), "model"),
        ((video, "--model", model_files["gru"]), "model"),
        ((other, "--model", model), "video"),
        ((video, "--model", model, "--max-gap-seconds", "9"), "max_gap_seconds"),
        ((video, "--model", model, "--stride-frames", "2"), "model"),
    ]:
        line = refused("run", *arguments, "--out", out)
        assert str(out / "unfinished") in line
        assert f"another {difference}" in line
        assert "--restart" in line
        assert tree(tmp_path) == before
    assert main(["run", str(video), "--model", str(model), "--out", str(out)]) == 0
    vigilia.run(video, model=model, out=tmp_path / "unbroken")
    assert outputs(out) == outputs(tmp_path / "unbroken")
    assert capsys.readouterr().err == ""


def test_restart_forgets_an_interrupted_run(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video, out = make_video(tmp_path / "a.mkv", 60), tmp_path / "out"
    interrupt(video, model_files["fam"], out, after=4)
    other = str(model_files["other"])
    assert main(["run", str(video), "--model", other, "--out", str(out), "--restart"]) == 0
    vigilia.run(video, model=other, out=tmp_path / "unbroken")
    assert outputs(out) == outputs(tmp_path / "unbroken")
    assert not (out / "unfinished").exists()
    interrupt(video, model_files["fam"], out, after=4)
    (out / "unfinished" / "snapshot.safetensors").write_bytes(b"damaged")
    assert main(["run", str(video), "--model", other, "--out", str(out), "--restart"]) == 0


def test_a_video_that_has_changed_meanwhile_is_refused(
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    raw = {"codec": "rawvideo", "pixel_format": "rgb24"}  # every picture has the same size
    video = make_video(tmp_path / "a.mov", 60, **raw)
    other = make_video(tmp_path / "b.mov", 60, seed=1, **raw)
    longer = make_video(tmp_path / "c.mov", 70, **raw)
    assert video.stat().st_size == other.stat().st_size
    out, model = tmp_path / "out", model_files["fam"]
    interrupt(video, model, out, after=4)
    saved = tree(out)
    for replacement, problem in [(other, "has changed"), (longer, "another video")]:
        original = video.read_bytes()
        video.write_bytes(replacement.read_bytes())
        line = refused("run", video, "--model", model, "--out", out)
        assert problem in line
        assert "--restart" in line
        assert tree(out) == saved
        video.write_bytes(original)
    assert main(["run", str(video), "--model", str(model), "--out", str(out)]) == 0


def test_a_damaged_snapshot_is_one_line_and_stays_where_it_is(
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    refused: Callable[..., str],
) -> None:
    video, model, out = make_video(tmp_path / "a.mkv", 60), model_files["fam"], tmp_path / "out"
    interrupt(video, model, out, after=5)
    unfinished = out / "unfinished"
    snapshot, records = unfinished / "snapshot.safetensors", unfinished / "steps.bin"
    whole, steps = snapshot.read_bytes(), records.read_bytes()
    for name, damage in [
        ("snapshot", lambda: snapshot.write_bytes(b"")),
        ("snapshot", lambda: snapshot.write_bytes(whole[:100])),
        ("snapshot", lambda: snapshot.write_bytes(whole[: len(whole) // 2])),
        ("snapshot", lambda: snapshot.write_bytes(os.urandom(500))),
        ("snapshot", lambda: snapshot.write_bytes(model.read_bytes())),
        ("steps", lambda: records.write_bytes(steps[:-1])),
        ("steps", lambda: records.unlink()),
    ]:
        damage()
        line = refused("run", video, "--model", model, "--out", out)
        assert str(unfinished / name) in line
        assert "--restart" in line
        assert snapshot.exists()
        snapshot.write_bytes(whole)
        records.write_bytes(steps)


def test_no_damage_to_a_snapshots_description_ends_in_a_traceback(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video, out = make_video(tmp_path / "a.mkv", 60), tmp_path / "out"
    interrupt(video, model_files["fam"], out, after=5)
    model = load_model(model_files["fam"])
    snapshot = out / "unfinished" / "snapshot.safetensors"
    tensors, header = read_tensors(snapshot)
    identity, place = json.loads(header["identity"]), json.loads(header["place"])

    def load() -> None:
        SavedRun(out / "unfinished", identity).load(start(model), StepTable(3))

    load()
    damaged: list[tuple[dict, dict]] = [
        (tensors, {**header, "identity": "{"}),
        (tensors, {**header, "place": "[]"}),
        (tensors, {name: value for name, value in header.items() if name != "place"}),
        (tensors, {name: value for name, value in header.items() if name != "identity"}),
        ({name: one for name, one in tensors.items() if name != "window.frames"}, header),
        ({name: one[..., :1] for name, one in tensors.items()}, header),
        ({"window.frames": tensors["window.frames"]}, header),
    ]
    for missing in place:
        left = {name: value for name, value in place.items() if name != missing}
        damaged.append((tensors, {**header, "place": json.dumps(left)}))
    odd_position = {**place, "position": {**place["position"], "another": 1}}
    damaged.append((tensors, {**header, "place": json.dumps(odd_position)}))
    for bad_tensors, bad_header in damaged:
        save_tensors(snapshot, bad_tensors, bad_header)
        with pytest.raises(CheckpointError, match="unfinished"):
            load()


def test_records_without_a_snapshot_are_no_run(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video, out = make_video(tmp_path / "a.mkv", 60), tmp_path / "out"
    vigilia.run(video, model=model_files["fam"], out=tmp_path / "unbroken")
    interrupt(video, model_files["fam"], out, after=5)
    (out / "unfinished" / "snapshot.safetensors").unlink()
    vigilia.run(video, model=model_files["fam"], out=out, save_every_seconds=0)
    assert outputs(out) == outputs(tmp_path / "unbroken")


def test_what_the_user_keeps_in_the_folder_of_a_run_stays(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video, out = make_video(tmp_path / "a.mkv", 20), tmp_path / "out"
    (out / "unfinished").mkdir(parents=True)
    (out / "unfinished" / "notes.txt").write_text("mine")
    (out / "other.txt").write_text("mine too")
    assert main(["run", str(video), "--model", str(model_files["fam"]), "--out", str(out)]) == 0
    assert (out / "unfinished" / "notes.txt").read_text() == "mine"
    assert (out / "other.txt").read_text() == "mine too"


def test_a_full_disk_ends_the_run_with_one_line_and_a_later_start_goes_on(
    model_files: dict[str, Path],
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video, model, out = make_video(tmp_path / "a.mkv", 100), model_files["fam"], tmp_path / "out"
    vigilia.run(video, model=model, out=tmp_path / "unbroken")
    sync = os.fsync
    for room in (1, 4, 9, 14):
        left = room

        def full(descriptor: int) -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise OSError(28, "No space left on device")
            sync(descriptor)

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match=r"full|No space left") as caught:
            vigilia.run(video, model=model, out=out, save_every_seconds=0)
        monkeypatch.setattr(os, "fsync", sync)
        assert str(out) in str(caught.value)
        assert not list((out / "unfinished").glob(".*"))
    updates: list[RunUpdate] = []
    vigilia.run(video, model=model, out=out, on_update=updates.append)
    assert updates[0].resumed_steps > 3
    assert outputs(out) == outputs(tmp_path / "unbroken")


def test_a_snapshot_holds_what_the_stream_needs_and_nothing_that_grows(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    video, out = make_video(tmp_path / "a.mkv", 160), tmp_path / "out"
    snapshot = out / "unfinished" / "snapshot.safetensors"
    sizes = []
    for after in (4, 9, 18):
        interrupt(video, model_files["fam"], out, after=after)
        sizes.append(snapshot.stat().st_size)
    assert max(sizes) - min(sizes) < 200  # digits of the description
    write_atomically(out / "unfinished" / ".x.tmp", "left by a kill")
    vigilia.run(video, model=model_files["fam"], out=out)
    assert not (out / "unfinished").exists()


def test_records_behind_the_snapshot_are_computed_again(
    model_files: dict[str, Path], make_video: MakeVideo, tmp_path: Path
) -> None:
    # A kill between the records and the snapshot leaves more records than the snapshot counts.
    video, model, out = make_video(tmp_path / "a.mkv", 100), model_files["fam"], tmp_path / "out"
    vigilia.run(video, model=model, out=tmp_path / "unbroken")
    for after in (4, 7):
        interrupt(video, model, out, after=after)
        with (out / "unfinished" / "steps.bin").open("ab") as file:
            file.write(os.urandom(100))
    vigilia.run(video, model=model, out=out)
    assert outputs(out) == outputs(tmp_path / "unbroken")
