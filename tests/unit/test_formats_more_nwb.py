"""NWB: files laid out as the format says are read, and what is written is what pynwb reads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import h5py
import pytest

from vigilia.errors import LabelError, MissingExtraError
from vigilia.timeline import Annotations, Event, read_annotations, write_annotations
from vigilia.timeline.formats import detect

Fill = Callable[[h5py.File], None]


def nwb(path: Path, fill: Fill) -> Path:
    """A file with the head of every NWB 2 file."""
    with h5py.File(path, "w") as file:
        file.attrs["nwb_version"] = "2.9.0"
        file["identifier"] = "session 1"
        file["session_start_time"] = "2026-01-02T03:04:05+01:00"
        fill(file)
    return path


def table(file: h5py.File, name: str, kind: str, **columns: Sequence[Any]) -> h5py.Group:
    group = file.create_group(f"processing/behavior/{name}")
    group.attrs["neurodata_type"] = kind
    group["id"] = list(range(len(next(iter(columns.values())))))
    for column, values in columns.items():
        group[column] = values
    return group


def test_bouts_of_an_ethogram_are_read_with_their_video_and_what_was_observed(
    tmp_path: Path,
) -> None:
    def fill(file: h5py.File) -> None:
        bouts = table(
            *(file, "bouts", "EthogramBouts"),
            start_time=[0.5, 2.0],
            stop_time=[2.0, 3.0],
            label=["rest", "walk"],
        )
        bouts.attrs["annotator"] = "Kim"
        video = file.create_group("acquisition/video")
        video.attrs["neurodata_type"] = "ImageSeries"
        video["external_file"] = ["C:\\videos\\a.mp4", "b.mp4"]
        video["external_file"].attrs["starting_frame"] = [0, 100]
        video["num_samples"] = 150
        video["starting_time"] = 0.0
        video["starting_time"].attrs["rate"] = 25.0
        bouts["source_video"] = h5py.SoftLink("/acquisition/video")
        seen = table(file, "seen", "TimeIntervals", start_time=[0.0], stop_time=[4.0])
        bouts["observation_intervals"] = h5py.SoftLink(seen.name)
        table(file, "ethogram", "Ethogram", behavior=["rest", "walk", "eat"])
        # Trials are no behaviour where there is an ethogram.
        table(file, "t", "TimeIntervals", start_time=[0.0], stop_time=[1.0], label=["trial"])

    path = nwb(tmp_path / "x", fill)
    assert detect(path) == "nwb"
    (one,) = read_annotations(path)
    assert one.events == (Event(0.5, 2, "rest", scorer="Kim"), Event(2, 3, "walk", scorer="Kim"))
    assert one == Annotations(
        one.events,
        ("rest", "walk", "eat"),
        "session 1",
        ("a.mp4", "b.mp4"),
        (4.0, 2.0),
        6.0,
        25.0,
        ((0.0, 4.0),),
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))),
    )


def test_intervals_series_and_points_of_other_tools_are_read(tmp_path: Path) -> None:
    def intervals(file: h5py.File) -> None:
        table(file, "t", "TimeIntervals", start_time=[1.0], stop_time=[2.0], behavior=["rest"])
        table(file, "epochs", "TimeIntervals", start_time=[0.0], stop_time=[9.0], tags_index=[1])
        table(file, "points", "EventsTable", timestamp=[1.5], label=["sneeze"])

    (one,) = read_annotations(nwb(tmp_path / "a", intervals))
    assert one.events == (Event(1, 2, "rest"), Event(1.5, 1.5, "sneeze"))

    def series(file: h5py.File) -> None:
        group = file.create_group("processing/behavior/Behaviors/grooming")
        group.attrs["neurodata_type"] = "IntervalSeries"
        group["data"] = [1, -1, 1, -1]
        group["timestamps"] = [0.5, 1.0, 2.0, 4.0]

    (one,) = read_annotations(nwb(tmp_path / "b", series))
    assert one.events == (Event(0.5, 1, "grooming"), Event(2, 4, "grooming"))
    assert (one.observed, one.fps) == (None, None)


def test_what_is_no_file_of_labels_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="NWB file without labelled intervals"):
        read_annotations(nwb(tmp_path / "a", lambda file: None))
    with h5py.File(tmp_path / "b", "w") as file:
        file["x"] = 1
    with pytest.raises(LabelError, match="HDF5, but no NWB 2 file"):
        read_annotations(tmp_path / "b")
    whole = nwb(tmp_path / "c", lambda file: None).read_bytes()
    (tmp_path / "d").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LabelError, match="damaged HDF5 file, or half-written"):
        read_annotations(tmp_path / "d")

    def backwards(file: h5py.File) -> None:
        group = file.create_group("processing/behavior/x")
        group.attrs["neurodata_type"] = "IntervalSeries"
        group["data"], group["timestamps"] = [-1], [0.5]

    with pytest.raises(LabelError, match="row 1: a bout ends that did not start"):
        read_annotations(nwb(tmp_path / "e", backwards))


def test_without_its_libraries_nwb_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = nwb(tmp_path / "a", lambda file: None)
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[nwb"):
        read_annotations(path)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[nwb"):
        write_annotations(Annotations((Event(0, 1, "a"),)), tmp_path / "b.nwb")


EVENTS = (
    Event(0.5, 3, "rest", "sow 1", ("left", "deep"), "Kim", "", 0.75),
    Event(2.5, 3.25, "walk", "sow 2", comment="slow; very"),
    Event(2.75, 2.75, "sneeze", "sow 2"),
    Event(4, 5, "rest"),
)


def test_pynwb_reads_and_validates_what_is_written(tmp_path: Path) -> None:
    pynwb = pytest.importorskip("pynwb", reason="the extra nwb is not installed")
    one = Annotations(
        *(EVENTS, ("eat",), "pen 1", ("a.mp4", "b.mp4"), (6.0, 4.0)),
        duration_seconds=10.0,
        fps=25.0,
        observed=((0, 4.5), (5, 10)),
        started=datetime(2026, 1, 2, 3, 4, 5),
    )
    path = tmp_path / "x.nwb"
    assert write_annotations(one, path) == ()
    assert pynwb.validate(path=str(path)) == []
    with pynwb.NWBHDF5IO(str(path), "r") as reader:
        behavior = reader.read().processing["behavior"]
        bouts = behavior["bouts"]
        assert bouts["label"][:].tolist() == ["rest", "walk", "rest"]
        assert bouts["stop_time"][:].tolist() == [3, 3.25, 5]
        assert (bouts.labeling_method, bouts.ethogram.exclusive) == ("automated", False)
        assert bouts.source_video.num_samples == 250
        assert bouts.observation_intervals["stop_time"][:].tolist() == [4.5, 10]
        types = behavior["ethogram"].to_dataframe()["behavior_type"].tolist()
        assert types == ["state", "state", "state", "point"]
        assert behavior["points"]["timestamp"][:].tolist() == [2.75]
    (back,) = read_annotations(path)
    assert back.events == EVENTS
    assert back.classes == ("eat", "rest", "walk", "sneeze")
    for name in ("recording", "media", "media_seconds", "fps", "observed", "started"):
        assert getattr(back, name) == getattr(one, name), name


def test_little_is_enough_to_write(tmp_path: Path) -> None:
    pytest.importorskip("pynwb", reason="the extra nwb is not installed")
    for events in ((Event(0, 1, "a"),), (Event(1, 1, "a"),), ()):
        write_annotations(Annotations(events, ("a",)), tmp_path / "x.nwb")
        (back,) = read_annotations(tmp_path / "x.nwb")
        assert (back.events, back.started, back.observed) == (events, None, None)
