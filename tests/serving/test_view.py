"""A finished recording over HTTP: every answer of the interface, corrections, who may ask."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from starlette.testclient import TestClient

from vigilia.errors import InputError, LabelError, OptionError
from vigilia.serving.stills import Stills
from vigilia.serving.view import create_view_app
from vigilia.serving.view_corrections import CorrectionFile, Said, apply_corrections
from vigilia.serving.view_guard import loopback_socket
from vigilia.serving.view_recording import ViewedRecording
from vigilia.timeline import (
    Interval,
    Labels,
    Scores,
    Segment,
    Timeline,
    read_labels,
    read_labels_of,
)
from vigilia.timeline.formats import read_annotations
from vigilia.video import open_video

CLASSES = ("wake", "NREM", "REM")
SEGMENTS = (
    Segment(0.0, 4.0, "wake", 0.9),
    Segment(4.0, 6.0, "NREM", 0.5),
    Segment(6.0, 7.0, None, 0.0),
    Segment(7.0, 10.0, "REM", 0.75),
)


def timeline_of_pen() -> Timeline:
    rows = [k for k in range(10) if k != 6]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(3), len(rows))
    scores = Scores(np.array(rows, float), np.array(rows, float) + 1, probabilities)
    return Timeline(CLASSES, SEGMENTS, scores=scores, source="pen 1.mp4")


@pytest.fixture(scope="module")
def pen_video(tmp_path_factory: pytest.TempPathFactory, make_video: Callable[..., Path]) -> Path:
    return make_video(tmp_path_factory.mktemp("view") / "pen 1.mp4", 80)


@pytest.fixture
def corrections(tmp_path: Path) -> CorrectionFile:
    return CorrectionFile(tmp_path / "timeline.corrections.csv", timeline_of_pen())


@pytest.fixture
def client(pen_video: Path, corrections: CorrectionFile) -> Iterator[TestClient]:
    truth = Labels((Interval(0.0, 5.0, "wake"), Interval(5.0, 10.0, "NREM")), Path("truth.csv"))
    recording = ViewedRecording(pen_video, timeline_of_pen(), corrections, truth)
    with TestClient(create_view_app(recording), base_url="http://127.0.0.1:8000") as found:
        yield found


ROOT = "/api/v1/streams/pen-1"


def test_the_recording_is_the_only_stream_under_a_name_that_fits_an_address(
    client: TestClient,
) -> None:
    (stream,) = client.get("/api/v1/streams").json()
    assert (stream["name"], stream["source"], stream["live"]) == ("pen-1", "pen 1.mp4", False)
    assert stream["classes"] == list(CLASSES)
    assert client.get("/api/v1/streams/other/timeline").status_code == 404


def test_a_stretch_of_the_timeline_holds_the_segments_that_reach_into_it(
    client: TestClient,
) -> None:
    whole = client.get(f"{ROOT}/timeline").json()
    assert [one["label"] for one in whole["segments"]] == ["wake", "NREM", None, "REM"]
    assert [one["label"] for one in whole["truth"]] == ["wake", "NREM"]
    assert whole["until_seconds"] == 10.0
    part = client.get(f"{ROOT}/timeline?from=4&to=6.5").json()["segments"]
    assert [(one["start_seconds"], one["label"]) for one in part] == [(4.0, "NREM"), (6.0, None)]


def test_long_timelines_come_in_pieces_that_join(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vigilia.serving.view_recording.MOST_SEGMENTS", 2)
    first = client.get(f"{ROOT}/timeline").json()
    rest = client.get(f"{ROOT}/timeline?from={first['segments'][-1]['end_seconds']}").json()
    assert (first["truncated"], rest["truncated"]) == (True, False)
    starts = [one["start_seconds"] for one in first["segments"] + rest["segments"]]
    assert starts == [one.start_seconds for one in SEGMENTS]


def test_seconds_are_the_scores_and_none_where_nothing_was_observed(client: TestClient) -> None:
    scores = timeline_of_pen().scores
    assert scores is not None
    found = client.get(f"{ROOT}/seconds?from=5&to=8").json()
    assert (found["start_seconds"], found["step_seconds"]) == (5.0, 1.0)
    five, six, seven = found["probabilities"]
    assert six is None
    np.testing.assert_allclose([five, seven], scores.probabilities[[5, 6]], atol=1e-4)


def test_few_points_are_averages_of_the_scores(client: TestClient) -> None:
    scores = timeline_of_pen().scores
    assert scores is not None
    found = client.get(f"{ROOT}/seconds?points=5").json()
    assert found["step_seconds"] == 2.0
    np.testing.assert_allclose(
        found["probabilities"][0], scores.probabilities[:2].mean(0), atol=1e-4
    )


def test_what_a_recording_does_not_have_is_a_404_in_one_line(client: TestClient) -> None:
    answer = client.get(f"{ROOT}/memory")
    assert answer.status_code == 404
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("query", ["from=nan", "to=inf", "points=0", "from=x"])
def test_numbers_that_are_none_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"{ROOT}/seconds?{query}").status_code == 400


def test_a_frame_is_the_one_that_the_reader_shows_at_that_moment(
    client: TestClient, pen_video: Path
) -> None:
    answer = client.get(f"{ROOT}/frame.jpg?seconds=3.3")
    assert float(answer.headers["x-frame-seconds"]) == 3.25
    with av.open(io.BytesIO(answer.content)) as picture:
        shown = next(picture.decode(video=0)).to_ndarray(format="rgb24").astype(float)
    with open_video(pen_video) as video:
        frames = {frame.seconds: frame.pixels for frame in video}
    errors = {when: np.abs(shown - pixels).mean() for when, pixels in frames.items()}
    assert min(errors, key=lambda when: errors[when]) == 3.25


def test_stills_in_any_order_are_the_same_frames(pen_video: Path) -> None:
    with open_video(pen_video) as video:
        frames = {frame.seconds: frame.pixels for frame in video}
    stills = Stills(pen_video)
    for seconds in (5.0, 5.1, 1.0, 9.9, 99.0, 0.0, 2.5, 8.0):
        shown = stills.at(seconds)
        assert shown.seconds == max(when for when in frames if when <= seconds)
        np.testing.assert_array_equal(shown.pixels, frames[shown.seconds])
    stills.close()


def test_the_video_is_served_in_ranges(client: TestClient, pen_video: Path) -> None:
    answer = client.get(f"{ROOT}/video", headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, pen_video.read_bytes()[10:20])
    assert client.get(f"{ROOT}/parts").json()[0]["offset_seconds"] == 0.0


def test_a_correction_is_told_kept_and_taken_back(
    client: TestClient, corrections: CorrectionFile
) -> None:
    body = {"start_seconds": 3.0, "end_seconds": 5.0, "label": "REM", "by": "Anna  B\n"}
    made = client.post(f"{ROOT}/corrections", json=body)
    assert made.status_code == 201
    assert made.json()["by"] == "Anna B"
    assert client.get(f"{ROOT}/corrections").json() == [made.json()]
    labels = read_labels(corrections.path)
    assert labels.intervals == (Interval(3.0, 5.0, "REM"),)
    table = client.get(f"{ROOT}/export?format=csv&corrected=true").text
    assert table.splitlines()[1:4] == [
        "0.000,3.000,wake,0.9000",
        "3.000,5.000,REM,1.0000",
        "5.000,6.000,NREM,0.5000",
    ]
    assert "REM,1.0000" not in client.get(f"{ROOT}/export?format=csv").text
    id = made.json()["id"]
    assert client.delete(f"{ROOT}/corrections?id={id}").status_code == 204
    assert client.delete(f"{ROOT}/corrections?id={id}").status_code == 404
    assert client.get(f"{ROOT}/corrections").json() == []
    assert not corrections.path.exists()


@pytest.mark.parametrize(
    "body",
    [
        {"start_seconds": 1, "end_seconds": 2, "label": "eating"},
        {"start_seconds": 2, "end_seconds": 2, "label": "REM"},
        {"start_seconds": 5, "end_seconds": 50, "label": "REM"},
        {"start_seconds": 1, "end_seconds": 2},
        {"start_seconds": 1, "end_seconds": 2, "label": "REM", "by": "a" * 101},
        {"start_seconds": 1, "end_seconds": 2, "label": "REM", "more": 1},
    ],
)
def test_a_correction_that_cannot_be_is_refused(
    client: TestClient, corrections: CorrectionFile, body: dict[str, object]
) -> None:
    assert client.post(f"{ROOT}/corrections", json=body).status_code == 400
    assert not corrections.path.exists()


@pytest.mark.parametrize("format", ["csv", "json", "vtt", "boris", "elan", "edf"])
def test_every_download_can_be_read_back(client: TestClient, tmp_path: Path, format: str) -> None:
    suffix = {one["format"]: one["suffix"] for one in client.get("/api/v1/formats").json()}[format]
    answer = client.get(f"{ROOT}/export?format={format}")
    assert f"pen%201{suffix}" in answer.headers["content-disposition"]
    path = tmp_path / f"found{suffix}"
    path.write_bytes(answer.content)
    (found,) = read_annotations(path)
    spans = [(event.start_seconds, event.end_seconds) for event in found.events]
    assert spans == [(0.0, 4.0), (4.0, 6.0), (7.0, 10.0)]


def test_the_summary_counts_corrections_only_if_asked(client: TestClient) -> None:
    body = {"start_seconds": 4.0, "end_seconds": 6.0, "label": "wake"}
    client.post(f"{ROOT}/corrections", json=body)
    plain = client.get(f"{ROOT}/summary").json()
    corrected = client.get(f"{ROOT}/summary?corrected=true").json()
    assert [one["seconds"] for one in plain["classes"]] == [4.0, 2.0, 3.0]
    assert [one["seconds"] for one in corrected["classes"]] == [6.0, 0.0, 3.0]
    assert plain["unobserved_seconds"] == 1.0
    assert plain["sleep"]["total_sleep_seconds"] == 5.0


def test_other_hosts_other_sites_and_large_bodies_are_refused(client: TestClient) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    body = {"start_seconds": 1, "end_seconds": 2, "label": "REM"}
    address = f"{ROOT}/corrections"
    foreign = {"Origin": "http://evil.example"}
    assert client.post(address, json=body, headers=foreign).status_code == 403
    own = {"Origin": "http://127.0.0.1:8000"}
    assert client.post(address, json=body, headers=own).status_code == 201
    assert client.post(address, content=b" " * 5000).status_code == 413
    assert client.get("/..%2fview.py").status_code == 404


def test_the_page_forbids_foreign_scripts(client: TestClient) -> None:
    answer = client.get("/")
    assert "<title>Vigilia</title>" in answer.text
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]


def test_corrections_are_read_again_and_a_later_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    timeline = timeline_of_pen()
    first = CorrectionFile(path, timeline)
    first.add(0.0, 6.0, "REM", "a")
    inner = first.add(2.0, 3.0, None, "b")
    first.add(8.0, 9.0, "wake", "")
    again = CorrectionFile(path, timeline)
    told = [(one.start_seconds, one.end_seconds, one.label) for one in again.corrections]
    assert told == [(0.0, 2.0, "REM"), (2.0, 3.0, None), (3.0, 6.0, "REM"), (8.0, 9.0, "wake")]
    first.remove(inner.id)
    told = [
        (one.start_seconds, one.end_seconds) for one in CorrectionFile(path, timeline).corrections
    ]
    assert told == [(0.0, 6.0), (8.0, 9.0)]


def test_corrections_of_another_timeline_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("start_seconds,end_seconds,label\n1,2,eating\n")
    with pytest.raises(LabelError, match=r"c\.csv, row 2: 'eating' is none of the classes"):
        CorrectionFile(path, timeline_of_pen())


def test_a_corrected_timeline_says_at_every_moment_what_was_said_last() -> None:
    random = np.random.default_rng(3)
    edges = np.unique(random.integers(0, 400, 60)) / 4
    timeline = Timeline(
        CLASSES,
        tuple(
            Segment(a, b, [*CLASSES, None][random.integers(4)], 0.5)
            for a, b in itertools.pairwise(edges.tolist())
        ),
    )
    said = []
    for id in range(25):
        a, b = np.sort(random.choice(np.arange(edges[0] * 8, edges[-1] * 8), 2, False) / 8)
        said.append(Said(id, float(a), float(b), [*CLASSES, None][random.integers(4)], "", 0.0))
    found = apply_corrections(timeline, said)
    for moment in np.arange(timeline.start_seconds, timeline.end_seconds, 0.11):
        covering = [one for one in said if one.start_seconds <= moment < one.end_seconds]
        expected = covering[-1].label if covering else timeline.label_at(moment)
        assert found.label_at(moment) == expected
    assert found.duration_seconds == timeline.duration_seconds


def test_an_empty_timeline_and_a_taken_port_are_told_in_one_line(
    corrections: CorrectionFile,
) -> None:
    with pytest.raises(OptionError, match="empty"):
        ViewedRecording(None, Timeline(CLASSES, ()), corrections)
    with loopback_socket() as taken:
        taken.listen()
        with pytest.raises(InputError, match="leave --port out"):
            loopback_socket(taken.getsockname()[1])


def test_view_says_at_once_that_there_is_no_video(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vigilia.cli import main

    assert main(["view", str(tmp_path / "no.mp4"), str(tmp_path)]) == 2
    assert "no.mp4" in capsys.readouterr().err


def test_what_two_people_said_of_two_recordings_is_one_table_to_train_on(tmp_path: Path) -> None:
    tables = []
    for name in ("pen 1.mp4", "pen 2.mp4"):
        # Only a .json knows its source.
        timeline = Timeline(CLASSES, SEGMENTS, source="pen 1.mp4" if name == "pen 1.mp4" else "")
        file = CorrectionFile(tmp_path / f"{name}.csv", timeline, name)
        file.add(0.0, 2.0, "REM", "Anna")
        file.add(2.0, 3.0, "wake", "Ben")
        tables.append(file.path.read_text().splitlines())
    both = tmp_path / "both.csv"
    both.write_text("\n".join([*tables[0], *tables[1][1:], ""]))
    expected = (Interval(0.0, 2.0, "REM"), Interval(2.0, 3.0, "wake"))
    found = read_labels_of(both, ["/barn/pen 1.mp4", "/barn/pen 2.mp4"])
    assert [labels.intervals for labels in found] == [expected, expected]


def test_who_said_that_nothing_can_be_seen_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    CorrectionFile(path, timeline_of_pen()).add(6.0, 7.0, None, "Ben")
    (again,) = CorrectionFile(path, timeline_of_pen()).corrections
    assert (again.start_seconds, again.end_seconds, again.label) == (6.0, 7.0, None)
    assert again.by == "Ben"


def test_a_file_with_a_column_of_scorers_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("start_seconds,end_seconds,label,scorer\n2,3,REM,Anna\n7,8,unobserved,Ben\n")
    said = CorrectionFile(path, timeline_of_pen()).corrections
    told = [(one.start_seconds, one.end_seconds, one.label, one.by) for one in said]
    assert told == [(2.0, 3.0, "REM", "Anna"), (7.0, 8.0, None, "Ben")]


def test_corrections_of_several_recordings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("video,start_seconds,end_seconds,label\na.mp4,1,2,REM\nb.mp4,1,2,REM\n")
    with pytest.raises(LabelError, match=r"2 recordings \(a.mp4, b.mp4\)"):
        CorrectionFile(path, timeline_of_pen())
