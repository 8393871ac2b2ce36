"""Snapshots that cannot be used or written: passed over, counted, and nothing is lost by it."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import tiny_model
from serving.helpers import Service, file_options, same, tiles, wait_for
from vigilia.errors import OutputError
from vigilia.serving import snapshots
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.snapshots import SnapshotFolder
from vigilia.serving.stream_options import StreamOptions
from vigilia.timeline import Timeline

Serve = Callable[..., Service]


def damage(data: bytes) -> bytes:
    return data[: len(data) // 2]


def of_another_model(data: bytes) -> bytes:
    """As long, with a hash of which the first digit is another."""
    at = data.index(b'"model":"') + 9
    return data[:at] + (b"0" if data[at : at + 1] != b"0" else b"1") + data[at + 1 :]


@pytest.mark.parametrize("spoil", [damage, of_another_model])
def test_a_recording_whose_snapshot_cannot_be_used_is_read_from_its_beginning(
    serve: Serve,
    tmp_path: Path,
    recording: Path,
    offline: Timeline,
    spoil: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.until("pen") > 5)
    service.close()
    file = tmp_path / "snapshots" / "pen.safetensors"
    file.write_bytes(spoil(file.read_bytes()))
    kept = len(list(service.reader.rows("pen")))
    again = serve(tmp_path)
    heard: list[float] = []
    again.supervisor.hub.add_sink(
        lambda event: heard.append(event.data["start_seconds"]) if event.kind == "label" else None
    )
    again.supervisor.add(file_options(recording))
    wait_for(lambda: again.status("pen") == "ended")
    same(again, offline)
    assert "the snapshot is passed over" in caplog.text
    assert len(list(again.reader.rows("pen"))) == kept + len(heard), "nothing is announced twice"


def watched_for_a_while(service: Service, address: str) -> list[str]:
    """Watches a camera for some clips; the streams that went on with what they remembered."""
    resumed: list[str] = []
    engine = service.supervisor.host._engine
    resume = engine.resume
    engine.resume = lambda name, state: resumed.append(name) or resume(name, state)
    watched = service.supervisor.add(StreamOptions("barn", address, "address"))
    wait_for(lambda: watched.counts["stepped"] > 2)
    service.close()
    return resumed


def test_a_cameras_model_may_be_exchanged_and_its_memory_begins_empty(
    serve: Serve, tmp_path: Path, make_video: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    with LoopedCameras({"barn": make_video(tmp_path / "film.mp4", 80)}) as cameras:
        address = cameras.address("barn")
        assert watched_for_a_while(serve(tmp_path), address) == []
        assert watched_for_a_while(serve(tmp_path), address) == ["barn/1"]
        assert "passed over" not in caplog.text
        other = serve(tmp_path, model=tiny_model(2))
        assert watched_for_a_while(other, address) == [], "nothing that another model remembered"
        assert "the snapshot is passed over" in caplog.text
        other = serve(tmp_path, model=tiny_model(2))
        assert watched_for_a_while(other, address) == ["barn/1"], "but what it did itself"
    tiles(list(other.reader.rows("barn")))


def test_a_camera_whose_snapshot_is_damaged_goes_on_with_an_empty_memory(
    serve: Serve, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    with LoopedCameras({"barn": make_video(tmp_path / "film.mp4", 80)}) as cameras:
        first = serve(tmp_path)
        watched_for_a_while(first, cameras.address("barn"))
        until = first.until("barn")
        file = tmp_path / "snapshots" / "barn.safetensors"
        file.write_bytes(damage(file.read_bytes()))
        again = serve(tmp_path)
        assert watched_for_a_while(again, cameras.address("barn")) == []
    rows = list(again.reader.rows("barn"))
    tiles(rows)
    assert rows[-1][0] > until


def test_a_model_of_other_classes_is_refused(
    serve: Serve, tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    with LoopedCameras({"barn": make_video(tmp_path / "film.mp4", 80)}) as cameras:
        address = cameras.address("barn")
        watched_for_a_while(serve(tmp_path), address)
        other = serve(tmp_path, model=tiny_model(2, classes=("rest", "walk", "eat", "fly")))
        watched = other.supervisor.add(StreamOptions("barn", address, "address"))
    assert watched.status == "failed"
    assert "classes" in watched.problem


def test_a_snapshot_that_cannot_be_written_is_counted_and_streams_go_on(
    serve: Serve,
    tmp_path: Path,
    recording: Path,
    offline: Timeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(snapshots, "write_atomically", full)
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.status("pen") == "ended")
    assert service.supervisor.write_failures > 5
    assert service.supervisor.problem == "", "labels are written"
    same(service, offline)


def test_what_a_kill_left_half_written_goes_and_others_cannot_look(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    folder.mkdir(mode=0o755)
    left = folder / ".pen.safetensors.4711.0a1b2c3d.tmp"
    kept = folder / "pen.safetensors"
    for file in (left, kept):
        file.write_bytes(b"a picture of the barn")
    SnapshotFolder(folder, "model")
    assert not left.exists()
    assert kept.exists()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
