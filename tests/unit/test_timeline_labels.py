"""Annotations: the tables people write, and the one line they get when something is wrong."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import LabelError, OptionError
from vigilia.timeline import (
    Interval,
    Labels,
    check_labels,
    label_of,
    labels_for,
    labels_of_video,
    read_label_table,
    read_labels,
)

BOUTS = (Interval(0.0, 1.5, "a"), Interval(1.5, 4.0, "b"), Interval(6.0, 7.0, "a"))


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "start_seconds,end_seconds,label\n0,1.5,a\n1.5,4,b\n6,7,a\n",
        "Behaviour;Onset;Duration\na;0;1,5\nb;1,5;2,5\na;6;1\n",
        "state\tStart (s)\tStop (s)\na\t0\t1.5\nb\t1.5\t4\na\t6\t7\n",
        "\ufeffstart,stop,class,comment\r\n6,7,a,\r\n\r\n0,1.5,a,x\r\n1.5,4,b,\r\n",
        "start,end,label\n0:00,0:01.5,a\n0:00:01.5,00:00:04.000,b\n4,6,unobserved\n6,7,a\n6,6,p\n",
        "start_frame,end_frame_exclusive,label\n0,6,a\n6,16,b\n24,28,a\n",
    ],
)
def test_tables_of_bouts_are_understood_however_they_are_written(text: str, tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, text), fps=4).intervals == BOUTS


def test_old_and_wide_encodings_are_read(tmp_path: Path) -> None:
    text = "start,end,label\n0,1,Füße\n"
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "utf-16"):
        labels = read_labels(write(tmp_path, text.encode(encoding)))
        assert labels.classes == ("Füße",), encoding


def test_equal_neighbouring_frames_become_one_interval(tmp_path: Path) -> None:
    path = write(tmp_path, "frame,state\n0,a\n1,a\n2,b\n3,\n4,b\n5,b\n")
    assert read_labels(path, fps=2).intervals == (
        Interval(0, 1, "a"),
        Interval(1, 1.5, "b"),
        Interval(2, 3, "b"),
    )
    with pytest.raises(LabelError, match="give the fps"):
        read_labels(path)


def test_times_of_frames_count_before_their_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "frame,time_s,state\n0,10,a\n1,10.5,b\n2,11.25,b\n")
    assert read_labels(path).intervals == (Interval(10, 10.5, "a"), Interval(10.5, 11.875, "b"))


def test_a_long_pause_between_frames_is_not_labelled(tmp_path: Path) -> None:
    rows = [f"{t},a" for t in (0, 0.5, 1.0, 9.0, 9.5)]
    path = write(tmp_path, "\n".join(["seconds,label", *rows]))
    assert read_labels(path).intervals == (Interval(0, 1.5, "a"), Interval(9, 10, "a"))


def test_one_table_may_hold_several_recordings(tmp_path: Path) -> None:
    path = write(tmp_path, "file,start,end,label\nx/1.mp4,0,1,a\nx/2.mp4,0,1,b\nx/1.mp4,1,2,b\n")
    table = read_label_table(path)
    assert list(table) == ["x/1.mp4", "x/2.mp4"]
    assert table["x/1.mp4"].intervals == (Interval(0, 1, "a"), Interval(1, 2, "b"))
    for name in ("x/1.mp4", "1.mp4", "/elsewhere/1.mp4", "1", "1.avi"):
        assert labels_of_video(table, name) == table["x/1.mp4"]
        assert read_labels(path, video=name) == table["x/1.mp4"]
    with pytest.raises(LabelError, match=r"no labels for '3\.mp4'"):
        read_labels(path, video="3.mp4")
    with pytest.raises(LabelError, match="2 recordings"):
        read_labels(path)


def test_a_name_that_fits_two_recordings_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "video,start,end,label\ncam1/0.mp4,0,1,a\ncam2/0.mp4,0,1,b\n")
    with pytest.raises(LabelError, match=r"cam1/0\.mp4 or cam2/0\.mp4"):
        read_labels(path, video="0.mp4")
    assert read_labels(path, video="cam2/0.mp4").classes == ("b",)


def test_the_label_column_can_be_chosen_and_must_be_if_unclear(tmp_path: Path) -> None:
    path = write(tmp_path, "start,end,form,phase,class\n0,1,x,y,z\n")
    assert read_labels(path, label_column="Form").classes == ("x",)
    with pytest.raises(LabelError, match=r"phase, class"):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("start,end,label\n", "no rows"),
        ("start,end,label\n0,1,a\n3,2,b\n", r"row 3: the end, 2\.000 s, lies before"),
        ("start,end,label\n5,7,a\n0,6,b\n", "row 2: 'a' from 5.000 s overlaps 'b' of row 3"),
        ("start,end,label\n0,one,a\n", "row 2: end is 'one', which is not a number"),
        ('start,end,label\n0,"o\nn",a\n', "row 3: end is 'o n'"),
        ("start,end,label\n0,nan,a\n", "row 2: end is 'nan'"),
        ("start,end,label\n0,1,a\n,2,a\n", "row 3: start is ''"),
        ("start,label\n0,a\n", "found start, label; expected start_seconds"),
        ("start,end,what\n0,1,a\n", "found start, end, what"),
        ("start,end,label\n0,1,a,b\n", "row 2: 4 cells under 3 columns"),
        ("time,label\n0,a\n1,a\n0.5,b\n", "row 4: its time is not after"),
        ("time,label\n0,a\n", "row 2: one row alone"),
        ("video,start,end,label\n,0,1,a\n", "row 2: the recording's name is empty"),
        (b"start,end\0label\n", "not a text file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_file_and_row(
    text: str | bytes, says: str, tmp_path: Path
) -> None:
    with pytest.raises(LabelError, match=says) as caught:
        read_labels(write(tmp_path, text))
    assert "labels.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_missing_column_of_names_are_told(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="no such file"):
        read_labels(tmp_path / "no.csv")
    with pytest.raises(LabelError, match="names the recording"):
        read_label_table(write(tmp_path, "start,end,label\n0,1,a\n"))
    with pytest.raises(OptionError, match="fps"):
        read_labels(write(tmp_path, "frame,label\n0,a\n"), fps=0)


def test_labels_must_fit_classes_and_recording(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, "start,end,label\n0,5,a\n5,10.9,b\n"))
    check_labels(labels, classes=("a", "b", "c"), duration_seconds=10.0)
    with pytest.raises(LabelError, match="row 3: 'b' is none of the classes"):
        check_labels(labels, classes=("a",))
    with pytest.raises(LabelError, match=r"row 3: .* outside the recording"):
        check_labels(labels, duration_seconds=9.8)


def test_the_label_of_an_interval_covers_most_of_it() -> None:
    labels = Labels(BOUTS, Path("x"))
    assert label_of(labels, 0, 1) == "a"
    assert label_of(labels, 0, 4) == "b"
    assert label_of(labels, 1, 2) == "a"  # a tie: the first wins
    assert label_of(labels, 3.5, 4.5) == "b"  # just half of it is labelled
    assert label_of(labels, 3.6, 4.6) is None
    assert label_of(labels, 0, 7) == "a"  # in two bouts, 2.5 s of each: a tie
    assert label_of(labels, 4, 6) is None
    assert label_of(labels, 90, 91) is None
    assert labels_for(labels, [0, 2, 4], [1, 3, 5], ("b", "a")).tolist() == [1, 0, -1]
    assert labels_for(labels, [0, 2], [1, 3], ("a",)).tolist() == [0, -1]
    assert labels_for(Labels((), Path("x")), [0], [1], ("a",)).tolist() == [-1]
    with pytest.raises(OptionError, match="end after"):
        label_of(labels, 1, 1)


def test_many_intervals_at_once_agree_with_adding_up_overlaps() -> None:
    random = np.random.default_rng(4)
    edges = np.cumsum(random.uniform(0.1, 3, 81)).tolist()
    intervals = tuple(
        Interval(start, end, "abcd"[random.integers(4)])
        for start, end in itertools.pairwise(edges)
        if random.random() < 0.7
    )
    starts = random.uniform(-5, edges[-1] + 5, 500)
    ends = starts + random.uniform(0.1, 20, 500)
    found = labels_for(Labels(intervals, Path("x")), starts, ends, "abcd")
    for start, end, code in zip(starts, ends, found, strict=True):
        covered = [0.0] * 4
        for one in intervals:
            overlap = min(one.end_seconds, end) - max(one.start_seconds, start)
            covered["abcd".index(one.label)] += max(overlap, 0)
        expected = int(np.argmax(covered)) if sum(covered) >= (end - start) / 2 else -1
        assert code == expected
