"""Excel, FERAL, Label Studio, YASA: what is written comes back, and is what those tools read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vigilia.errors import LabelError, MissingExtraError
from vigilia.timeline import FORMATS, Annotations, Event, read_annotations, write_annotations
from vigilia.timeline.formats import detect, format_of_name

SETTINGS = settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FPS = 25.0
LABELS = ("rest", "walk", "=1+1", "0")


@st.composite
def tracks(draw: st.DrawFn) -> Annotations:
    """One label at a time, on whole frames, from the first frame to the last."""
    lengths = draw(st.lists(st.integers(1, 500), min_size=1, max_size=12))
    edges = [sum(lengths[:n]) / FPS for n in range(len(lengths) + 1)]
    labels = [draw(st.sampled_from(LABELS)) for _ in lengths]
    events: list[Event] = []
    for start, end, label in zip(edges[:-1], edges[1:], labels, strict=True):
        if events and events[-1].label == label:
            events[-1] = replace(events[-1], end_seconds=end)
        else:
            events.append(Event(start, end, label))
    return Annotations(
        tuple(events), recording="pen.mp4", media=("pen.mp4",), duration_seconds=edges[-1], fps=FPS
    )


def put(folder: Path, content: Any, name: str = "x.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("name", ["xlsx", "feral", "label-studio"])
@given(one=tracks())
@SETTINGS
def test_a_track_on_whole_frames_comes_back_as_it_was(
    name: str, one: Annotations, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    assert write_annotations(one, path, format=name) == ()
    assert detect(path) == name
    (back,) = read_annotations(path, fps=FPS)
    assert back.events == one.events
    assert back.media == one.media


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a.xlsx", "xlsx"),
        ("a.feral.json", "feral"),
        ("a.labelstudio.json", "label-studio"),
        ("a.yasa.json", "yasa"),
        ("a.yasa.csv", "yasa-table"),
        ("a.nwb", "nwb"),
        ("a.json", "activitynet"),
        ("a.csv", "csv"),
    ],
)
def test_the_longest_ending_says_the_format(file: str, name: str) -> None:
    assert format_of_name(file) == name


# Excel


def test_a_spreadsheet_keeps_all_that_csv_keeps_and_text_stays_text(tmp_path: Path) -> None:
    events = (
        Event(0.1, 2.25, "=HYPERLINK(1)", "sow", ("a", "b"), "Kim", "+1\x07", 0.3),
        Event(1, 1, "007", "piglet"),
    )
    several = [Annotations(events, recording="a.mp4"), Annotations(events[1:], recording="b.mp4")]
    path = tmp_path / "x.xlsx"
    assert write_annotations(several, path) == ()
    first, second = read_annotations(path)
    assert first.events == (replace(events[0], comment="+1"), events[1])
    assert (first.title, second.title) == ("a.mp4", "b.mp4")
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["bouts", "summary"]
    cells = {cell.value: cell.data_type for row in book["bouts"].iter_rows() for cell in row}
    assert (cells["=HYPERLINK(1)"], cells["007"], cells[0.1]) == ("s", "s", "n")
    names, row, *_ = book["summary"].iter_rows(values_only=True)
    assert dict(zip(names, row, strict=True)) == {
        "recording": "a.mp4",
        "subject": "piglet",
        "scorer": None,
        "label": "007",
        "bouts": 0,
        "seconds": 0,
        "share": 0,
        "mean_seconds": None,
        "points": 1,
    }


def test_a_spreadsheet_without_openpyxl_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    one = Annotations((Event(0, 1, "a"),))
    with pytest.raises(MissingExtraError, match=r"pip install .*\[formats"):
        write_annotations(one, tmp_path / "x.xlsx")
    assert not (tmp_path / "x.xlsx").exists()


# FERAL


def test_feral_has_a_class_a_frame_and_class_0_is_everything_else(tmp_path: Path) -> None:
    one = Annotations(
        (Event(0.5, 1, "rest"), Event(1, 1.5, "walk")), media=("a.mp4",), duration_seconds=2, fps=4
    )
    path = tmp_path / "x.feral.json"
    write_annotations(one, path)
    assert json.loads(path.read_text()) == {
        "is_multilabel": False,
        "class_names": {"0": "other", "1": "rest", "2": "walk"},
        "labels": {"a.mp4": [0, 0, 1, 1, 2, 2, 0, 0]},
        "splits": {"train": [], "val": [], "test": [], "inference": ["a.mp4"]},
    }
    (back,) = read_annotations(path, fps=4)
    assert [(e.start_seconds, e.end_seconds, e.label) for e in back.events] == [
        (0, 0.5, "other"),
        (0.5, 1, "rest"),
        (1, 1.5, "walk"),
        (1.5, 2, "other"),
    ]
    assert (back.observed, back.classes) == (((0, 2),), ("other", "rest", "walk"))


def test_feral_has_a_row_a_frame_where_behaviours_go_on_at_once(tmp_path: Path) -> None:
    one = Annotations(
        (Event(0, 1, "rest"), Event(0.5, 1, "chew")), media=("a.mp4",), duration_seconds=1.5, fps=2
    )
    other = replace(one, events=(Event(0, 1.5, "rest"),), media=("b.mp4",))
    path = tmp_path / "x.feral.json"
    write_annotations([one, other], path)
    content = json.loads(path.read_text())
    assert content["is_multilabel"] is True
    assert content["labels"] == {
        "a.mp4": [[0, 1, 0], [0, 1, 1], [1, 0, 0]],
        "b.mp4": [[0, 1, 0]] * 3,
    }
    first, _ = read_annotations(path, fps=2)
    assert first.events == (Event(0, 1, "rest"), Event(0.5, 1, "chew"), Event(1, 1.5, "other"))


def test_bouts_that_meet_within_a_frame_are_not_at_once(tmp_path: Path) -> None:
    one = Annotations((Event(0, 0.5, "a"), Event(0.5, 2, "b")), fps=1, duration_seconds=2)
    write_annotations(one, tmp_path / "x.feral.json")
    assert json.loads((tmp_path / "x.feral.json").read_text())["is_multilabel"] is False


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"class_names": {"0": "a", "2": "b"}}, "not numbered 0, 1, 2"),
        ({"class_names": ["a"]}, "no names by number"),
        ({"labels": []}, "no table of videos"),
        ({"labels": {"v": [0, 5]}}, "row 2 of 'v': 5 is not a class"),
        ({"labels": {"v": [True]}}, "row 1 of 'v': True is not a class"),
        ({"labels": {"v": []}}, "'v' has no list"),
        ({"is_multilabel": True}, "row 1 of 'v': 0 is not 2 zeros and ones"),
    ],
)
def test_a_feral_file_that_is_wrong_says_where(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    content = {"class_names": {"0": "other", "1": "a"}, "labels": {"v": [0, 1]}}
    with pytest.raises(LabelError, match=says):
        read_annotations(put(tmp_path, content | change), fps=25)


def test_feral_needs_the_frame_rate(tmp_path: Path) -> None:
    path = put(tmp_path, {"class_names": {"0": "other"}, "labels": {"v": [0]}})
    with pytest.raises(LabelError, match="give the fps"):
        read_annotations(path)
    with pytest.raises(LabelError, match="give the fps"):
        write_annotations(Annotations((Event(0, 1, "a"),)), path, format="feral")


# Label Studio

REGION = {"type": "timelinelabels", "from_name": "timelineLabels", "to_name": "video"}


def region(first: int, last: int, *labels: str, **more: Any) -> dict[str, Any]:
    ranges = [{"start": first, "end": last}]
    return REGION | {"value": {"ranges": ranges, "timelinelabels": list(labels)}} | more


def test_label_studio_counts_frames_from_1_and_the_last_one_belongs_to_the_range(
    tmp_path: Path,
) -> None:
    task = {
        "id": 9,
        "data": {"video": "/data/upload/1/ab12-pen.mp4?token=x"},
        "annotations": [
            {"completed_by": 3, "result": [region(1, 25, "rest"), region(26, 50, "walk", "eat")]},
            {"completed_by": {"email": "kim@x.org"}, "result": [region(1, 1, "rest")]},
            {"was_cancelled": True, "result": [region(1, 2, "no")]},
        ],
        "predictions": [{"result": [region(1, 50, "model")]}],
    }
    (one,) = read_annotations(put(tmp_path, [task]), fps=25)
    assert one.media == ("ab12-pen.mp4",)
    assert one.events == (
        Event(0, 0.04, "rest", scorer="kim@x.org"),
        Event(0, 1, "rest", scorer="3"),
        Event(1, 2, "eat", scorer="3"),
        Event(1, 2, "walk", scorer="3"),
    )


def test_label_studios_short_export_and_its_predictions_are_read(tmp_path: Path) -> None:
    short = {"id": 1, "video": "a.mp4", "fps": 10, "videoLabels": [region(1, 20, "x")["value"]]}
    (one,) = read_annotations(put(tmp_path, [short]))
    assert (one.events, one.media) == ((Event(0, 2, "x"),), ("a.mp4",))
    task = {
        "data": {"video": "a.mp4"},
        "predictions": [
            {"result": [region(1, 5, "old", score=0.5)]},
            {"result": [region(1, 10, "new", score=0.25)]},
        ],
    }
    (one,) = read_annotations(put(tmp_path, task), fps=10)
    assert one.events == (Event(0, 1, "new", confidence=0.25),)


def test_a_models_result_goes_to_label_studio_as_a_prediction_with_scores(tmp_path: Path) -> None:
    events = (Event(0, 1, "rest", confidence=0.5, comment="hm"), Event(1, 3, "walk", confidence=1))
    one = Annotations(events, media=("a.mp4",), recording="a.mp4", fps=10)
    assert write_annotations(one, tmp_path / "x.labelstudio.json") == ()
    (task,) = json.loads((tmp_path / "x.labelstudio.json").read_text())
    assert task["data"] == {"video": "a.mp4", "fps": 10}
    (prediction,) = task["predictions"]
    assert prediction["score"] == 0.75
    assert prediction["result"][1] == {
        "id": "1-2",
        "from_name": "timelineLabels",
        "to_name": "video",
        "type": "timelinelabels",
        "value": {"ranges": [{"start": 11, "end": 30}], "timelinelabels": ["walk"]},
        "score": 1,
    }
    (back,) = read_annotations(tmp_path / "x.labelstudio.json")
    assert back.events == events


@pytest.mark.parametrize(
    ("regions", "says"),
    [
        ([region(0, 5, "a")], "task 1, row 1: frames 0 to 5"),
        ([region(1, 5, "a"), region(9, 5, "a")], "task 1, row 2: frames 9 to 5"),
        ([REGION | {"value": {"timelinelabels": ["a"]}}], "no label with ranges"),
        ([REGION | {"value": []}], "no label with ranges"),
    ],
)
def test_a_region_that_is_wrong_is_named(
    regions: Sequence[dict[str, Any]], says: str, tmp_path: Path
) -> None:
    task = {"data": {"video": "a.mp4", "fps": 5}, "annotations": [{"result": regions}]}
    with pytest.raises(LabelError, match=says):
        read_annotations(put(tmp_path, [task]))


def test_label_studio_needs_the_frame_rate_or_what_the_player_counted(tmp_path: Path) -> None:
    counted = region(1, 20, "a")
    task = {"data": {"video": "a.mp4"}, "annotations": [{"result": [counted]}]}
    with pytest.raises(LabelError, match=r"task 1 counts frames .*--label-fps"):
        read_annotations(put(tmp_path, [task]))
    counted["value"] |= {"framesCount": 200, "duration": 20.0}
    (one,) = read_annotations(put(tmp_path, [task]))
    assert one.events == (Event(0, 2, "a"),)


# YASA

NIGHT = Annotations(
    (
        Event(0, 60, "wake", scorer="Kim"),
        Event(60, 150, "Sleep stage NREM", scorer="Kim"),
        Event(180, 240, "R", scorer="Kim"),
    ),
    recording="night",
    observed=((0, 150), (180, 240)),
    duration_seconds=240,
    started=datetime(2026, 1, 2, 3, 4, 5),
)


def test_a_hypnogram_is_what_yasas_own_json_holds(tmp_path: Path) -> None:
    path = tmp_path / "night.yasa.json"
    assert write_annotations(NIGHT, path, epoch_seconds=30) == ()
    # The keys and words of YASA 0.8.1.
    assert json.loads(path.read_text()) == {
        "values": ["WAKE", "WAKE", "NREM", "NREM", "NREM", "UNS", "REM", "REM"],
        "n_stages": 3,
        "freq": "30s",
        "start": "2026-01-02T03:04:05",
        "scorer": "Kim",
        "proba": None,
    }
    (back,) = read_annotations(path)
    assert (back.observed, back.started) == (NIGHT.observed, NIGHT.started)
    assert [(e.start_seconds, e.end_seconds, e.label, e.scorer) for e in back.events] == [
        (0, 60, "WAKE", "Kim"),
        (60, 150, "NREM", "Kim"),
        (180, 240, "REM", "Kim"),
    ]


@pytest.mark.parametrize("zone", [None, timezone(timedelta(hours=1))])
def test_yasa_opens_the_hypnogram(zone: timezone | None, tmp_path: Path) -> None:
    yasa = pytest.importorskip("yasa", reason="YASA is not installed")
    path = tmp_path / "night.yasa.json"
    assert NIGHT.started is not None
    started = NIGHT.started.replace(tzinfo=zone)
    write_annotations(replace(NIGHT, started=started), path, epoch_seconds=30)
    hypnogram = yasa.Hypnogram.from_json(path)
    words = ["WAKE", "WAKE", "NREM", "NREM", "NREM", "UNS", "REM", "REM"]
    assert hypnogram.hypno.tolist() == words
    assert (hypnogram.n_stages, hypnogram.freq, hypnogram.scorer) == (3, "30s", "Kim")
    assert hypnogram.start == started


def test_a_hypnogram_is_a_table_that_pandas_reads(tmp_path: Path) -> None:
    path = tmp_path / "night.yasa.csv"
    assert write_annotations(NIGHT, path, epoch_seconds=60) == (
        "scorers",
        "the date",
        "times that lie between two frames or epochs",
    )
    assert path.read_text() == "Epoch,Stage\n0,WAKE\n1,NREM\n2,NREM\n3,REM\n"
    assert detect(path) == "yasa-table"
    (back,) = read_annotations(path, epoch_seconds=60)
    assert back.events[1] == Event(60, 180, "NREM")
    with pytest.raises(LabelError, match="--epoch-seconds"):
        read_annotations(path)
    put(tmp_path, "Epoch,Stage\n0,WAKE\n2,REM\n", "hole.csv")
    with pytest.raises(LabelError, match="row 3: epoch '2' where 1 should be"):
        read_annotations(tmp_path / "hole.csv", epoch_seconds=30)


@pytest.mark.parametrize(
    ("labels", "stages"),
    [
        (("W", "N1", "N2", "N3", "R"), 5),
        (("wake", "nrem", "rem"), 3),
        (("wake", "light", "deep", "rem"), 4),
        (("wake", "sleep"), 2),
        (("wake", "rem"), 5),
        (("wake", "artifact"), 5),
    ],
)
def test_the_stages_choose_yasas_vocabulary(
    labels: Sequence[str], stages: int, tmp_path: Path
) -> None:
    events = tuple(Event(30 * n, 30 * n + 30, label) for n, label in enumerate(labels))
    write_annotations(Annotations(events), tmp_path / "x.yasa.json", epoch_seconds=30)
    assert json.loads((tmp_path / "x.yasa.json").read_text())["n_stages"] == stages


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("wake", "eating"), "'eating' is no stage of sleep that YASA knows"),
        (("N2", "nrem"), r"mixes stages that YASA keeps apart \(N2, NREM\)"),
    ],
)
def test_what_is_no_sleep_is_refused(labels: Sequence[str], says: str, tmp_path: Path) -> None:
    events = tuple(Event(30 * n, 30 * n + 30, label) for n, label in enumerate(labels))
    with pytest.raises(LabelError, match=says):
        write_annotations(Annotations(events), tmp_path / "x.yasa.json", epoch_seconds=30)
    with pytest.raises(LabelError, match="--epoch-seconds"):
        write_annotations(NIGHT, tmp_path / "x.yasa.json")


@pytest.mark.parametrize(
    ("freq", "seconds"), [("30s", 30), ("1min", 60), ("500ms", 0.5), ("min", 60), ("2.5s", 2.5)]
)
def test_epochs_are_as_long_as_pandas_says(freq: str, seconds: float, tmp_path: Path) -> None:
    content = {"values": ["W", "UNS", "R"], "n_stages": 5, "freq": freq}
    (one,) = read_annotations(put(tmp_path, content))
    assert one.events == (Event(0, seconds, "W"), Event(2 * seconds, 3 * seconds, "R"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"freq": "often"}, "freq is 'often'"),
        ({"freq": "."}, "freq is '.'"),
        ({"values": [0, 1]}, "values are no list of stages"),
        ({"start": "yesterday"}, "start is 'yesterday'"),
    ],
)
def test_a_hypnogram_that_is_wrong_says_so(
    change: dict[str, Any], says: str, tmp_path: Path
) -> None:
    content = {"values": ["W"], "n_stages": 5, "freq": "30s"} | change
    with pytest.raises(LabelError, match=says):
        read_annotations(put(tmp_path, content))


# BORIS

TOP = {"time_format", "project_date", "project_name", "project_description", "subjects_conf"}
TOP |= {"project_format_version", "behaviors_conf", "observations", "behavioral_categories"}
TOP |= {"behavioral_categories_config", "independent_variables", "coding_map", "converters"}
OBSERVATION = {"file", "type", "date", "description", "time offset", "events", "media_info"}
OBSERVATION |= {"observation time interval", "independent_variables", "visualize_waveform"}
OBSERVATION |= {"close_behaviors_between_videos", "visualize_spectrogram", "image_display_duration"}
OBSERVATION |= {"media_creation_date_as_offset", "media_scan_sampling_duration"}
MEDIA_INFO = {"length", "fps", "hasVideo", "hasAudio", "offset", "display"}


def test_a_boris_project_has_every_field_that_boris_asks_for(tmp_path: Path) -> None:
    """`python scripts/check_boris.py` has BORIS itself open projects."""
    events = (Event(0.5, 3, "rest", "sow", ("left",)), Event(3.5, 3.5, "sneeze", comment="loud"))
    media = Annotations(
        *(events, (), "pen 1", ("pen.mp4",), (10.0,)), duration_seconds=10, fps=25.0
    )
    write_annotations([media, Annotations(events, recording="pen 2")], tmp_path / "p.boris")
    project = json.loads((tmp_path / "p.boris").read_text())
    assert project.keys() >= TOP
    assert {one["code"]: one["type"] for one in project["behaviors_conf"].values()} == {
        "rest": "State event",
        "sneeze": "Point event",
    }
    for one, kind in zip(project["observations"].values(), ("MEDIA", "LIVE"), strict=True):
        assert one["type"] == kind
        assert one.keys() >= OBSERVATION
        assert one["media_info"].keys() == MEDIA_INFO
        assert one["events"] == [
            [0.5, "sow", "rest", "left", ""],
            [3.0, "sow", "rest", "left", ""],
            [3.5, "", "sneeze", "", "loud"],
        ]


def test_every_format_has_a_name_of_its_own() -> None:
    assert {"xlsx", "feral", "label-studio", "yasa", "yasa-table", "nwb"} <= FORMATS.keys()
    suffixes = [suffix for format in FORMATS.values() for suffix in format.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_an_event_of_boris_says_something_of_every_set_of_modifiers(tmp_path: Path) -> None:
    """BORIS's integrity check counts them."""
    events = (Event(0, 1, "rest", "sow", ("left", "slow")), Event(2, 3, "rest"), Event(4, 4, "eat"))
    write_annotations(Annotations(events, recording="pen"), tmp_path / "p.boris")
    rows = json.loads((tmp_path / "p.boris").read_text())["observations"]["pen"]["events"]
    assert [row[3] for row in rows] == ["left|slow", "left|slow", "None|None", "None|None", ""]
    (back,) = read_annotations(tmp_path / "p.boris")
    assert back.events == events
