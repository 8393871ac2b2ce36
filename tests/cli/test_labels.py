"""`vigilia labels show | convert | check`, as people type it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vigilia.cli import main
from vigilia.timeline import (
    Annotations,
    Event,
    LabelOptions,
    Segment,
    Timeline,
    read_annotations,
    read_labels,
    write_annotations,
)
from vigilia.training.sources import read_annotated

Said = tuple[int, str, str]
Command = Callable[..., Said]

TWO = (
    Annotations(
        (Event(0, 2, "lie", "sow"), Event(1, 4, "eat", "sow"), Event(3, 3, "cough", "boar")),
        recording="monday",
        media=("a.mkv",),
    ),
    Annotations((Event(0, 5, "lie", "sow"),), recording="tuesday", media=("b.mkv",)),
)


@pytest.fixture
def labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `vigilia labels` in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        code = main(["labels", *map(str, arguments)])
        said = capsys.readouterr()
        if code == 2:
            assert said.err.startswith("error: ")
            assert said.err.count("\n") == 1, said.err
        return code, said.out, said.err

    return run


def test_show_sums_up_every_subject(labels: Command) -> None:
    write_annotations(TWO, "p.boris")
    code, out, _ = labels("show", "p.boris")
    assert code == 0
    assert "p.boris: boris, 2 recordings" in out
    assert "monday, subject sow" in out
    assert "0:00:04 labelled, 0 gaps of 0:00:00, 1 overlap" in out
    code, out, _ = labels("show", "p.boris", "--json")
    content = json.loads(out)
    tracks = {(t["recording"], t["subject"]): t for t in content["tracks"]}
    rows = {row["label"]: row for row in tracks["monday", "sow"]["classes"]}
    assert rows["eat"] == {"label": "eat", "bouts": 1, "seconds": 3.0, "share": 0.75, "points": 0}
    (boar,) = (r for r in tracks["monday", "boar"]["classes"] if r["label"] == "cough")
    assert (boar["bouts"], boar["points"]) == (0, 1)
    code, out, _ = labels("show", "p.boris", "--recording", "b.mkv", "--json")
    assert {track["recording"] for track in json.loads(out)["tracks"]} == {"tuesday"}


def test_a_timeline_goes_to_the_tool_where_people_check_it(
    labels: Command, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    make_video(tmp_path / "pen.mkv", 40)
    segments = (Segment(0, 2, "lie", 0.5), Segment(2, 3, None, 0.0), Segment(3, 5, "eat", 0.75))
    Timeline(("lie", "eat"), segments, source="pen.mkv").to_json("timeline.json")
    code, out, err = labels("convert", "timeline.json", "pen.boris", "--video", "pen.mkv")
    assert (code, err) == (
        0,
        "not kept, because the format has no place for it: which time nobody observed\n",
    )
    assert "timeline.json (timeline) -> pen.boris (boris): 1 recording, 2 events" in out
    (observation,) = json.loads(Path("pen.boris").read_text())["observations"].values()
    assert observation["type"] == "MEDIA"
    assert observation["media_info"]["length"]["pen.mkv"] == pytest.approx(5.0, abs=0.2)
    assert observation["media_info"]["fps"]["pen.mkv"] == pytest.approx(8.0)
    for name in ("pen.eaf", "pen.edf", "pen.vtt", "pen.csv"):
        assert labels("convert", "pen.boris", name)[0] == 0
        assert [i.label for i in read_labels(name, video="pen.mkv").intervals] == ["lie", "eat"]


def test_recordings_are_chosen_or_spread_over_a_folder(labels: Command) -> None:
    write_annotations(TWO, "p.boris")
    code, _, err = labels("convert", "p.boris", "one.eaf")
    assert code == 2
    assert "2 recordings" in err
    assert "--recording" in err
    assert labels("convert", "p.boris", "one.eaf", "--recording", "tuesday")[0] == 0
    code, out, _ = labels("convert", "p.boris", "out/", "--to", "csv", "--subject", "sow")
    assert code == 0
    assert "2 files" in out
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.csv", "b.csv"]
    assert read_annotations("out/b.csv")[0].events == TWO[1].events
    assert labels("convert", "p.boris", "out/")[0] == 2
    code, _, err = labels("convert", "p.boris", "x.csv", "--subject", "dog")
    assert code == 2
    assert "no subject 'dog'" in err


BROKEN = {
    "behaviors_conf": {"0": {"code": "lie", "type": "State event"}},
    "observations": {
        "good": {"events": [[0, "", "lie", "", ""], [2, "", "lie", "", ""]]},
        "strange": {"events": [[0, "", "fly", "", ""]]},
        "open": {"events": [[1, "", "lie", "", ""]]},
        "damaged": {},
        "fine": {"events": [["0:00:01,5", "", "lie", "", ""], [3, "", "lie", "", ""]]},
    },
}
WHY = (
    "p.boris, row 1 of 'strange': 'fly' is not in the ethogram",
    "the observation 'damaged' is damaged (KeyError: 'events')",
    "row 1 ('open'): 'lie' starts at 1.000 s and has no end",
)


@pytest.mark.parametrize("out", ["all.csv", "folder/"])
def test_a_broken_observation_leaves_the_others_to_be_converted(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("p.boris").write_text(json.dumps(BROKEN))
    assert main(["labels", "convert", "p.boris", out, "--to", "csv"]) == 2
    said = capsys.readouterr()
    assert "2 recordings, 2 events" in said.out
    lines = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 3
    for why in WHY:
        assert sum(why in line for line in lines) == 1, why
    files = [Path(out)] if out == "all.csv" else [Path(out, "good.csv"), Path(out, "fine.csv")]
    found = [one.events for file in files for one in read_annotations(file)]
    assert found == [(Event(0, 2, "lie"),), (Event(1.5, 3, "lie"),)]
    # The others can be looked at and used, too.
    for words, code in ((["show"], 2), (["check"], 2), (["check", "--recording", "good"], 0)):
        assert main(["labels", words[0], "p.boris", *words[1:]]) == code
        assert capsys.readouterr().err.count("error: ") == (2 if code else 0)
    assert read_labels("p.boris", video="fine").intervals[0].start_seconds == 1.5


def test_what_one_recording_has_no_place_for_leaves_the_others(
    labels: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twice = Annotations((Event(0, 2, "lie"), Event(1, 3, "lie")), recording="twice")
    write_annotations([twice, TWO[1]], "p.csv")
    code, out, err = labels("convert", "p.csv", "e.csv", "--to", "boris-tabular")
    assert code == 2
    assert "'lie' from 1.000 s while it still goes on" in err
    assert "1 recording, 1 event" in out
    assert [one.events for one in read_annotations("e.csv")] == [TWO[1].events]


def test_a_subject_or_scorer_is_shown_alone(labels: Command) -> None:
    write_annotations(TWO, "p.boris")
    code, out, err = labels("show", "p.boris", "--subject", "boar", "--json")
    assert code == 0
    assert [(t["recording"], t["subject"]) for t in json.loads(out)["tracks"]] == [
        ("monday", "boar")
    ]
    assert err == "note: 1 recording without boar left out\n"
    code, out, _ = labels("check", "p.boris", "--subject", "sow", "--recording", "tuesday")
    assert (code, out) == (0, "p.boris (boris): no problem\n")


def test_a_project_without_observations_is_refused(labels: Command) -> None:
    Path("p.boris").write_text('{"behaviors_conf": {}, "observations": {}}')
    code, _, err = labels("convert", "p.boris", "p.csv")
    assert code == 2
    assert "holds no recording" in err
    assert not Path("p.csv").exists()


def test_labels_are_renamed_dropped_and_merged_on_the_way(labels: Command) -> None:
    text = "start,end,label\n0,2,W\n2,4,N\n3,5,N\n5,6,M\n6,7,W\n"
    Path("n.csv").write_text(text)
    names = ["--rename", "W=wake", "--rename", "M=unobserved"]
    code, *_ = labels("convert", "n.csv", "m.csv", "--merge", *names)
    assert code == 0
    assert Path("m.csv").read_text() == (
        "start_seconds,end_seconds,label\n0,2,wake\n2,5,N\n5,6,unobserved\n6,7,wake\n"
    )
    code, _, err = labels("convert", "n.csv", "m.csv", "--rename", "X=Y")
    assert code == 2
    assert "no label 'X'; there are W, N, M" in err
    code, _, err = labels("convert", "n.csv", "n.csv")
    assert code == 2
    assert Path("n.csv").read_text() == text


def test_what_a_format_cannot_hold_is_one_line(labels: Command) -> None:
    write_annotations(TWO, "p.boris")
    code, _, err = labels("convert", "p.boris", "p.vtt", "--recording", "monday")
    assert code == 0
    assert err == "not kept, because the format has no place for it: that a point has no length\n"


def test_check_says_by_its_exit_code_whether_all_is_well(
    labels: Command, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    make_video(tmp_path / "a.mkv", 40)
    Path("good.csv").write_text("start,end,label\n0,2,lie\n2,5,eat\n")
    code, out, _ = labels("check", "good.csv", "--video", "a.mkv", "--classes", "lie,eat")
    assert (code, out) == (0, "good.csv (csv): no problem\n")
    Path("bad.csv").write_text("start,end,label\n0,2,lie\n1,3,eat\n4,3,eat\n6,9,run\n")
    code, out, _ = labels("check", "bad.csv", "--video", "a.mkv", "--classes", "lie,eat")
    assert code == 1
    for line in (
        "overlap: row 2 and 3: 'eat' from 1.000 to 2.000 s while 'lie' goes on",
        "gap: row 5: nothing from 3.000 to 6.000 s (3.000 s)",
        "reversed: row 4: 'eat' from 4.000 s ends before it starts, at 3.000 s",
        "unknown class: row 5: 'run' is none of the classes",
        "beyond: row 5: 'run' from 6.000 to 9.000 s; the video ends at 5",
        "bad.csv (csv): 5 problems",
    ):
        assert line in out
    code, out, _ = labels("check", "bad.csv", "--json", "--multi-label")
    assert code == 1
    assert [one["kind"] for one in json.loads(out)["problems"]] == ["reversed"]
    assert labels("check", "no.csv")[0] == 2
    Path("half.eaf").write_text('<?xml version="1.0"?>\n<ANNOTATION_DOCUMENT>\n<HEA')
    code, _, err = labels("check", "half.eaf")
    assert code == 2
    assert "half.eaf, row 3: not valid XML" in err


def test_endless_bouts_are_null_in_json_and_old_letters_a_note(labels: Command) -> None:
    Path("a.csv").write_bytes("start,end,label\n0,,Füße\n".encode("cp1252"))
    code, out, err = labels("check", "a.csv", "--json")
    assert code == 1
    assert json.loads(out)["problems"][0]["end_seconds"] is None
    assert err.startswith("note: a.csv is not UTF-8")
    assert err.count("\n") == 1


def test_help_shows_examples(labels: Command) -> None:
    for command in ("show", "convert", "check"):
        code, out, _ = labels(command, "--help")
        assert code == 0
        assert f"vigilia labels {command}" in out


def test_training_finds_the_label_file_of_each_video_whatever_its_format(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    videos = [make_video(tmp_path / "videos" / f"{name}.mkv", 8) for name in "abc"]
    folder = tmp_path / "labels"
    folder.mkdir()
    write_annotations(Annotations((Event(0, 1, "lie"),)), folder / "a.eaf")
    write_annotations(Annotations((Event(0, 1, "lie"),)), folder / "b.csv")
    write_annotations(
        Annotations((Event(0, 1, "lie"),)), folder / "c_labels.csv", format="deepethogram", fps=8
    )
    found = read_annotated(videos, folder, LabelOptions(fps=8))
    assert [one.labels.classes for one in found] == [("lie",), ("lie",), ("lie",)]
    assert found[2].labels.path.name == "c_labels.csv"
    write_annotations(TWO[1:], tmp_path / "p.boris")
    (pair,) = read_annotated(videos[1:2], tmp_path / "p.boris")
    assert pair.labels.classes == ("lie",)
