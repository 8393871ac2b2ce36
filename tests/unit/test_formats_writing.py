"""What is written comes back: exactly where the format can, else with the loss named."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import edfio
import pympi
import pytest
import webvtt
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vigilia.errors import LabelError, OptionError, OutputError
from vigilia.timeline import FORMATS, Annotations, Event, read_annotations, write_annotations
from vigilia.timeline.formats import detect, format_of_name

SETTINGS = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
WORDS = (
    st.text("abcXYZäß &<>\"',;|()-_1", min_size=1, max_size=8)
    .map(str.strip)
    .filter(lambda text: text not in ("", "-1", "?", "1"))
)
PLAIN = st.text("abcdefgh", min_size=3, max_size=6)


@st.composite
def annotations(draw: st.DrawFn, *, milliseconds: bool = True) -> Annotations:
    """Several subjects; nobody does the same thing twice at a time."""
    events: list[Event] = []
    labels = draw(st.lists(WORDS, min_size=1, max_size=3, unique=True))
    points = draw(st.lists(st.sampled_from(labels), max_size=1, unique=True))
    for subject in draw(st.lists(PLAIN | st.just(""), min_size=1, max_size=2, unique=True)):
        for label in labels:
            count = draw(st.integers(0, 4))
            steps = draw(
                st.lists(st.integers(1, 9_000_000), min_size=2 * count, max_size=2 * count)
            )
            times = [sum(steps[: n + 1]) / 1000 for n in range(len(steps))]
            for start, end in zip(times[::2], times[1::2], strict=True):
                events.append(
                    Event(
                        start,
                        start if label in points else end,
                        label,
                        subject,
                        tuple(draw(st.lists(PLAIN, max_size=2))),
                        comment=draw(PLAIN | st.just("")),
                        confidence=draw(st.sampled_from([None, 0.5, 1.0, 0.0123, 1e-5])),
                    )
                )
    return Annotations(tuple(events), recording="pen 1")


@pytest.mark.parametrize("name", ["csv", "boris", "boris-tabular", "boris-aggregated", "elan"])
@given(one=annotations())
@SETTINGS
def test_tables_and_projects_give_back_every_event(
    name: str, one: Annotations, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    assert "comments" not in write_annotations(one, path, format=name)
    (back,) = read_annotations(path, format=name)
    assert back.events == one.events
    if one.events:
        assert detect(path) == name


@pytest.mark.parametrize("name", ["edf", "bdf", "vtt", "activitynet"])
@given(one=annotations())
@SETTINGS
def test_simpler_formats_give_back_times_and_labels_and_name_the_rest(
    name: str, one: Annotations, tmp_path: Path
) -> None:
    if not one.events:
        return
    path = tmp_path / "x"
    lost = write_annotations(one, path, format=name)
    (back,) = read_annotations(path, format=name)
    expected = [
        (e.start_seconds, round(e.end_seconds + (name == "vtt" and e.is_point) / 1000, 3), e.label)
        for e in one.events
    ]
    found = [(e.start_seconds, round(e.end_seconds, 3), e.label) for e in back.events]
    assert sorted(found) == sorted(expected)
    assert ("comments" in lost) == any(e.comment for e in one.events)
    assert ("modifiers" in lost) == any(e.modifiers for e in one.events)


@given(
    values=st.lists(
        st.lists(st.sampled_from([0, 1]), min_size=2, max_size=2) | st.just([-1, -1]),
        min_size=1,
        max_size=40,
    )
)
@SETTINGS
def test_deepethogram_gives_back_every_cell(values: list[list[int]], tmp_path: Path) -> None:
    rows = [[n, -1 if row[0] < 0 else int(not any(row)), *row] for n, row in enumerate(values)]
    text = "\n".join([",background,a,b", *(",".join(map(str, row)) for row in rows)]) + "\n"
    path = tmp_path / "x_labels.csv"
    path.write_text(text)
    (one,) = read_annotations(path, fps=29.97)
    write_annotations(one, tmp_path / "y.csv", format="deepethogram")
    assert (tmp_path / "y.csv").read_text() == text
    # The background that nobody names is what DeepEthogram calls so.
    bare = [event for event in one.events if event.label != "background"]
    write_annotations(
        replace(one, events=tuple(bare), classes=("a", "b")),
        tmp_path / "z.csv",
        format="deepethogram",
    )
    assert (tmp_path / "z.csv").read_text() == text


@given(codes=st.lists(st.sampled_from(["W", "N1", "R", "?"]), min_size=1, max_size=60))
@SETTINGS
def test_lists_of_codes_come_back_line_by_line(codes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "n.txt"
    path.write_text("\n".join(codes) + "\n")
    (one,) = read_annotations(path, format="hypnogram", epoch_seconds=30)
    write_annotations(one, tmp_path / "m.txt", format="hypnogram", epoch_seconds=30)
    assert (tmp_path / "m.txt").read_text() == path.read_text()
    (frames,) = read_annotations(path, format="frames", fps=29.97)
    write_annotations(frames, tmp_path / "f.txt", format="frames", fps=29.97)
    assert (tmp_path / "f.txt").read_text() == path.read_text().replace("?", "unobserved")


STAGES = Annotations(
    (Event(0, 30, "wake"), Event(30, 90, "NREM"), Event(120, 150, "REM")),
    duration_seconds=150,
    observed=((0, 90), (120, 150)),
    started=datetime(2024, 5, 1, 22, 30),
)


def test_edf_calls_sleep_stages_as_sleep_software_expects(tmp_path: Path) -> None:
    path = tmp_path / "n.edf"
    write_annotations(STAGES, path)
    file = edfio.read_edf(path)
    assert [tuple(one) for one in file.annotations] == [
        (0, 30, "Sleep stage W"),
        (30, 60, "Sleep stage NREM"),
        (90, 30, "Sleep stage ?"),
        (120, 30, "Sleep stage R"),
    ]
    assert file.startdate.isoformat() == "2024-05-01"
    (back,) = read_annotations(path)
    assert (back.observed, back.started) == (STAGES.observed, STAGES.started)
    write_annotations(STAGES, path, nrem="Sleep stage N2")
    assert "Sleep stage N2" in {one.text for one in edfio.read_edf(path).annotations}
    # Among behaviours R may be rearing, and is left alone.
    write_annotations(Annotations((Event(0, 1, "R"), Event(1, 2, "dig"))), path)
    assert [one.text for one in edfio.read_edf(path).annotations] == ["R", "dig"]


def test_elan_files_are_what_pympi_reads(tmp_path: Path) -> None:
    events = (Event(0.5, 2, "lie", "sow", scorer="Kim"), Event(1, 3, "eat", "sow", scorer="Kim"))
    path = tmp_path / "a.eaf"
    write_annotations(Annotations(events, classes=("lie", "eat", "stand"), media=("a.mp4",)), path)
    eaf = pympi.Elan.Eaf(str(path))
    # A tier of ELAN holds one annotation at a time.
    assert eaf.get_annotation_data_for_tier("sow by Kim") == [(500, 2000, "lie")]
    assert eaf.get_annotation_data_for_tier("sow by Kim (2)") == [(1000, 3000, "eat")]
    assert eaf.get_parameters_for_tier("sow by Kim")["ANNOTATOR"] == "Kim"
    (back,) = read_annotations(path)
    assert (back.events, back.classes, back.media) == (events, ("lie", "eat", "stand"), ("a.mp4",))


def test_webvtt_is_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.vtt"
    write_annotations(Annotations((Event(1, 2.5, "a & b", "sow"), Event(2, 2, "p"))), path)
    cues = [(cue.start, cue.end, cue.text) for cue in webvtt.read(path)]
    assert cues == [
        ("00:00:01.000", "00:00:02.500", "a &amp; b"),
        ("00:00:02.000", "00:00:02.001", "p"),
    ]


def test_a_boris_project_passes_the_rules_that_boris_checks(tmp_path: Path) -> None:
    events = (
        Event(0, 5, "eat", "hen", ("corn",), confidence=0.25),
        Event(5, 6, "eat", "hen", ("corn",)),
        Event(1, 2, "eat", "hen", ("wheat",)),
        Event(3, 3, "peck", ""),
        Event(4, 4, "eat", "cock", comment="odd"),
    )
    one = Annotations(
        events,
        classes=("rest",),
        recording="pen",
        media=("pen.mp4",),
        media_seconds=(9.5,),
        duration_seconds=9.5,
        fps=25,
    )
    path = tmp_path / "p.boris"
    assert write_annotations(one, path) == ()
    project = json.loads(path.read_text())
    kinds = {b["code"]: b["type"] for b in project["behaviors_conf"].values()}
    assert kinds == {
        "rest": "State event",
        "eat": "State event",
        "eat (point)": "Point event",
        "peck": "Point event",
    }
    (observation,) = project["observations"].values()
    rows = observation["events"]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    for key in {tuple(row[1:4]) for row in rows}:
        if kinds[key[1]] == "State event":
            assert sum(tuple(row[1:4]) == key for row in rows) % 2 == 0, "every start has a stop"
    assert {row[1] for row in rows} - {""} == {
        one["name"] for one in project["subjects_conf"].values()
    }
    info = observation["media_info"]
    assert (observation["type"], info["length"], info["fps"]) == (
        "MEDIA",
        {"pen.mp4": 9.5},
        {"pen.mp4": 25},
    )
    assert info["hasVideo"].keys() == info["hasAudio"].keys() == {"pen.mp4"}
    (back,) = read_annotations(path)
    assert [e for e in back.events if e.label != "eat (point)"] == [
        e for e in one.events if e.comment != "odd"
    ]
    # Without a length BORIS would refuse the video; a live observation needs none.
    write_annotations(replace(one, media_seconds=()), path)
    (observation,) = json.loads(path.read_text())["observations"].values()
    assert observation["type"] == "LIVE"


def test_every_scorer_becomes_an_observation_of_its_own(tmp_path: Path) -> None:
    events = (Event(0, 5, "eat", scorer="Kim"), Event(1, 5, "eat", scorer="Lee"))
    one = Annotations(events, recording="pen")
    write_annotations(one, tmp_path / "p.boris")
    kim, lee = read_annotations(tmp_path / "p.boris")
    assert (kim.recording, kim.events) == ("pen by Kim", events[:1])
    assert (lee.recording, lee.events) == ("pen by Lee", events[1:])
    with pytest.raises(LabelError, match="choose one --scorer"):
        write_annotations(one, tmp_path / "p.csv", format="boris-tabular")


def test_what_a_format_cannot_hold_is_refused_in_one_line(tmp_path: Path) -> None:
    twice = Annotations((Event(0, 2, "a", row=2), Event(1, 3, "a", row=5)), path=Path("in.csv"))
    for name in ("boris", "boris-tabular"):
        with pytest.raises(LabelError, match=r"in\.csv, row 5: 'a' .* from row 2.*--merge"):
            write_annotations(twice, tmp_path / "x", format=name)
    with pytest.raises(LabelError, match="one label at a time"):
        write_annotations(twice, tmp_path / "x", format="frames", fps=2)
    with pytest.raises(LabelError, match="give the fps"):
        write_annotations(twice, tmp_path / "x", format="deepethogram")
    with pytest.raises(LabelError, match="length of its epochs"):
        write_annotations(twice, tmp_path / "x", format="hypnogram")
    with pytest.raises(LabelError, match="2 recordings, and a file of elan holds one"):
        write_annotations([twice, twice], tmp_path / "x.eaf")
    with pytest.raises(LabelError, match=r"row 3: the end, 1\.000 s, lies before"):
        write_annotations(Annotations((Event(2, 1, "a", row=3),)), tmp_path / "x.csv")
    with pytest.raises(LabelError, match="no events, and EDF"):
        write_annotations(Annotations(()), tmp_path / "x.edf")
    with pytest.raises(OptionError, match="only read"):
        write_annotations(twice, tmp_path / "x", format="timeline")
    with pytest.raises(OptionError, match="no format 'word'"):
        write_annotations(twice, tmp_path / "x", format="word")
    with pytest.raises(OptionError, match="does not say the format"):
        write_annotations(twice, tmp_path / "x.doc")
    with pytest.raises(OutputError, match="does not exist"):
        write_annotations(twice, tmp_path / "no" / "x.csv")
    assert list(tmp_path.iterdir()) == []


def test_endings_mean_one_format_each() -> None:
    assert format_of_name("a/B.EAF") == "elan"
    endings = [ending for format in FORMATS.values() for ending in format.suffixes]
    assert len(endings) == len(set(endings))
