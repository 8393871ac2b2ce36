"""The end: within seconds, with everything saved, whatever hangs."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from serving.helpers import Service, file_options, tiles, wait_for
from vigilia.serving import stepping, writing
from vigilia.serving.ending import Ending
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.reading import Reader


def rest_of(connection: socket.socket) -> bytes:
    """What was sent before it was closed."""
    data = b""
    while piece := connection.recv(65_536):
        data += piece
    return data


@pytest.mark.long
def test_told_to_end_it_ends_in_seconds_with_everything_saved(
    tmp_path: Path, make_video: Callable[..., Path], model_files: dict[str, Path]
) -> None:
    film = make_video(tmp_path / "pen.mp4", 80)
    with LoopedCameras({"works": film, "hangs": film}) as cameras:
        streams = "".join(
            f'[[streams]]\nname = "{name}"\nsource = "{cameras.address(name)}"\n'
            for name in cameras.films
        )
        config = tmp_path / "serve.toml"
        config.write_text(
            f'bind = "127.0.0.1:0"\nmodel = "{model_files["fam"]}"\n'
            f"snapshot_seconds = 3600\n{streams}"
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "vigilia", "serve", str(config)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        port = next(int(found[1]) for line in lines if (found := re.search(r"open .*:(\d+)", line)))
        said: list[str] = []
        hearing = threading.Thread(target=lambda: said.append(process.stderr.read()), daemon=True)
        hearing.start()
        reader = Reader(tmp_path / "vigilia-data" / "journal.sqlite")
        wait_for(lambda: all(len(list(reader.rows(name))) > 2 for name in cameras.films))
        cameras.frozen.add("hangs")
        # Somebody listens, and somebody never finishes asking.
        listener = socket.create_connection(("127.0.0.1", port))
        listener.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in listener.recv(100)
        slow = socket.create_connection(("127.0.0.1", port))
        slow.sendall(
            b"POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20\r\n\r\n"
        )
        told = time.time()
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)  # impatience changes nothing
        assert process.wait(timeout=120) == 0
        # Sooner than systemd would kill it; the camera alone would take ten seconds.
        assert time.time() - told < 20
        hearing.join(20)
        assert "by force" not in said[0]
        assert not (tmp_path / "vigilia-data" / "journal.sqlite-wal").exists(), "it was closed"
        assert rest_of(listener).endswith(b"0\r\n\r\n"), "the event stream came to its end"
        listener.close()
        slow.close()
    data = tmp_path / "vigilia-data"
    for name in cameras.films:
        rows = list(reader.rows(name))
        tiles(rows)
        # Behind a hole there is no state worth keeping.
        if rows[-1][2] is not None:
            assert (data / "snapshots" / f"{name}.safetensors").stat().st_mtime >= told - 1
    with closing(sqlite3.connect(data / "journal.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_hangs_is_left_behind_and_the_journal_closed(
    serve: Callable[..., Service], tmp_path: Path, recording: Path
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.until("pen") > 2)
    left: list[int] = []
    hanging = threading.Event()
    service.supervisor.close = hanging.wait  # type: ignore[method-assign]
    ending = Ending(service.supervisor, most_seconds=0.2, leave=left.append)
    ending.begin()
    ending.begin()
    wait_for(lambda: left)
    assert left == [1], "it is said that not everything was saved"
    with pytest.raises(sqlite3.ProgrammingError):
        service.journal.wall_start("pen")
    hanging.set()
    del service.supervisor.close


def test_an_end_without_a_signal_leaves_the_process_alone(
    serve: Callable[..., Service], tmp_path: Path
) -> None:
    left: list[int] = []
    ending = Ending(serve(tmp_path).supervisor, most_seconds=0.01, leave=left.append)
    ending.save()
    wait_for(lambda: not ending._saving.is_alive())
    ending.finish()
    time.sleep(0.1)
    assert left == []


def test_a_camera_that_hangs_does_not_hold_up_the_others(
    serve: Callable[..., Service], tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    from vigilia.serving.stream_options import StreamOptions

    film = make_video(tmp_path / "pen.mp4", 80)
    service = serve(tmp_path / "data")
    with LoopedCameras({str(k): film for k in range(3)}) as cameras:
        for name in cameras.films:
            service.supervisor.add(StreamOptions(name, cameras.address(name), "address"))
        wait_for(lambda: all(service.until(name) > 1 for name in cameras.films))
        cameras.frozen.update(cameras.films)
        time.sleep(0.3)
        began = time.monotonic()
        assert not service.supervisor.close(), "their threads wait for the next frame"
        # One after the other, they would take thirty.
        assert time.monotonic() - began < 9
    for name in cameras.films:
        assert (tmp_path / "data" / "snapshots" / f"{name}.safetensors").exists()
        assert service.status(name) == "stopped"
    assert os.path.exists(service.journal.path)


def hurt(service: Service, error: Exception | None, hanging: threading.Event) -> None:
    """The next steps raise an error, or hang."""

    def poll() -> list:
        if error is not None:
            raise error
        hanging.wait()
        return []

    service.supervisor.host._engine.poll = poll


def test_an_error_that_ends_the_stepping_ends_the_process_with_status_1(
    serve: Callable[..., Service], tmp_path: Path, recording: Path
) -> None:
    service = serve(tmp_path)
    left: list[int] = []
    ending = Ending(service.supervisor, leave=left.append)
    ending.watch()
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.until("pen") > 2)
    assert left == []
    hurt(service, RuntimeError("the device is gone"), threading.Event())
    wait_for(lambda: left)
    assert left == [1]
    assert "the device is gone" in service.supervisor.problem
    with pytest.raises(sqlite3.ProgrammingError):
        service.journal.wall_start("pen")


def test_a_step_that_hangs_is_no_health_and_a_full_disk_is(
    serve: Callable[..., Service],
    tmp_path: Path,
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stepping, "HANGS_SECONDS", 1.0)
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.until("pen") > 2)
    monkeypatch.setattr(writing, "_MOST_RETRY_SECONDS", 0.1)
    with closing(sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: service.supervisor.problem)
        time.sleep(1.5)
        assert service.supervisor.alive, "it waits for the disk"
    hanging = threading.Event()
    hurt(service, None, hanging)
    wait_for(lambda: not service.supervisor.alive)
    assert "longer than" in service.supervisor.problem
    hanging.set()
    wait_for(lambda: service.supervisor.alive)


@pytest.mark.long
def test_a_process_whose_stepping_ends_ends_with_status_1(
    tmp_path: Path, recording: Path, model_files: dict[str, Path]
) -> None:
    config = tmp_path / "serve.toml"
    config.write_text(
        f'bind = "127.0.0.1:0"\nmodel = "{model_files["fam"]}"\n'
        f'[[streams]]\nname = "pen"\nsource = "{recording}"\n'
    )
    code = (
        "from vigilia.engine import StepEngine\n"
        "from vigilia.cli.serve import serve\n"
        "from pathlib import Path\n"
        "poll, polls = StepEngine.poll, []\n"
        "def hurt(self, **options):\n"
        "    polls.append(1)\n"
        "    if len(polls) > 8:\n"
        "        raise RuntimeError('the device is gone')\n"
        "    return poll(self, **options)\n"
        "StepEngine.poll = hurt\n"
        f"serve(Path({str(config)!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "the device is gone" in done.stderr
    assert "to be started anew" in done.stderr
    with closing(sqlite3.connect(tmp_path / "vigilia-data" / "journal.sqlite")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
