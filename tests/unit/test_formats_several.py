"""Several recordings in one file: each keeps its place, or the file is refused in one line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vigilia.errors import LabelError
from vigilia.timeline import FORMATS, Annotations, Event, read_annotations, write_annotations
from vigilia.timeline.formats.naming import numbered, short_paths
from vigilia.timeline.reading import of_video

SEVERAL = [name for name, one in FORMATS.items() if one.several and one.write is not None]
KNOWS_VIDEOS = ("feral",)
KNOWS_NAMES = ("csv", "xlsx", "activitynet", *KNOWS_VIDEOS)
PEN = Annotations(
    (Event(0, 4, "rest"),), recording="pen.mp4", media=("pen.mp4",), duration_seconds=4, fps=25.0
)
EATS = (Event(0, 3, "eat"),)
ALIKE = {
    "everything": replace(PEN, events=EATS),
    "the video": replace(PEN, events=EATS, recording="evening"),
    "a title": replace(PEN, events=EATS, media=()),
}


@pytest.mark.parametrize("alike", ALIKE)
@pytest.mark.parametrize("name", SEVERAL)
def test_of_two_recordings_that_are_called_alike_none_vanishes(
    name: str, alike: str, tmp_path: Path
) -> None:
    path = tmp_path / "x"
    several = [PEN, ALIKE[alike]]
    if name in (KNOWS_VIDEOS if alike == "the video" else KNOWS_NAMES):
        with pytest.raises(LabelError, match=r"2 recordings of the name 'pen\.mp4'") as refused:
            write_annotations(several, path, format=name)
        assert "\n" not in str(refused.value)
        assert ("(pen.mp4, evening)" in str(refused.value)) == (alike == "the video")
        assert not path.exists()
        return
    assert "recording" not in " ".join(write_annotations(several, path, format=name))
    back = read_annotations(path, format=name)
    assert [{event.label for event in one.events} for one in back] == [{"rest"}, {"eat"}]
    assert len({one.recording for one in back}) == 2


@pytest.mark.parametrize("name", SEVERAL)
def test_more_of_the_path_tells_videos_apart(name: str, tmp_path: Path) -> None:
    def task(video: str, label: str) -> dict:
        value = {"ranges": [{"start": 1, "end": 50}], "timelinelabels": [label]}
        result = [{"type": "timelinelabels", "value": value}]
        return {"data": {"video": video, "fps": 25}, "annotations": [{"result": result}]}

    tasks = tmp_path / "tasks.json"
    tasks.write_text(json.dumps([task("/1/pen.mp4", "rest"), task("/2/pen.mp4?v=7", "eat")]))
    read = read_annotations(tasks)
    assert [(one.recording, one.media) for one in read] == [
        ("1/pen.mp4", ("pen.mp4",)),
        ("2/pen.mp4", ("pen.mp4",)),
    ]
    assert of_video(read, "2/pen.mp4").labels == ("eat",)
    write_annotations(read, tmp_path / "x", format=name)
    back = read_annotations(tmp_path / "x", format=name, fps=25)
    assert [one.recording for one in back] == ["1/pen.mp4", "2/pen.mp4"]
    assert [one.events[-1].label for one in back] == ["rest", "eat"]


def test_two_people_who_scored_one_video_are_two_tasks_of_two_names(tmp_path: Path) -> None:
    write_annotations([PEN, ALIKE["everything"]], tmp_path / "x", format="label-studio")
    read = read_annotations(tmp_path / "x")
    assert [one.recording for one in read] == ["pen.mp4 (1)", "pen.mp4 (2)"]
    assert of_video(read, "pen.mp4 (1)").events == PEN.events
    with pytest.raises(LabelError, match="choose one with --recording"):
        of_video(read, "pen.mp4")


def test_scorers_and_titles_of_boris_do_not_take_each_others_place(tmp_path: Path) -> None:
    by_two = replace(PEN, events=(Event(0, 1, "a", scorer="Kim"), Event(1, 2, "b", scorer="Lee")))
    tricky = replace(PEN, recording="pen.mp4 by Kim")
    write_annotations([by_two, tricky], tmp_path / "x.boris")
    names = [one.recording for one in read_annotations(tmp_path / "x.boris")]
    assert names == ["pen.mp4 by Kim (1)", "pen.mp4 by Lee", "pen.mp4 by Kim (2)"]


def test_numbers_never_make_a_name_that_another_has() -> None:
    assert numbered(["a", "b", "a"]) == ["a (1)", "b", "a (2)"]
    assert numbered(["a", "a (1)", "a"]) == ["a (2)", "a (1)", "a (3)"]


def test_of_a_path_as_much_as_tells_it_apart() -> None:
    paths = ["/1/pen.mp4", "/2/pen.mp4", "C:\\3\\barn.mp4", "pen.mp4", "/1/pen.mp4"]
    expected = ["1/pen.mp4", "2/pen.mp4", "barn.mp4", "pen.mp4", "1/pen.mp4"]
    assert short_paths(paths) == expected
