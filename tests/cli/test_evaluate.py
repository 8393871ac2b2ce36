"""`vigilia evaluate` with several recordings, several scorers, sleep and the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vigilia.cli import main
from vigilia.timeline import Scores, Segment, Timeline

Command = Callable[..., str]
STATES = ("wake", "NREM", "REM")


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that must succeed and returns what it printed."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert code == 0, said.err
        assert said.err == ""
        return said.out

    return run


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command that must fail with one line and exit code 2, and returns the line."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert code == 2
        assert said.out == ""
        assert said.err.count("\n") == 1, said.err
        assert "Traceback" not in said.err
        return said.err

    return run


def write_labels(path: Path, codes: np.ndarray, video: str = "") -> None:
    """One row a second, with the name of the recording if there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["start,end,label" + (",video" if video else "")]
    lines += [
        f"{second},{second + 1},{STATES[code]}" + (f",{video}" if video else "")
        for second, code in enumerate(codes)
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture
def barn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three nights of two minutes as `vigilia run` leaves them, scored by three people."""
    random = np.random.default_rng(0)
    table = ["video,start,end,label"]
    for night in ("n1", "n2", "n3"):
        truth = np.repeat(random.integers(0, 3, 12), 10)
        for person, errors in (("anna", 0.05), ("ben", 0.1), ("cleo", 0.2)):
            wrong = np.repeat(random.random(24) < errors, 5)
            codes = np.where(wrong, random.integers(0, 3, 120), truth)
            write_labels(tmp_path / person / f"{night}.csv", codes)
            if person == "anna":
                table += [
                    f"{night}.mp4,{second},{second + 1},{STATES[code]}"
                    for second, code in enumerate(codes)
                ]
        scores = random.dirichlet(np.ones(3), 120) + np.eye(3)[truth]
        scores /= scores.sum(axis=1, keepdims=True)
        said = scores.argmax(axis=1)
        timeline = Timeline(
            STATES,
            tuple(Segment(i, i + 1, STATES[code], 0.9) for i, code in enumerate(said.tolist())),
            scores=Scores(np.arange(120.0), np.arange(120.0) + 1, scores),
            source=f"{night}.mp4",
        )
        (tmp_path / "out" / night).mkdir(parents=True)
        for ending in ("json", "csv", "vtt"):
            getattr(timeline, f"to_{ending}")(tmp_path / "out" / night / f"timeline.{ending}")
    (tmp_path / "labels.csv").write_text("\n".join(table) + "\n")
    (tmp_path / "animals.csv").write_text("recording,animal\nn1.mp4,sow 7\nn2,sow 7\nn3,sow 9\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_folder_of_runs_is_compared_with_a_table_or_a_folder(
    barn: Path, command: Command
) -> None:
    by_table = json.loads(command("evaluate", "out", "labels.csv", "--json"))
    by_folder = json.loads(command("evaluate", "out", "--truth", "anna", "--json"))
    apart = [f"out/{night}/timeline.json" for night in ("n1", "n2", "n3")]
    one_by_one = json.loads(command("evaluate", *apart, "labels.csv", "--json"))
    assert by_table == by_folder == one_by_one
    assert [one["name"] for one in by_table["recordings"]] == ["n1.mp4", "n2.mp4", "n3.mp4"]
    assert by_table["seconds_scored"] == 360
    assert by_table["intervals"]["kappa"]["low"] < by_table["kappa"]
    assert by_table["ranking"]["mean_average_precision"] > 0.5
    assert by_table["calibration"]["cells"] == 360
    assert by_table["scorers"] is None
    alone = json.loads(command("evaluate", "out/n2", "anna/n2.csv", "--json"))
    assert alone["kappa"] == by_table["recordings"][1]["agreement"]["kappa"]
    assert alone["intervals"]["kappa"]["low"] is None


def test_several_scorers_make_a_consensus_and_a_ceiling(barn: Path, command: Command) -> None:
    scorers = ["--truth", "anna", "--truth", "B=ben", "--truth", "cleo"]
    found = json.loads(command("evaluate", "out", *scorers, "--epoch", 10, "--json"))
    assert found["scorers"]["scorers"] == ["anna", "B", "cleo"]
    assert found["scorer_seconds"] == 10
    low, high = found["scorers"]["human_ceiling_range"]
    assert low <= found["scorers"]["human_ceiling_kappa"] <= high
    assert len(found["scorers"]["model"]["kappa_with_each"]) == 3
    assert found["sleep"]["epoch_seconds"] == 10
    # A scorer who is no part of the truth does not change it.
    only = json.loads(command("evaluate", "out", "--truth", "anna", "--json"))
    beside = json.loads(command("evaluate", "out", "--truth", "anna", "--beside", "ben", "--json"))
    assert beside["kappa"] == only["kappa"] != found["kappa"]
    assert beside["scorers"]["scorers"] == ["anna", "ben"]


def test_options_reach_the_figures(barn: Path, command: Command) -> None:
    words = ["evaluate", "out", "labels.csv", "--json"]
    plain = json.loads(command(*words))
    coarse = json.loads(command(*words, "--step-seconds", 5))
    assert coarse["step_seconds"] == 5
    assert json.loads(command(*words, "--sleep", "none"))["sleep"] is None
    named = json.loads(command(*words, "--sleep", "wake=wake; sleep=NREM,REM"))
    assert named["sleep"]["kinds"] == {"wake": "wake", "NREM": "sleep", "REM": "sleep"}
    hidden = json.loads(command(*words, "--background", "wake"))
    assert hidden["background"] == ["wake"]
    assert hidden["kappa"] == plain["kappa"]
    assert hidden["segmental"] != plain["segmental"]
    by_animal = json.loads(command(*words, "--animals", "animals.csv"))
    assert by_animal["resampled"] == "2 animals"
    assert [one["animal"] for one in by_animal["recordings"]] == ["sow 7", "sow 7", "sow 9"]
    assert json.loads(command(*words)) == plain
    # Three recordings have ten different resamples: with many of them all seeds agree.
    few = [*words, "--resamples", 4]
    first, other = (json.loads(command(*few, "--seed", seed)) for seed in (0, 1))
    assert first["intervals"]["kappa"] != other["intervals"]["kappa"]
    none = json.loads(command(*words, "--resamples", 0))
    assert none["intervals"]["kappa"]["low"] is None


def test_the_words_name_every_section(barn: Path, command: Command) -> None:
    said = command("evaluate", "out", "--truth", "anna", "--beside", "ben")
    for words in ("kappa", "mean over recordings", "mAP", "bouts found", "WASO", "2 scorers"):
        assert words in said


def test_a_report_is_written(barn: Path, command: Command) -> None:
    command("evaluate", "out", "--truth", "anna", "--truth", "ben", "--report", "out.html")
    text = (barn / "out.html").read_text(encoding="utf-8")
    assert "Evaluation of n1.mp4 and 2 more" in text
    assert text.count("<img") >= 10
    command("evaluate", "out/n1", "anna/n1.csv", "--report", "one.html", "--plot", "one.png")
    assert (barn / "one.png").read_bytes().startswith(b"\x89PNG")
    command("evaluate", "out/n1", "--truth", "anna", "--truth", "ben", "--plot", "two.svg")
    assert (barn / "two.svg").read_bytes().startswith(b"<?xml")


def test_tables_and_subtitles_are_predictions_too(barn: Path, command: Command) -> None:
    expected = json.loads(command("evaluate", "out/n1", "anna/n1.csv", "--json"))
    for ending in ("csv", "vtt"):
        path = barn / "out" / "n1" / f"timeline.{ending}"
        found = json.loads(command("evaluate", path, "anna/n1.csv", "--json"))
        assert found["kappa"] == pytest.approx(expected["kappa"])
        assert Path(found["recordings"][0]["name"]).stem == "n1"
        assert found["ranking"] is None


def test_timelines_in_one_folder_count_once_whatever_their_formats(
    barn: Path, command: Command
) -> None:
    (barn / "flat").mkdir()
    for night in ("n1", "n2", "n3"):
        for ending in ("json", "csv", "vtt"):
            source = barn / "out" / night / f"timeline.{ending}"
            (barn / "flat" / f"{night}.{ending}").write_bytes(source.read_bytes())
    found = json.loads(command("evaluate", "flat", "labels.csv", "--json"))
    assert found == json.loads(command("evaluate", "out", "labels.csv", "--json"))


def test_mistakes_are_one_line_that_names_the_culprit(barn: Path, refused: Command) -> None:
    (barn / "empty").mkdir()
    (barn / "other.csv").write_text("video,start,end,label\nn9.mp4,0,1,wake\n")
    (barn / "late.csv").write_text("start,end,label\n119.9,120,wake\n")
    (barn / "strange.csv").write_text("start,end,label\n0,5,flying\n")
    (barn / "anonymous.csv").write_text("start,end,label\n0,5,wake\n")
    (barn / "rows.csv").write_text("recording,animal\nn1.mp4,\n")
    (barn / "few.csv").write_text("recording,animal\nn1.mp4,sow\n")
    (barn / "far" / "n1").mkdir(parents=True)
    source = barn / "out" / "n1" / "timeline.json"
    (barn / "far" / "n1" / "timeline.json").write_text(source.read_text())
    one = "out/n1"
    for words, culprit in [
        (["out"], "LABELS"),
        (["out", "nope.csv"], "nope.csv"),
        (["empty", "labels.csv"], "empty"),
        (["out", "empty"], "n1.mp4"),
        (["out", "other.csv"], "n1.mp4"),
        (["out", "anonymous.csv"], "anonymous.csv"),
        ([one, "late.csv"], "late.csv"),
        ([one, "strange.csv"], "'flying'"),
        (["out", "far", "labels.csv"], "n1.mp4"),
        (["out", "labels.csv", "--plot", "a.png"], "--plot"),
        (["out", "labels.csv", "--background", "fly"], "'fly'"),
        (["out", "labels.csv", "--sleep", "wake"], "must read like"),
        (["out", "labels.csv", "--epoch", "1.5"], "multiple"),
        (["out", "labels.csv", "--animals", "rows.csv"], "rows.csv, row 2"),
        (["out", "labels.csv", "--animals", "few.csv"], "n2.mp4"),
        (["out", "labels.csv", "--animals", "nope.csv"], "nope.csv"),
        (["out", "labels.csv", "--report", "nope/a.html"], "nope/a.html"),
        (["out", "--truth", "anna", "--truth", "anna"], "'anna'"),
        (["out", "--truth", "anna", "--beside", "anna"], "'anna'"),
        (["out", "--truth", "nobody"], "nobody"),
    ]:
        assert culprit in refused("evaluate", *words), words


@pytest.mark.parametrize("option", ["--epoch", "--resamples", "--seed"])
@pytest.mark.parametrize("value", ["-1", "nan", "x"])
def test_numbers_that_cannot_work_are_refused_by_name(
    option: str, value: str, barn: Path, refused: Command
) -> None:
    said = refused("evaluate", "out", "labels.csv", f"{option}={value}")
    assert option.removeprefix("--") in said
