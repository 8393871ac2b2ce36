"""What the user named becomes a list of files, or an address without its password."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from vigilia.errors import VideoError
from vigilia.video import find_videos
from vigilia.video.source import natural_key, redact, resolve


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_chunks_are_sorted_as_numbers(tmp_path: Path) -> None:
    names = ["chunk1.mp4", "chunk2.mp4", "chunk10.mp4", "Chunk11.MP4"]
    touch(*(tmp_path / name for name in reversed(names)), tmp_path / "notes.txt")
    assert [path.name for path in find_videos(tmp_path)] == names


def test_natural_order_is_the_order_of_numbers() -> None:
    numbers = random.Random(3).sample(range(100_000), 200)
    paths = sorted((Path(f"day/cam_{number}.mp4") for number in numbers), key=natural_key)
    assert paths == [Path(f"day/cam_{number}.mp4") for number in sorted(numbers)]


def test_a_folder_of_day_folders_is_searched_if_it_holds_no_video_itself(tmp_path: Path) -> None:
    touch(tmp_path / "2" / "a.avi", tmp_path / "10" / "a.avi", tmp_path / ".trash" / "b.avi")
    assert find_videos(tmp_path) == [tmp_path / "2" / "a.avi", tmp_path / "10" / "a.avi"]
    touch(tmp_path / "own.mp4")
    assert find_videos(tmp_path) == [tmp_path / "own.mp4"]


def test_hidden_files_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path / "._pen.mp4", tmp_path / "pen.mp4")
    assert find_videos(str(tmp_path)) == [tmp_path / "pen.mp4"]


def test_a_pattern_names_its_matches_and_a_real_name_wins_over_it(tmp_path: Path) -> None:
    touch(tmp_path / "pen1.mp4", tmp_path / "pen2.mp4", tmp_path / "pen1.csv")
    assert find_videos(f"{tmp_path}/pen*") == [tmp_path / "pen1.mp4", tmp_path / "pen2.mp4"]
    touch(tmp_path / "pen[1].mp4")
    assert find_videos(tmp_path / "pen[1].mp4") == [tmp_path / "pen[1].mp4"]


def test_a_file_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    touch(tmp_path / "record.bin")
    assert find_videos(tmp_path / "record.bin") == [tmp_path / "record.bin"]
    assert resolve((tmp_path / "record.bin").as_uri()).parts == (tmp_path / "record.bin",)


@pytest.mark.parametrize("name", ["absent.mp4", "absent*.mp4", "."])
def test_nothing_there_is_one_line_that_names_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(VideoError) as caught:
        find_videos(tmp_path / name)
    message = str(caught.value)
    assert str(tmp_path / name) in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["~nosuchuser/a.mp4", "file://[a.mp4", "a" * 5000])
def test_a_name_that_cannot_be_is_told_in_one_line(name: str) -> None:
    with pytest.raises(VideoError) as caught:
        resolve(name)
    assert str(caught.value).startswith(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://user:s3cret@cam.local:554/ch1", "rtsp://cam.local:554/ch1"),
        ("rtsp://user:s3@cret@10.0.0.2/ch1", "rtsp://10.0.0.2/ch1"),
        ("http://cam/video?user=admin&password=s3cret", "http://cam/video?..."),
        ("rtsp://cam/live", "rtsp://cam/live"),
        ("rtsp://cam/user=admin&password=s3cret&channel=1.sdp", "rtsp://cam/user=..."),
        ("rtsp://cam/h264/user=admin_password=s3cret_channel=1", "rtsp://cam/h264/user=..."),
        ("rtsp://cam/live/Password%3ds3cret", "rtsp://cam/live/Password%3d..."),
        ("rtsp://cam/ch1;token=s3cret;x", "rtsp://cam/ch1;token=..."),
        ("http://cam/u=admin/p=s3cret/1.jpg", "http://cam/u=..."),
        ("rtsp://cam/live#s3cret", "rtsp://cam/live"),
        ("rtsp://cam/stream=1&channel=2", "rtsp://cam/stream=1&channel=2"),
        ("rtsp://user:s3cret@[cam/1", "rtsp://..."),
    ],
)
def test_names_of_addresses_hold_no_password(address: str, shown: str) -> None:
    source = resolve(address)
    assert redact(address) == source.name == shown
    assert "cret" not in repr(source)
    assert source.address == address


def test_cameras_and_streams_are_live_and_files_are_not(tmp_path: Path) -> None:
    touch(tmp_path / "a.mp4")
    assert resolve("rtsp://cam/live").live
    assert not resolve(tmp_path / "a.mp4").live


@pytest.mark.parametrize("name", ["/dev/video3", "webcam:3"])
def test_a_camera_of_this_computer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    source = resolve(name)
    assert (source.address, source.format, source.live) == ("/dev/video3", "video4linux2", True)
    monkeypatch.setattr("sys.platform", "darwin")
    assert resolve(name).address == "3"
