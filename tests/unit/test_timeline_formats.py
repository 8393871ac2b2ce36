"""Timelines on disk: each format gives back what it promises to keep."""

from __future__ import annotations

import itertools
import json
import os
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import LabelError, OptionError, OutputError
from vigilia.files import write_atomically
from vigilia.timeline import Scores, Segment, Timeline

GOLDEN = Path(__file__).parents[1] / "golden"


def golden() -> Timeline:
    return runpy.run_path(str(GOLDEN / "make_timelines.py"))["GOLDEN"]


def random_timeline(seed: int) -> Timeline:
    random = np.random.default_rng(seed)
    classes = ("lying", "standing", "walking & <running>")
    edges = np.cumsum(random.uniform(0.01, 900, 40)).round(3).tolist()
    segments = tuple(
        Segment(start, end, None, 0.0)
        if random.random() < 0.2
        else Segment(start, end, classes[random.integers(3)], float(random.random()))
        for start, end in itertools.pairwise(edges)
    )
    seconds = np.sort(random.random(50)) * 1e6
    scores = Scores(seconds[:-1], seconds[1:], random.dirichlet(np.ones(3), 49))
    return Timeline(classes, segments, scores, "pen.mp4", {"fps": 1 / 3, "model": "x", "n": 2})


@pytest.mark.parametrize("suffix", ["csv", "json", "vtt"])
def test_files_are_what_they_were_when_last_looked_at(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"timeline.{suffix}"
    getattr(golden(), f"to_{suffix}")(path)
    assert path.read_bytes() == (GOLDEN / f"timeline.{suffix}").read_bytes()


def test_json_loses_nothing(tmp_path: Path) -> None:
    for seed in range(5):
        timeline = random_timeline(seed)
        timeline.to_json(tmp_path / "t.json")
        assert Timeline.read(tmp_path / "t.json") == timeline
    golden().to_json(tmp_path / "t.json")
    assert Timeline.read(tmp_path / "t.json") == golden()
    assert json.loads((tmp_path / "t.json").read_text("utf-8"))["segments"][1][2] is None


def test_csv_keeps_segments_to_the_millisecond(tmp_path: Path) -> None:
    timeline = random_timeline(1)
    timeline.to_csv(tmp_path / "t.csv")
    back = Timeline.read(tmp_path / "t.csv")
    assert [(s.start_seconds, s.end_seconds, s.label) for s in back.segments] == [
        (s.start_seconds, s.end_seconds, s.label) for s in timeline.segments
    ]
    for ours, theirs in zip(back.segments, timeline.segments, strict=True):
        assert ours.confidence == pytest.approx(theirs.confidence, abs=5.1e-5)


def test_vtt_keeps_segments_classes_source_and_assumptions(tmp_path: Path) -> None:
    timeline = random_timeline(2)
    timeline.to_vtt(tmp_path / "t.vtt")
    back = Timeline.read(tmp_path / "t.vtt")
    assert (back.classes, back.source, back.assumptions) == (
        timeline.classes,
        timeline.source,
        timeline.assumptions,
    )
    assert [(s.start_seconds, s.end_seconds, s.label) for s in back.segments] == [
        (s.start_seconds, s.end_seconds, s.label) for s in timeline.segments
    ]


def test_vtt_of_others_is_read_and_time_without_a_cue_is_unobserved(tmp_path: Path) -> None:
    path = tmp_path / "t.vtt"
    path.write_text(
        "WEBVTT - title\r\n\r\nNOTE 00:00 --> 01:00\r\n\r\n"
        "first\r\n00:01.000 --> 00:02.500 line:0\r\n"
        "<b>eating</b>\r\n\r\n100:00:00.000 --> 100:00:01.000\r\nx &amp; y\r\n",
        newline="",
    )
    assert Timeline.read(path).segments == (
        Segment(1.0, 2.5, "eating", 1.0),
        Segment(2.5, 360000.0, None, 0.0),
        Segment(360000.0, 360001.0, "x & y", 1.0),
    )


def test_segments_shorter_than_a_millisecond_leave_no_empty_row(tmp_path: Path) -> None:
    segments = (
        Segment(0, 1.0001, "a", 1.0),
        Segment(1.0001, 1.0003, "b", 1.0),
        Segment(1.0003, 2, "a", 1),
    )
    Timeline(("a", "b"), segments).to_csv(tmp_path / "t.csv")
    back = Timeline.read(tmp_path / "t.csv")
    assert [(s.start_seconds, s.end_seconds) for s in back.segments] == [(0, 1), (1, 2)]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("t.csv", "time,label\n1,a\n", "read_labels"),
        ("t.csv", "start_seconds,end_seconds,label\n0,x,a\n", "row 2"),
        ("t.csv", "start_seconds,end_seconds,label\n0,2,a\n1,3,b\n", "overlap"),
        ("t.json", "{", "not valid JSON"),
        ("t.json", "[1]", "no timeline"),
        ("t.json", '{"format": "vigilia timeline 1", "classes": []}', "damaged"),
        ("t.vtt", "hello", "WEBVTT"),
        ("t.vtt", "WEBVTT\n\nxx --> 00:01.000\na\n", "row 3"),
        ("t.srt", "", "ending"),
    ],
)
def test_a_file_that_is_no_timeline_is_refused_in_one_line(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(LabelError, match=says) as caught:
        Timeline.read(path)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_assumptions_that_json_cannot_say_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="assumptions"):
        replace(golden(), assumptions={"fps": float("nan")}).to_json(tmp_path / "t.json")


def test_a_write_replaces_the_file_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "name.bin"
    write_atomically(path, b"old")
    write_atomically(path, "nü")
    assert path.read_bytes() == "nü".encode()
    assert os.listdir(tmp_path) == ["name.bin"]
    long = tmp_path / ("x" * 250)
    write_atomically(long, b"")
    assert long.exists()


def test_a_write_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_atomically(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="disk is full") as caught:
        write_atomically(path, "new")
    assert str(path) in str(caught.value)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["t.csv"]


def test_a_missing_folder_and_a_folder_as_target_are_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_atomically(tmp_path / "no" / "t.csv", "")
    with pytest.raises(OutputError, match="is a folder"):
        write_atomically(tmp_path, "")
