"""Cameras that come and go: one clock, holes where they were away, and no label twice."""

from __future__ import annotations

import re
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from serving.helpers import Service, tiles, wait_for
from vigilia.errors import VideoError
from vigilia.serving.cameras import Backoff, Watch, camera_items
from vigilia.serving.frame_counts import FrameCounts
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.metrics import Metrics
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.wall_grid import ClockJumpedError, TickGrid
from vigilia.serving.watched import scrubbed
from vigilia.video import Gap, Sample, decoder

PIXELS = np.zeros((2, 2, 3), np.uint8)


class Wall:
    """A clock that only moves when it is told."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Fake:
    """A camera that shows `count` ticks at 4 a second, `ready` of them at once, and then ends."""

    start_seconds = 77.0

    def __init__(self, wall: Wall, count: int, *, speed: float = 1.0, ready: int = 1) -> None:
        self.wall, self.count, self.speed, self.closed = wall, count, speed, False
        self.ready = ready

    def samples(self, fps: float, max_gap_seconds: float = 2.0) -> Iterator[Sample | Gap]:
        for tick in range(self.count):
            seconds = self.start_seconds + tick / fps
            yield Sample(PIXELS, seconds, seconds, tick=tick, start_seconds=self.start_seconds)
            self.wall.now += self.speed / fps if tick >= self.ready - 1 else 0.0

    def close(self) -> None:
        self.closed = True


def watched(script: list[object], wall: Wall, **options) -> tuple[list[Sample | Gap], list]:
    """The items of a camera whose connections are `script`: fakes, errors, seconds away."""
    told: list[tuple[str, str]] = []
    watch = Watch(report=lambda status, problem: told.append((status, problem)), clock=wall)
    cameras: list[Fake] = []

    def connect() -> Fake:
        while script:
            step = script.pop(0)
            if isinstance(step, float):
                wall.now += step
                continue
            if isinstance(step, Exception):
                raise step
            assert isinstance(step, Fake)
            cameras.append(step)
            return step
        watch.stopped.set()
        raise VideoError("the end of the script")

    watch.wait = lambda seconds: False  # type: ignore[method-assign]
    items = list(
        camera_items(
            connect,
            watch,
            fps=4.0,
            max_gap_seconds=2.0,
            wall_start=options.pop("wall_start", None),
            on_wall_start=lambda seconds: told.append(("wall", str(seconds))),
            **options,
        )
    )
    assert all(camera.closed for camera in cameras)
    return items, told


def test_an_absence_is_a_hole_on_the_walls_clock() -> None:
    wall = Wall()
    items, told = watched([Fake(wall, 8), VideoError("nothing answers"), 10.0, Fake(wall, 4)], wall)
    samples = [item for item in items if isinstance(item, Sample)]
    holes = [item for item in items if isinstance(item, Gap)]
    assert [one.seconds for one in samples] == [k / 4 for k in [*range(8), *range(48, 52)]]
    assert holes == [Gap(2.0, 12.0)]
    assert told[0] == ("wall", "1000000.0")
    assert ("reconnecting", "nothing answers") in told


def test_what_comes_at_once_was_taken_while_the_connection_was_opened() -> None:
    wall = Wall()
    wall_start = wall.now - 100.0
    # Opening takes five seconds, and 20 of the ticks have come by then.
    items, _ = watched([5.0, Fake(wall, 40, ready=20)], wall, wall_start=wall_start)
    assert [one.seconds for one in items if isinstance(one, Sample)][:2] == [100.25, 100.5]
    assert abs(items[-1].seconds - (wall.now - wall_start)) < 0.6
    # A connection that took as long, with nothing ready, has seen nothing before it was open.
    wall = Wall()
    items, _ = watched([5.0, Fake(wall, 8)], wall, wall_start=wall.now - 100.0)
    assert next(one.seconds for one in items if isinstance(one, Sample)) == 105.0


def test_a_long_absence_is_written_while_it_lasts() -> None:
    wall = Wall()
    items, _ = watched([Fake(wall, 4), 40.0, VideoError("away"), 40.0, VideoError("away")], wall)
    holes = [item for item in items if isinstance(item, Gap)]
    assert holes == [Gap(1.0, 41.0), Gap(41.0, 81.0)]


def test_after_a_restart_it_goes_on_where_the_journal_ends() -> None:
    wall = Wall()
    items, _ = watched([Fake(wall, 4)], wall, wall_start=wall.now - 100.0, until_seconds=10.1)
    assert items[0] == Gap(10.25, 100.0), "a tick that is partly labelled is taken"
    assert items[1].seconds == 100.0


def test_a_clock_on_the_wall_that_is_put_back_repeats_no_second() -> None:
    wall = Wall()
    items, _ = watched([Fake(wall, 8), -3600.0, Fake(wall, 8)], wall)
    assert [item.seconds for item in items] == [k / 4 for k in range(16)]


def test_a_camera_whose_clock_is_slow_is_put_right_once_a_second_is_missing() -> None:
    wall = Wall()
    items, _ = watched([Fake(wall, 4 * 260, speed=1.01)], wall)
    holes = [item for item in items if isinstance(item, Gap)]
    assert holes, "its seconds are longer than the wall's"
    assert sum(one.end_seconds - one.start_seconds for one in holes) == pytest.approx(1.25, abs=0.3)
    last = [item for item in items if isinstance(item, Sample)][-1]
    assert abs(last.seconds - (wall.now - 1_000_000.0)) < 2


def test_a_camera_whose_clock_leaps_is_connected_again() -> None:
    grid = TickGrid(4.0, wall_start=0.0)
    grid.connect(0.0)
    assert grid.place(0, 0.0) == 0
    with pytest.raises(ClockJumpedError):
        grid.place(4 * 86_400, 0.25)
    grid.connect(5.0)
    assert grid.place(0, 5.0) == 20


def test_pauses_grow_to_a_limit_and_differ() -> None:
    backoff = Backoff()
    pauses = [backoff.next_seconds() for _ in range(12)]
    assert 0.8 <= pauses[0] <= 1.2
    assert all(48 <= pause <= 72 for pause in pauses[7:])
    assert len(set(pauses[7:])) > 1
    backoff.reset()
    assert backoff.next_seconds() <= 1.2


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://eve:s3cret@cam/1?key=abc: nothing answers",
        "Connection to eve:s3cret@cam failed",
        "401 for s3cret",
        "bad key=abc",
    ],
)
def test_no_message_holds_a_password(text: str) -> None:
    options = StreamOptions("barn", "rtsp://eve:s3cret@cam/1?key=abc", "address")
    told = scrubbed(text, options)
    assert "s3cret" not in told
    assert "abc" not in told
    assert "s3cret" not in repr(options)


@pytest.mark.parametrize(
    "source",
    [
        "rtsp://cam/user=admin&password=s3%40cret&channel=1.sdp",
        "rtsp://cam/user=admin_password=s3%40cret_channel=1_stream=0.sdp",
        "rtsp://cam/live?channel=1&pwd=s3%40cret",
        "rtsp://cam/live#token=s3%40cret",
        "rtsp://eve:s3%40cret@cam/live",
    ],
)
def test_no_message_holds_a_password_wherever_the_address_has_it(source: str) -> None:
    options = StreamOptions("barn", source, "address")
    for text in (source, f"{source}: 401", source.partition("cam")[2], "401 for s3%40cret"):
        assert "cret" not in scrubbed(text, options)
    assert "cret" not in scrubbed("401 for s3@cret", options)
    assert scrubbed("401 Unauthorized by cam", options) == "401 Unauthorized by cam"


@pytest.fixture
def sender(tmp_path: Path, make_video: Callable[..., Path]) -> Iterator[tuple[int, list[Path]]]:
    """A camera on a TCP port: each connection gets the next file of the list, then its end."""
    files: list[Path] = []
    server = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                if files:
                    connection.sendall(files.pop(0).read_bytes())

    threading.Thread(target=run, daemon=True).start()
    yield server.getsockname()[1], files
    ended.set()
    server.close()


def test_a_real_connection_that_breaks_is_made_again_and_may_change_its_size(
    serve: Callable[..., Service],
    tmp_path: Path,
    sender: tuple[int, list[Path]],
    make_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "next_seconds", lambda self: 0.1)
    port, files = sender
    # No wider than a test is long: four seconds each, over in no time, the second one smaller.
    files += [make_video(tmp_path / f"{seed}.ts", 33, seed=seed) for seed in range(2)]
    service = serve(tmp_path / "data")
    service.supervisor.add(StreamOptions("barn", f"tcp://127.0.0.1:{port}", "address"))
    watched = service.supervisor.get("barn")
    wait_for(lambda: watched.reconnects >= 2 and service.until("barn") >= 7)
    wait_for(lambda: service.status("barn") == "reconnecting")
    assert watched.problem
    tiles(list(service.reader.rows("barn")))
    wall_start = service.journal.wall_start("barn")
    assert abs(wall_start - time.time()) < 60
    service.close()
    rows = len(list(service.reader.rows("barn")))
    files.append(make_video(tmp_path / "3.ts", 33, seed=3))
    again = serve(tmp_path / "data")
    again.supervisor.add(StreamOptions("barn", f"tcp://127.0.0.1:{port}", "address"))
    wait_for(lambda: len(list(again.reader.rows("barn"))) > rows + 3)
    assert again.journal.wall_start("barn") == wall_start
    tiles(list(again.reader.rows("barn")))


def damaged(film: bytes) -> bytes:
    """An MPEG-4 film of which three frames have no sound head."""
    made = bytearray(film)
    for found in list(re.finditer(b"\x00\x00\x01\xb6", film))[10:13]:
        made[found.end() : found.end() + 32] = bytes(32)
    return bytes(made)


def test_frames_are_counted_by_what_came_of_them_over_all_connections(
    serve: Callable[..., Service],
    tmp_path: Path,
    sender: tuple[int, list[Path]],
    make_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Backoff, "next_seconds", lambda self: 0.1)
    port, files = sender
    film = make_video(tmp_path / "film.ts", 33)
    film.write_bytes(damaged(film.read_bytes()))
    files += [film, film]
    service, metrics = serve(tmp_path / "data"), Metrics()
    metrics.watch(service.supervisor)
    service.supervisor.add(StreamOptions("barn", f"tcp://127.0.0.1:{port}", "address"))
    watched = service.supervisor.get("barn")
    wait_for(lambda: watched.reconnects >= 2)
    service.supervisor.stop("barn")
    counts = watched.frames.now()
    assert counts["corrupt"] == 6
    assert counts["dropped"] == 0
    # Four samples a second, of twice some four seconds.
    assert 20 <= counts["sampled"] <= 40
    text = metrics.text().decode()
    for outcome, count in counts.items():
        line = f'vigilia_stream_frames_total{{outcome="{outcome}",stream="barn"}} {count:.1f}'
        assert line in text


def test_counts_of_frames_never_fall() -> None:
    def reader(dropped: int, corrupt: int) -> SimpleNamespace:
        return SimpleNamespace(dropped_frames=dropped, corrupt_packets=corrupt)

    frames, first = FrameCounts(), reader(0, 0)
    assert frames.now() == {"sampled": 0, "dropped": 0, "corrupt": 0}
    frames.read_by(first)
    items = frames.counted(
        iter([Sample(PIXELS, 0.0, 0.0), Gap(1.0, 9.0), Sample(PIXELS, 9.0, 9.0)])
    )
    next(items)
    first.dropped_frames, first.corrupt_packets = 2, 1
    assert frames.now() == {"sampled": 1, "dropped": 2, "corrupt": 1}, "while it reads"
    frames.read_by(reader(10, 0))
    assert frames.now() == {"sampled": 1, "dropped": 12, "corrupt": 1}
    assert len(list(items)) == 2
    assert frames.now() == {"sampled": 2, "dropped": 12, "corrupt": 1}, "and when it has ended"
    frames.set({"sampled": 5})
    assert frames.now() == {"sampled": 5, "dropped": 0, "corrupt": 0}


def test_a_camera_that_falls_silent_is_said_to(
    serve: Callable[..., Service],
    tmp_path: Path,
    make_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoder, "READ_TIMEOUT_SECONDS", 1.0)
    with LoopedCameras({"barn": make_video(tmp_path / "film.mp4", 40)}) as cameras:
        service = serve(tmp_path / "data")
        service.supervisor.add(StreamOptions("barn", cameras.address("barn"), "address"))
        wait_for(lambda: service.until("barn") > 1, 20)
        cameras.frozen.add("barn")
        wait_for(lambda: service.status("barn") == "reconnecting")
        assert "nothing came for 1 s" in service.supervisor.get("barn").problem


def broken_from_the_middle(film: Path, target: Path) -> Path:
    """The packets of a film; those of its second half hold nothing that could be decoded."""
    with av.open(str(film)) as source, av.open(str(target), "w", format="mpegts") as sink:
        stream = sink.add_stream_from_template(source.streams.video[0])
        packets = [one for one in source.demux(source.streams.video[0]) if one.size]
        for number, packet in enumerate(packets):
            sent = packet
            if number >= len(packets) // 2:
                sent = av.Packet(b"\0\0\1\xb6\xc0\xc0\xc0")
                sent.pts, sent.dts, sent.time_base = packet.pts, packet.dts, packet.time_base
            sent.stream = stream
            sink.mux(sent)
    return target


def test_a_camera_whose_packets_give_no_picture_is_connected_again(
    serve: Callable[..., Service],
    tmp_path: Path,
    make_video: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoder, "NO_PICTURE_SECONDS", 0.5)
    film = broken_from_the_middle(make_video(tmp_path / "film.ts", 400), tmp_path / "broken.ts")
    data = film.read_bytes()
    broken = len(data) - 188 * 200
    with closing(socket.create_server(("127.0.0.1", 0))) as server:

        def show() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):  # until it hangs up
                connection.sendall(data[:broken])
                for start in range(broken, len(data), 188):
                    connection.sendall(data[start : start + 188])
                    time.sleep(0.01)

        threading.Thread(target=show, daemon=True).start()
        service = serve(tmp_path / "data")
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        service.supervisor.add(StreamOptions("barn", address, "address"))
        wait_for(lambda: service.until("barn") > 1, 20)
        wait_for(lambda: service.status("barn") == "reconnecting", 20)
        assert "nothing could be decoded" in service.supervisor.get("barn").problem


def test_a_camera_that_is_first_seen_while_the_journal_is_locked_begins_when_it_is_not(
    serve: Callable[..., Service], tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    with LoopedCameras({"barn": make_video(tmp_path / "film.mp4", 80)}) as cameras:
        service = serve(tmp_path / "data")
        options = StreamOptions("barn", cameras.address("barn"), "address")
        watched = service.supervisor.add(options, running=False)
        other = sqlite3.connect(tmp_path / "data" / "journal.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        began = time.time()
        service.supervisor.host.start(watched)
        wait_for(lambda: "locked" in service.supervisor.problem)
        other.execute("ROLLBACK")
        wait_for(lambda: service.until("barn") > 2)
        assert service.status("barn") == "running"
        assert service.journal.wall_start("barn") == pytest.approx(began, abs=10)
    tiles(list(service.reader.rows("barn")))
