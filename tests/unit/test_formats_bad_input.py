"""Damaged and doubtful label files: read where unambiguous, else one line with file and row."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path

import pytest

from vigilia.errors import LabelError, MissingExtraError, OptionError
from vigilia.timeline import (
    Annotations,
    Event,
    problems,
    read_annotations,
    read_labels,
    states,
    write_annotations,
)
from vigilia.timeline.choosing import selected

TABLE = "start,end,label\n"
EXPORT = "Observation id,Behavior,Behavior type,Time\n"
SOME = Annotations((Event(0, 2, "a"), Event(2, 5, "b"), Event(6, 9, "a")), recording="x")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # half-written
        ('{"observations": {"a": {"ev', r"row 1: not valid JSON .*half-written"),
        ("[1, 2, 3", r"row 1: not valid JSON .*half-written"),
        ("<?xml version='1.0'?>\n<ANNOTATION_DOCUMENT>\n<HEADER", r"row 3: not valid XML"),
        ("WEBVTT\n\n00:01.000 --> 00:0", r"row 3: '00:01\.000 --> 00:0'|row 3: the cue has no"),
        ("WEBVTT\n\n00:01.000 -->", "row 3: '00:01.000 -->' are no times"),
        ("WEBVTT\n\n00:01.000 --> 00:02.000\n", "row 3: the cue has no text"),
        (b"0       " + b" " * 90, "damaged EDF file .half-written"),
        (b"\x1f\x8b\x08\x00half", "packed with gzip and damaged"),
        (b"PK\x03\x04half", "no .xlsx that can be read, or half-written"),
        # times
        (TABLE + "0,1,a\n3,2,b\n", "row 3: the end, 2.000 s, lies before the start, 3.000 s"),
        (TABLE + "0,,a\n", "row 2: 'a' starts at 0.000 s and has no end"),
        (TABLE + "0,NA,a\n", "row 2: 'a' starts at 0.000 s and has no end"),
        (TABLE + "0:75:00,2:00:00,a\n", "row 2: start is '0:75:00', which no clock shows"),
        (TABLE + "0:00,0:61,a\n", "row 2: end is '0:61', which no clock shows"),
        (
            TABLE + "00:00:01:05,9,a\n",
            "row 2: start .* time code that ends in frames; give the fps",
        ),
        (TABLE + "2024-05-01 08:00:00,9,a\n", "row 2: start .* a date; times must count"),
        (TABLE + '0,"1.234,5",a\n', "row 2: end is '1.234,5', which is not a number"),
        (TABLE + "1_0,20,a\n", "row 2: start is '1_0'"),
        (
            "start;end;label\n0;1,5;a\n2;3.5;b\n",
            "row 3: a decimal point, but row 2 has a decimal c",
        ),
        ("start_frame,stop_frame,label\n0,9,a\n", "stop_frame does not say whether its frame"),
        # tables
        (TABLE + "0,1,a,b\n", "row 2: 4 cells under 3 columns"),
        (",background,a\n0,1,0\n1,2,0\n", "row 3: background is '2', expected 0, 1 or -1"),
        (",background,a\n0,1,0\n2,1,0\n", "row 3: frame 2 follows frame 0"),
        ("wake_1\nsleep 1\n", "no column for the label"),
        # BORIS
        (EXPORT + "o,eat,STOP,1\n", "row 2: 'eat' is STOP, but it was never started"),
        (EXPORT + "o,eat,START,1\no,eat,START,2\n", "row 3: .* it runs already since row 2"),
        (EXPORT + "o,eat,START,1\n", "row 2: .*has no end"),
        (EXPORT + "o,eat,MAYBE,1\n", "row 2: 'eat' is MAYBE, expected START, STOP or POINT"),
        (
            '{"behaviors_conf": {}, "observations": {"o": {"events": [[1, "", "eat", "", ""]]}}}',
            "row 1 of 'o': 'eat' is not in the ethogram",
        ),
        ('{"behaviors_conf": {}, "observations": {"o": {}}}', "observation 'o' is damaged"),
        # others
        ('{"database": {"v": {"annotations": [{"segment": [1]}]}}}', "row 1 of 'v': .* no segment"),
        ('{"what": 1}', "JSON, but of no format"),
        ("<svg/>", "XML, but no file of ELAN"),
        (b"start,end\0label\n", "not a text file"),
        (b"start,end,label\n0,1,a\n1,2,\x81\n", "row 3: a letter is neither UTF-8 nor Windows"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_row(
    text: str | bytes, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.x"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(LabelError, match=says) as caught:
        # Only DeepEthogram is told its frame rate: that others count frames must be asked for.
        read_annotations(path, fps=25 if str(text).startswith(",") else None)
    assert "labels.x" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["boris", "elan", "edf", "activitynet"])
def test_a_file_cut_anywhere_is_refused_or_not_said_to_be_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / "whole"
    write_annotations(SOME, path, format=name)
    data = path.read_bytes().rstrip()
    for cut in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:cut])
        with pytest.raises(LabelError) as caught:
            read_annotations(path)
        assert "\n" not in str(caught.value)


def test_old_letters_are_read_with_a_warning_that_shows_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes((TABLE + "0,1,Füße – 1\n").encode("cp1252"))
    with pytest.warns(UserWarning, match="Windows-1252; if '0,1,Füße – 1' in row 2") as said:
        (one,) = read_annotations(path)
    assert len(said) == 1
    assert one.labels == ("Füße – 1",)
    path.write_bytes((TABLE + "0,1,Füße\n").encode("utf-16"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_annotations(path)[0].labels == ("Füße",)


DAY = Annotations(
    (Event(0, 2, "Füße"), Event(2, 5, "lie"), Event(6, 9.5, "eat")),
    recording="x",
    media=("x.mp4",),
    duration_seconds=10,
)
TOLD = {"fps": 2.0, "epoch_seconds": 0.5}
TEXTS = ("csv", "boris", "boris-tabular", "boris-aggregated", "elan", "deepethogram")
TEXTS += ("hypnogram", "frames", "vtt", "activitynet")


@pytest.mark.parametrize("name", TEXTS)
def test_every_text_format_is_read_in_every_encoding(name: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_annotations(DAY, path, format=name, **TOLD)
    text = path.read_text(encoding="utf-8")
    expected = read_annotations(path, **TOLD)
    assert "Füße" in expected[0].labels
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252"):
        path.write_bytes(text.encode(encoding))
        old = encoding in ("latin-1", "cp1252")
        with pytest.warns(UserWarning, match="not UTF-8") if old else contextlib.nullcontext():
            assert read_annotations(path, **TOLD) == expected, encoding
    wide = text.encode("utf-16")
    path.write_bytes(wide[: len(wide) // 2 | 1])
    with pytest.raises(LabelError, match=r"row \d+: not valid UTF-16.*half-written"):
        read_annotations(path, **TOLD)
    before, letter, _ = text.encode().partition("ü".encode())
    path.write_bytes(before + letter[:1])
    with pytest.raises(LabelError, match=r"row \d+: ends in half a letter; half-written"):
        read_annotations(path, **TOLD)


PROJECT = (
    '{"behaviors_conf": {"0": {"code": "a", "type": "State event"}}, '
    '"observations": {"o": {"events": [[%s, "", "a", "", ""], [%s, "", "a", "", ""]]}}}'
)
STATES = "Observation id;Behavior;Behavior type;Start (s);Stop (s)\no;a;STATE;%s;%s\n"
MOMENTS = "Observation id;Behavior;Behavior type;Time\no;a;START;%s\no;a;STOP;%s\n"
CUES = "WEBVTT\n\n%s --> %s\na\n"
SEGMENTS = '{"database": {"o": {"annotations": [{"segment": [%s, %s], "label": "a"}]}}}'
ROWS = "start;end;label\n%s;%s;a\n"
KINDS = {ROWS: 2, STATES: 2, MOMENTS: 3, CUES: 3, SEGMENTS: 1, PROJECT: 2}
"""A file of each format with times, and the row in which the second one stands."""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("1.5", "3662.25"),
        ("1,5", "3662,25"),
        ("00:01.5", "1:01:02.250"),
        ("0:00:01,5", "01:01:02,250"),
        ("00:00:01:12", "01:01:02:06"),
    ],
)
def test_times_are_read_however_they_are_written(
    start: str, end: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    quoted = kind in (SEGMENTS, PROJECT)
    times = [f'"{one}"' if quoted else one for one in (start, end)]
    path.write_text(kind % tuple(times))
    frames = start.count(":") == 3
    if frames:
        with pytest.raises(LabelError, match=r"row \d.* time code that ends in frames; give the"):
            read_annotations(path)
    (one,) = read_annotations(path, fps=24 if frames else None)
    assert [(e.start_seconds, e.end_seconds) for e in one.events] == [(1.5, 3662.25)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("soon", "which is not a number|are no times"),
        ("0:75:00", "which no clock shows"),
        ("1", "lies before the start|"),
    ],
)
def test_times_that_cannot_be_are_refused_with_their_row(
    end: str, says: str, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text(kind % ('"3"', f'"{end}"') if kind in (SEGMENTS, PROJECT) else kind % (3, end))
    if end == "1" and kind == PROJECT:  # whose rows are starts and stops in order of time
        assert read_annotations(path)[0].events == (Event(1, 3, "a"),)
        return
    # Of a bout that ends before it starts the row is that of its start.
    row = 2 if end == "1" and kind == MOMENTS else KINDS[kind]
    with pytest.raises(LabelError, match=rf"row {row}\b.*({says})") as caught:
        read_annotations(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("start,end,label\n0,1,lie\n1,2", "row 3: the file ends after 2 of its 3 columns"),
        ("start,end,label\n0,1,lie\n1,2\n", "row 3: it ends before label; half-written"),
        ("start,end,label\n0,1,lie\n1,2,li", "row 3: .* 'li', which may be .* of 'lie'"),
        ('start,end,label\n0,1,"lie\n1,2,eat\n', "row 2: a quote is opened and never closed"),
        ("lying\nlying\neating\nly", "row 4: .* 'ly', which may be .* of 'lying'"),
        ("N2\nN2\nN", "row 3: .* 'N', which may be .* of 'N2'"),
        ("WEBVTT\n\n0:01 --> 0:02\nlie\n\n0:02 --> 0:03\nl", "row 7: .* 'l', which may be"),
        ("WEBVTT\n\nNOTE vigilia {", "row 3: Vigilia's note is damaged; half-written"),
        (",background,a\n0,1,0\n1,0", "row 3: the file ends after 2 of its 3 columns"),
        (
            "Observation id,Behavior,Behavior type,Start (s),Stop (s),Comment\no,a,STATE,0,9.",
            "row 2: the file ends after 5 of its 6 columns",
        ),
        (STATES % ("1,5", "2.5"), "row 2: a decimal point, but row 2 has a decimal comma"),
        ("W\nN 2\nW\n", "one label a line: row 2, 'N 2', is not one word"),
    ],
)
def test_what_was_cut_short_is_refused(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    with pytest.raises(LabelError, match=says) as caught:
        read_annotations(path, **TOLD)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["start,end,label\n0,1,N\n1,2,N2", "N\nN2\nN", "W\nN1\nR"])
def test_a_file_without_a_last_line_break_is_read_where_its_label_is_whole(
    text: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    whole = read_annotations(path, **TOLD)
    path.write_text(text + "\n")
    assert read_annotations(path, **TOLD) == whole


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("sep=;\nstart;end;label\n0;1,5;a\n", [(0, 1.5, "a", 3)]),
        ("stage\nW\nW\nN1\n", [(0, 1, "W", 2), (1, 1.5, "N1", 4)]),
        ("[0, null, 1]", [(0, 0.5, "0", 1), (1, 1.5, "1", 3)]),
        (";background;a\n0;1,0;0,0\n1;0,0;1,0\n", [(0, 0.5, "background", 2), (0.5, 1, "a", 3)]),
    ],
)
def test_habits_of_programs_are_understood(
    text: str, events: list[tuple[float, float, str, int]], tmp_path: Path
) -> None:
    path = tmp_path / "x"
    path.write_text(text)
    (one,) = read_annotations(path, **TOLD)
    assert [(e.start_seconds, e.end_seconds, e.label, e.row) for e in one.events] == events


@pytest.mark.parametrize("kind", [PROJECT, SEGMENTS, "table"])
def test_one_broken_recording_leaves_the_others_of_its_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "table":
        path.write_text("video,start,end,label\nv,0,soon,a\nw,0,1,b\n")
    else:
        broken = kind % ('"soon"', "2")
        whole = kind.replace('"o":', '"w":') % ("0", "1")
        name = "observations" if kind == PROJECT else "database"
        content, more = json.loads(broken), json.loads(whole)
        content[name] |= more[name]
        path.write_text(json.dumps(content))
    bad, good = read_annotations(path, check=False)
    assert "'soon'" in bad.unreadable
    assert (bad.events, good.unreadable, len(good.events)) == ((), "", 1)
    with pytest.raises(LabelError, match="'soon'"):
        read_annotations(path)
    assert read_labels(path, video="w").intervals[0].end_seconds == 1
    for use in (states, selected):
        with pytest.raises(LabelError, match="'soon'"):
            use(bad)
    with pytest.raises(LabelError, match="'soon'"):
        read_labels(path, video=bad.recording)


def test_a_missing_package_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_annotations(SOME, tmp_path / "a.edf")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    monkeypatch.setitem(__import__("sys").modules, "edfio", None)
    monkeypatch.setitem(__import__("sys").modules, "openpyxl", None)
    for name in ("a.edf", "a.xlsx"):
        with pytest.raises(MissingExtraError, match=r"pip install .*\[formats"):
            read_annotations(tmp_path / name)


def test_options_that_cannot_work_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text("W\nW\n")
    for options in ({"fps": 0}, {"epoch_seconds": -1}, {"fps": float("nan")}):
        with pytest.raises(OptionError, match="positive number"):
            read_annotations(path, **options)
    with pytest.raises(OptionError, match="no format 'word'; choose one of csv"):
        read_annotations(path, format="word")
    with pytest.raises(LabelError, match="cannot read"):
        read_annotations(tmp_path / "no.csv")
    (tmp_path / "v.json").write_text(json.dumps({"v": {"annotations": []}}))
    with pytest.raises(LabelError, match="holds no labels of 'v'"):
        read_labels(tmp_path / "v.json")


def test_problems_are_all_listed_with_their_rows() -> None:
    events = (
        Event(1, 4, "lie", row=2),
        Event(3, 5, "stand", row=3),
        Event(7, 6, "lie", row=4),
        Event(8, float("inf"), "lie", row=5),
        Event(9, 9, "peck", row=6),
        Event(9, 30, "Lie", row=7),
    )
    one = Annotations(events, duration_seconds=20)
    found = [(p.kind, p.start_seconds, p.end_seconds, p.rows) for p in problems(one)]
    assert found == [
        ("gap", 0, 1, (2,)),
        ("overlap", 3, 4, (2, 3)),
        ("gap", 5, 9, (7,)),
        ("reversed", 7, 6, (4,)),
        ("no end", 8, float("inf"), (5,)),
        ("beyond", 9, 30, (7,)),
        ("spelling", 9, 30, (2, 7)),
    ]
    kinds = [p.kind for p in problems(one, classes=("lie", "stand", "peck"), multi_label=True)]
    assert kinds == ["reversed", "no end", "unknown class", "beyond", "spelling"]
    twice = Annotations((Event(0, 2, "a", "x"), Event(1, 3, "a", "x"), Event(0, 3, "a", "y")))
    assert [p.kind for p in problems(twice, multi_label=True)] == ["overlap"]
    assert [p.message for p in problems(twice)] == [
        "'a' from 1.000 to 2.000 s while 'a' goes on (x)"
    ]
