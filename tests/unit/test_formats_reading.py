"""A tiny file of each format, written by hand, says what its makers mean by it."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import openpyxl
import pytest

from vigilia.errors import LabelError
from vigilia.timeline import (
    Annotations,
    Event,
    Scores,
    Segment,
    Timeline,
    from_timeline,
    presence,
    read_annotations,
    read_label_table,
    read_labels,
    states,
)
from vigilia.timeline.choosing import merged, renamed, selected
from vigilia.timeline.formats import detect

BORIS = {
    "project_format_version": "7.0",
    "behaviors_conf": {
        "0": {"type": "State event", "code": "eat"},
        "1": {"type": "Point event", "code": "peck"},
        "2": {"type": "State event", "code": "rest"},
    },
    "observations": {
        "pen 1": {
            "file": {"1": ["C:\\videos\\pen.mp4"], "2": []},
            "type": "MEDIA",
            "date": "2024-05-01T08:00:00",
            "time offset": 0.0,
            "media_info": {
                "length": {"C:\\videos\\pen.mp4": 20.0},
                "fps": {"C:\\videos\\pen.mp4": 25.0},
            },
            "events": [
                [1.0, "hen", "eat", "fast|corn", "hungry"],
                [2.0, "", "peck", "", ""],
                [2.5, "cock", "eat", "", "", 62],
                [4.0, "hen", "eat", "fast|corn", "", 100],
                [5.0, "cock", "eat", "", "", 125],
                [5.0, "cock", "eat", "", "", 125],
                [7.25, "cock", "eat", "", "", 181],
            ],
        },
        "live": {"file": [], "type": "LIVE", "date": "", "events": [[1, "", "eat", "", ""]]},
    },
}
EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-05-01T08:00:00+01:00" FORMAT="3.0" VERSION="3.0">
<HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
<MEDIA_DESCRIPTOR MEDIA_URL="file:///a/pen.mp4" MIME_TYPE="video/mp4"/></HEADER>
<TIME_ORDER>
<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="1000"/><TIME_SLOT TIME_SLOT_ID="t2"/>
<TIME_SLOT TIME_SLOT_ID="t3"/><TIME_SLOT TIME_SLOT_ID="t4" TIME_VALUE="4000"/>
</TIME_ORDER>
<TIER LINGUISTIC_TYPE_REF="x" TIER_ID="Sow"><ANNOTATION>
<ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t4">
<ANNOTATION_VALUE>lie</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="x" TIER_ID="parts" PARENT_REF="Sow" ANNOTATOR="Kim">
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2">
<ANNOTATION_VALUE>p</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="t2" TIME_SLOT_REF2="t3">
<ANNOTATION_VALUE>q</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a4" TIME_SLOT_REF1="t3" TIME_SLOT_REF2="t4">
<ANNOTATION_VALUE>r</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER>
<TIER LINGUISTIC_TYPE_REF="y" TIER_ID="note" PARENT_REF="Sow">
<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a5" ANNOTATION_REF="a1">
<ANNOTATION_VALUE>left</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>
<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="x"/><LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="y"/>
</ANNOTATION_DOCUMENT>
"""


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_boris_pairs_starts_and_stops_by_subject_code_and_modifiers(tmp_path: Path) -> None:
    path = put(tmp_path, "p.boris", json.dumps(BORIS))
    pen, live = read_annotations(path, check=False)
    assert pen == Annotations(
        events=(
            Event(1.0, 4.0, "eat", "hen", ("fast", "corn"), comment="hungry"),
            Event(2.0, 2.0, "peck"),
            Event(2.5, 5.0, "eat", "cock"),
            Event(5.0, 7.25, "eat", "cock"),
        ),
        classes=("eat", "peck", "rest"),
        recording="pen 1",
        media=("pen.mp4",),
        media_seconds=(20.0,),
        duration_seconds=20.0,
        fps=25.0,
        observed=((0.0, 20.0),),
        started=datetime(2024, 5, 1, 8),
    )
    assert live.events == (Event(1.0, float("inf"), "eat"),)
    with pytest.raises(LabelError, match=r"row 1 \('live'\): 'eat' starts at 1.000 s and has no"):
        read_annotations(path)
    # One observation can be used though another is broken.
    assert len(read_labels(path, video="pen.mp4", subject="cock").intervals) == 2
    with pytest.raises(LabelError, match=r"3 subjects in pen 1 .*hen.*--subject"):
        read_labels(path, video="pen")


def test_boris_exports_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    expected = (
        Event(1.5, 3.0, "eat", "hen", ("fast",), comment="x"),
        Event(2.0, 2.0, "peck"),
        Event(4.0, 5.0, "eat", "hen"),
    )
    tabular = (
        "Observation id\tSubject\tBehavior\tModifier #1\tBehavior type\tTime\tComment\tFPS\n"
        "o\then\teat\tfast\tSTART\t1,500\tx\t25\n"
        "o\tNo focal subject\tpeck\tNA\tPOINT\t2,000\t\t25\n"
        "o\then\teat\tfast\tSTOP\t3,000\t\t25\no\then\teat\t\tSTART\t0:00:04.000\t\t25\n"
        "o\then\teat\t\tSTOP\t00:05.000\t\t25\n"
    )
    aggregated = (
        "Observation id,Media file,Total length,Subject,Behavior,Modifiers,Behavior type,"
        "Stop (s),Start (s),Comment start,Comment stop\n"
        "o,pen.mp4,9.000,hen,eat,fast,STATE,3.000,1.500,x,\n"
        "o,pen.mp4,9.000,No focal subject,peck,,POINT,2.000,2.000,,\n"
        "o,pen.mp4,9.000,hen,eat,,STATE,5.000,4.000,,\n"
    )
    old = (
        "Observation id,o,,,\n,,,,\nMedia file(s),,,,\n,,,,\n"
        "Time,Subject,Behavior,Modifiers,Comment,Status\n"
        "1.5,hen,eat,fast,x,START\n2,,peck,,,POINT\n3,hen,eat,fast,,STOP\n"
        "4,hen,eat,,,START\n5,hen,eat,,,STOP\n"
    )
    for text, kind in ((tabular, "tabular"), (aggregated, "aggregated"), (old, "tabular")):
        path = put(tmp_path, "o.csv", text)
        assert detect(path) == f"boris-{kind}"
        (one,) = read_annotations(path)
        assert one.events == expected
        assert one.recording == "o"
    (one,) = read_annotations(put(tmp_path, "o.csv", aggregated))
    assert (one.media, one.duration_seconds) == (("pen.mp4",), 9.0)


def test_elan_times_between_aligned_slots_are_shared_out(tmp_path: Path) -> None:
    expected = (
        Event(1.0, 2.0, "p", "parts", scorer="Kim"),
        Event(1.0, 4.0, "lie", "Sow"),
        Event(1.0, 4.0, "left", "note"),
        Event(2.0, 3.0, "q", "parts", scorer="Kim"),
        Event(3.0, 4.0, "r", "parts", scorer="Kim"),
    )
    for path in (put(tmp_path, "a.eaf", EAF), put(tmp_path, "b", gzip.compress(EAF.encode()))):
        (one,) = read_annotations(path)
        assert one == Annotations(expected, recording="pen.mp4", media=("pen.mp4",))
        assert read_labels(path, video="/x/pen.mp4", subject="Sow").classes == ("lie",)


def test_deepethogram_keeps_apart_absent_and_not_labelled(tmp_path: Path) -> None:
    text = ",background,groom,walk\n0,1,0,0\n1,0,1,1\n2,0,1,0\n3,-1,-1,-1\n4,0,0,1\n"
    (one,) = read_annotations(put(tmp_path, "mouse_labels.csv", text), fps=2)
    assert one.events == (
        Event(0, 0.5, "background"),
        Event(0.5, 1.0, "walk"),
        Event(0.5, 1.5, "groom"),
        Event(2.0, 2.5, "walk"),
    )
    assert one.observed == ((0.0, 1.5), (2.0, 2.5))
    assert (one.recording, one.duration_seconds) == ("mouse", 2.5)
    starts = np.arange(5) / 2
    found = presence(one, starts, starts + 0.5)
    assert found.tolist() == [[1, 0, 0], [0, 1, 1], [0, 1, 0], [-1, -1, -1], [0, 0, 1]]


@pytest.mark.parametrize(
    ("name", "text", "options", "kind"),
    [
        ("n.txt", "W\nW\n?\nN2\nR\n", {"epoch_seconds": 2}, "hypnogram"),
        ("n.txt", "W\r\nW\r\n-1\r\nN2\r\nR", {"epoch_seconds": 2}, "hypnogram"),
        ("n.json", '["W", "W", -1, "N2", "R"]', {"epoch_seconds": 2}, "hypnogram"),
        ("n", "wake_1\nwake_1\nunobserved\nN2\nR\n", {"fps": 0.5}, "frames"),
    ],
)
def test_a_label_a_line_needs_only_the_length_of_a_line(
    name: str, text: str, options: dict[str, float], kind: str, tmp_path: Path
) -> None:
    path = put(tmp_path, name, text)
    assert detect(path) == kind
    (one,) = read_annotations(path, **options)
    first = "wake_1" if kind == "frames" else "W"
    assert one.events == (Event(0, 4, first), Event(6, 8, "N2"), Event(8, 10, "R"))
    assert one.observed == ((0, 4), (6, 10))
    with pytest.raises(LabelError, match="no times; give the"):
        read_annotations(path)


def test_a_hypnogram_may_be_one_line_of_letters(tmp_path: Path) -> None:
    (one,) = read_annotations(put(tmp_path, "n.txt", "w" * 40 + "n" * 30 + "r\n"), epoch_seconds=4)
    assert one.events == (Event(0, 160, "w"), Event(160, 280, "n"), Event(280, 284, "r"))


def test_webvtt_has_subjects_as_voices_and_knows_its_holes(tmp_path: Path) -> None:
    text = (
        "WEBVTT\n\nNOTE x\n\nSTYLE\n::cue {}\n\n1\n00:01.000 --> 00:02.500 line:0\n"
        "<v Sow 4>lying &amp; <i>nursing</i>\n\n00:02.000 --> 1:00:00.000\nfed (confidence 0.25)\n"
    )
    (one,) = read_annotations(put(tmp_path, "a.vtt", text))
    assert one.events == (
        Event(1.0, 2.5, "lying & nursing", "Sow 4"),
        Event(2.0, 3600.0, "fed", confidence=0.25),
    )


@pytest.mark.parametrize(
    ("content", "score"),
    [
        (
            {
                "database": {
                    "v": {"duration": 9, "annotations": [{"segment": [1, 2], "label": "a"}]}
                }
            },
            0,
        ),
        ({"results": {"v": [{"segment": [1, 2], "label": "a", "score": 0.5}]}}, 0.5),
        ({"v": {"duration_second": 9, "annotations": [{"segment": [1, 2], "label": "a"}]}}, 0),
        ({"v": {"duration": 9, "subset": "testing", "actions": [["a", 1, 2]]}}, 0),
    ],
)
def test_activitynet_and_its_kin_are_told_apart(
    content: dict, score: float, tmp_path: Path
) -> None:
    path = put(tmp_path, "a.json", json.dumps(content))
    (one,) = read_annotations(path)
    assert one.events == (Event(1, 2, "a", confidence=score or None),)
    assert one.recording == "v"
    assert one.duration_seconds == (None if score else 9)
    assert read_labels(path, video="/somewhere/v.mp4").classes == ("a",)


def test_a_table_may_name_subjects_scorers_modifiers_and_points(tmp_path: Path) -> None:
    text = (
        "file;from;to;type;Experimenter;animal;modifiers;comment\n"
        "a.mp4;0,5;2,5;rear;Kim;m1;left|up;\na.mp4;1,5;1,5;jump;Lee;m1;;high\n"
    )
    (one,) = read_annotations(put(tmp_path, "t.csv", text))
    assert one.events == (
        Event(0.5, 2.5, "rear", "m1", ("left", "up"), "Kim"),
        Event(1.5, 1.5, "jump", "m1", (), "Lee", "high"),
    )
    assert (one.subjects, one.scorers, one.media) == (("m1",), ("Kim", "Lee"), ("a.mp4",))
    with pytest.raises(LabelError, match=r"2 scorers in a\.mp4 \(Kim, Lee\)"):
        states(one)
    assert states(one, scorer="Kim").classes == ("rear",)
    assert states(one, scorer="Lee").intervals == ()  # a point is no state
    with pytest.raises(LabelError, match=r"no scorer 'Max' in a\.mp4; it names Kim, Lee"):
        states(one, scorer="Max")


def test_frames_time_codes_and_spreadsheets_are_understood(tmp_path: Path) -> None:
    text = "start,end,label\n00:00:01:12,00:00:02;00,a\n"
    (one,) = read_annotations(put(tmp_path, "t.csv", text), fps=24)
    assert one.events == (Event(1.5, 2.0, "a"),)
    text = "start_frame,end_frame_inclusive,label\n0,23,a\n"
    (one,) = read_annotations(put(tmp_path, "t.csv", text), fps=24)
    assert one.events == (Event(0, 1, "a"),)
    book = openpyxl.Workbook()
    for row in (["Start (s)", "Stop (s)", "Behavior"], [0, 1.5, "a"], [1.5, 4, "b"]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    (one,) = read_annotations(tmp_path / "t.xlsx")
    assert one.events == (Event(0, 1.5, "a"), Event(1.5, 4, "b"))


def test_several_recordings_are_known_by_their_video_or_else_by_name(tmp_path: Path) -> None:
    observations = BORIS["observations"] | {
        "live": BORIS["observations"]["live"] | {"events": [[1, "", "peck", "", ""]]}
    }
    observations["pen 1"] = observations["pen 1"] | {"events": [[0, "", "rest", "", ""]] * 2}
    path = put(tmp_path, "p.boris", json.dumps(BORIS | {"observations": observations}))
    assert list(read_label_table(path)) == ["pen.mp4", "live"]
    with pytest.raises(LabelError, match=r"no labels for 'other\.mp4'; it names pen 1, live"):
        read_labels(path, video="other.mp4")


def test_a_timeline_becomes_annotations_with_its_holes(tmp_path: Path) -> None:
    segments = (Segment(0, 2, "a", 0.5), Segment(2, 3, None, 0.0), Segment(3, 4, "b", 0.75))
    scores = Scores(np.zeros(1), np.ones(1), np.ones((1, 3)))
    timeline = Timeline(("a", "b", "c"), segments, scores, "pen.mp4", {"fps": 4.0})
    one = from_timeline(timeline)
    assert one.events == (Event(0, 2, "a", confidence=0.5), Event(3, 4, "b", confidence=0.75))
    assert one.observed == ((0, 2), (3, 4))
    assert (one.classes, one.media, one.duration_seconds) == (("a", "b", "c"), ("pen.mp4",), 4)
    timeline.to_json(tmp_path / "t.json")
    assert read_annotations(tmp_path / "t.json") == (one,)
    timeline.to_csv(tmp_path / "t.csv")
    (from_csv,) = read_annotations(tmp_path / "t.csv")
    assert (from_csv.events, from_csv.observed) == (one.events, one.observed)


def test_labels_are_selected_renamed_dropped_and_merged() -> None:
    events = (Event(0, 2, "a", "x"), Event(1, 3, "a", "x"), Event(3, 4, "b", "y"))
    one = Annotations(events, classes=("a", "b"), duration_seconds=5.0)
    assert selected(one, subject="y").events == events[2:]
    assert merged(one).events == (Event(0, 3, "a", "x"), Event(3, 4, "b", "y"))
    assert renamed(one, {"a": "c"}).labels == ("c", "b")
    dropped = renamed(one, {"a": "unobserved"})
    assert (dropped.events, dropped.classes) == (events[2:], ("b",))
    assert dropped.observed == ((3.0, 5.0),)


def test_presence_says_unknown_where_no_bout_covers_and_nothing_says_more() -> None:
    events = (Event(0, 2, "a"), Event(1, 1.4, "b"), Event(1.5, 1.5, "p"), Event(6, 7, "b"))
    one = Annotations(events)
    starts = np.arange(7.0)
    expected = [[1, 0, 0], [1, 0, 1], *[[-1, -1, -1]] * 4, [0, 1, 0]]
    assert presence(one, starts, starts + 1, classes=("a", "b", "p")).tolist() == expected


def test_many_cells_agree_with_adding_up_overlaps() -> None:
    random = np.random.default_rng(7)
    starts = random.uniform(0, 90, 60).round(2)
    events = tuple(
        Event(float(s), float(s + d), "abc"[k])
        for s, d, k in zip(
            starts, random.uniform(0.1, 9, 60), random.integers(0, 3, 60), strict=True
        )
    )
    cells = np.arange(0, 100, 0.7)
    found = presence(
        Annotations(events, observed=((10.0, 80.0),)), cells, cells + 0.7, classes="abc"
    )
    fine = np.linspace(0, 0.7, 701)[:-1]
    for cell, row in zip(cells, found, strict=True):
        moments = cell + fine
        if np.mean((moments >= 10) & (moments < 80)) < 0.49:
            assert row.tolist() == [-1, -1, -1]
            continue
        for name, value in zip("abc", row, strict=True):
            on = np.zeros(len(moments), bool)
            for event in events:
                if event.label == name:
                    on |= (moments >= event.start_seconds) & (moments < event.end_seconds)
            if abs(on.mean() - 0.5) > 0.01 and value >= 0:
                assert value == (on.mean() > 0.5)
