"""Whose labels, of which recording, in which units: asked for alike in every command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main

import vigilia.training
from vigilia.cli import app, main
from vigilia.timeline import Annotations, Event, Segment, Timeline, write_annotations

READERS = ("labels show", "labels convert", "labels check", "run", "train", "evaluate")
OPTIONS = (
    "--label-fps",
    "--epoch-seconds",
    "--label-column",
    "--recording",
    "--subject",
    "--scorer",
)
Run = Callable[..., tuple[int, str, str]]


def options_of(words: str) -> dict[str, Any]:
    """The options of a command, by every name they have."""
    command: Any = typer.main.get_command(app)
    for word in words.split():
        command = command.commands[word]
    return {name: one for one in command.params for name in one.opts}


@pytest.mark.parametrize("command", READERS)
def test_every_command_that_reads_labels_asks_with_the_same_words(command: str) -> None:
    expected, found = options_of("labels show"), options_of(command)
    for name in OPTIONS:
        assert found[name].help.startswith(expected[name].help), name
        assert found[name].metavar == expected[name].metavar, name


@pytest.fixture
def desk(tmp_path: Path, make_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A video, its timeline, and files that do not say by themselves what is meant."""
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "pen.mkv", 40)
    two = [("sow", "Kim", "rest"), ("sow", "Lee", "walk"), ("boar", "Kim", "eat")]
    study = Annotations(
        (
            *(Event(0, 2, label, who, scorer=by) for who, by, label in two),
            *(Event(2, 4, "rest", "sow", scorer=by) for by in ("Kim", "Lee")),
        ),
        media=("pen.mkv",),
        recording="pen.mkv",
    )
    write_annotations(study, "study.csv")
    Path("epochs.txt").write_text("rest\nwalk\n")
    Path("frames.csv").write_text("frame,form,phase\n0,rest,x\n1,walk,x\n2,walk,x\n3,walk,x\n")
    segments = (Segment(0, 2, "rest", 0.9), Segment(2, 4, "walk", 0.9))
    Timeline(("rest", "walk", "eat"), segments, source="pen.mkv").to_json("t.json")
    return tmp_path


@pytest.fixture
def run(desk: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def of(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return of


def commands(file: str, model: Path) -> list[list[object]]:
    """Every command that takes one track out of a file."""
    return [
        ["evaluate", "t.json", file, "--json"],
        ["run", "pen.mkv", "--model", model, "--truth", file, "--out", "out", "--json"],
        ["train", "pen.mkv", file, "--out", "m.safetensors"],
    ]


@pytest.mark.parametrize(
    ("file", "words", "says"),
    [
        ("study.csv", [], "holds 2 subjects in pen.mkv (boar, sow); choose one with --subject"),
        ("study.csv", ["--subject", "sow"], "holds 2 scorers in pen.mkv (Kim, Lee); choose one"),
        ("study.csv", ["--subject", "hen"], "has no subject 'hen' in pen.mkv; it names boar, sow"),
        ("study.csv", ["--scorer", "Max"], "has no scorer 'Max' in pen.mkv; it names Kim, Lee"),
        ("study.csv", ["--recording", "barn"], "has no labels for 'barn'; it names pen.mkv"),
        ("epochs.txt", [], "holds one label a frame and no times; give the fps (--label-fps)"),
        ("epochs.txt", ["--epoch-seconds", "0"], "epoch_seconds must be a positive number"),
        ("frames.csv", ["--label-fps", "1"], "row 2: 'x' is none of the classes"),
        ("frames.csv", ["--label-column", "form"], "counts frames and has no times; give the fps"),
    ],
)
def test_what_is_missing_is_the_same_line_in_every_command(
    file: str, words: list[str], says: str, run: Run, model_files: dict[str, Path], desk: Path
) -> None:
    lines = []
    for command in commands(file, model_files["fam"]):
        if "'x'" in says and command[0] == "train":
            continue  # which learns the classes from the labels
        code, out, err = run(*command, *words)
        assert (code, out) == (2, "")
        lines.append(err)
    assert len(set(lines)) == 1
    assert lines[0].count("\n") == 1
    assert says in lines[0]
    assert not list(desk.glob("out*")), "nothing was begun"


@pytest.mark.parametrize(
    ("file", "words", "expected"),
    [
        ("study.csv", ["--subject", "sow", "--scorer", "Lee"], ["walk", "rest"]),
        ("study.csv", ["--subject", "boar", "--recording", "pen"], ["eat"]),
        ("epochs.txt", ["--epoch-seconds", "2"], ["rest", "walk"]),
        ("frames.csv", ["--label-fps", "1", "--label-column", "form"], ["rest", "walk"]),
    ],
)
def test_what_is_asked_for_arrives_in_every_command(
    file: str,
    words: list[str],
    expected: list[str],
    run: Run,
    model_files: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    came: list[Any] = []
    monkeypatch.setattr(
        vigilia.training,
        "train_recordings",
        lambda annotated, **_: came.extend(annotated) or [{"loss": 0.0}],
    )
    reports = []
    for command in commands(file, model_files["fam"]):
        code, out, err = run(*command, *words)
        assert code == 0, err
        reports.append(out)
    (pair,) = came
    assert [one.label for one in pair.labels.intervals] == expected
    evaluated, ran = json.loads(reports[0]), json.loads(reports[1])
    seconds = sum(one.end_seconds - one.start_seconds for one in pair.labels.intervals)
    assert evaluated["seconds_scored"] == ran["agreement"]["seconds_scored"] == seconds


def test_several_scorers_of_one_file_are_reached(run: Run) -> None:
    def evaluate(*words: str) -> dict[str, Any]:
        code, out, err = run("evaluate", "t.json", *words, "--subject", "sow", "--json")
        assert code == 0, err
        return json.loads(out)

    both = evaluate("study.csv", "--scorer", "Kim", "--scorer", "Lee")
    assert both["scorers"]["scorers"] == ["Kim", "Lee"]
    named = evaluate("--truth", "Kim=study.csv", "--truth", "Lee=study.csv")
    assert named == both
    beside = evaluate("--truth", "Kim=study.csv", "--beside", "Lee=study.csv")
    assert beside["scorers"]["scorers"] == ["Kim", "Lee"]
    assert beside["accuracy"] == 0.5
    assert evaluate("study.csv", "--scorer", "Lee")["accuracy"] == 0
    for words, says in [
        (["study.csv", "--scorer", "study.csv"], "is a file"),
        (["study.csv", "--scorer", "Kim", "--scorer", "Kim"], "given twice"),
        (["--truth", "a=study.csv", "--truth", "b=study.csv"], "holds 2 scorers"),
    ]:
        code, _, err = run("evaluate", "t.json", *words, "--subject", "sow")
        assert code == 2
        assert says in err


def test_options_about_labels_need_labels(run: Run, model_files: dict[str, Path]) -> None:
    code, _, err = run("run", "pen.mkv", "--model", model_files["fam"], "--subject", "sow")
    assert (code, err.count("\n")) == (2, 1)
    assert "--truth" in err


def test_a_recording_is_chosen_for_one_video_only(run: Run, desk: Path) -> None:
    words = ["train", "pen.mkv", "b.mkv", "study.csv", "--out", "m", "--recording", "pen"]
    (desk / "b.mkv").write_bytes((desk / "pen.mkv").read_bytes())
    code, _, err = run(*words)
    assert code == 2
    assert "chosen for 2 videos" in err


def test_two_observations_of_one_video_are_told_apart_by_their_scorer(run: Run) -> None:
    assert run("labels", "convert", "study.csv", "p.boris", "--subject", "sow")[0] == 0
    words = ["evaluate", "t.json", "p.boris", "--json"]
    code, _, err = run(*words)
    assert code == 2
    assert "could be" in err
    assert "--recording" in err
    by_scorer = run(*words, "--scorer", "Lee")
    assert by_scorer[0] == 0
    assert by_scorer == run(*words, "--recording", "pen.mkv by Lee")
