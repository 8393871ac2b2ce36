"""Live streams on several machines, with threads in the place of Ray's (`fake_ray.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_ray import Machines

import vigilia
from conftest import tiny_model
from serving.helpers import file_options, tiles, wait_for
from vigilia.errors import OptionError
from vigilia.scale import crew, live_host, live_loop, live_worker, moves
from vigilia.scale.live_host import RayHost
from vigilia.scale.live_worker import LiveWorker
from vigilia.serving.host import Machine
from vigilia.serving.journal import Journal
from vigilia.serving.looped_camera import LoopedCameras
from vigilia.serving.reading import Reader
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.supervisor import Supervisor
from vigilia.timeline import Timeline

MODEL = tiny_model()
MakeVideo = Callable[..., Path]


class Spread:
    """A service whose streams are on the machines of a cluster."""

    def __init__(self, machines: Machines, data: Path, **options: Any) -> None:
        self.machines = machines
        self.journal = Journal(data / "journal.sqlite", busy_seconds=0.1)
        self.reader = Reader(self.journal.path)
        chosen = {"cpus": 1, "streams": 4, "snapshot_seconds": 0.0, "batch": 1} | options
        self.supervisor = Supervisor(
            MODEL,
            self.journal,
            data / "snapshots",
            make_host=lambda tools: RayHost(tools, address="fake", device="cpu", **chosen),
        )

    def status(self, name: str) -> str:
        watched = self.supervisor.get(name)
        assert watched is not None
        return watched.status

    def problem(self, name: str) -> str:
        watched = self.supervisor.get(name)
        assert watched is not None
        return watched.problem

    def until(self, name: str) -> float:
        return self.journal.until_seconds(name) or 0.0

    def machine_of(self, name: str) -> str:
        return next(
            (one.host for one in self.supervisor.host.machines() if name in one.streams), ""
        )

    def timeline(self, name: str) -> tuple[Any, Any]:
        cursor = self.journal.cursor(name)
        assert cursor is not None
        segments = tuple(self.reader.segments(cursor, -1e18, 1e18, most=10**6))
        return segments, self.reader.scores(cursor, -1e18, 1e18)

    def close(self) -> None:
        self.supervisor.close()
        self.journal.close()


@pytest.fixture
def spread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Spread]]:
    """A function that starts a service on machines; all is ended behind the test."""
    monkeypatch.setattr(crew, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(live_loop, "_NEWS_SECONDS", 0.02)
    monkeypatch.setattr(live_loop, "_LOOK_SECONDS", 0.02)
    started: list[Spread] = []
    clusters: list[Machines] = []

    def start(machines: Machines, data: Path, **options: Any) -> Spread:
        @contextmanager
        def joined(address: str, *, store_bytes: int) -> Iterator[Machines]:
            yield machines

        monkeypatch.setattr(live_host, "joined", joined)
        clusters.append(machines)
        started.append(Spread(machines, data, **options))
        return started[-1]

    yield start
    for one in started:
        one.close()
    for machines in clusters:
        for actor in machines.actors:
            actor.thing.close()


@pytest.fixture(scope="module")
def recordings(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Four, of 25 seconds; one has a hole."""
    folder = tmp_path_factory.mktemp("recordings")
    times = [125 * k + (7000 if k > 100 else 0) for k in range(200)]
    made = [make_video(folder / "hole.mp4", times=times, seed=9)]
    return made + [make_video(folder / f"{name}.mp4", 200, seed=name) for name in range(3)]


@pytest.fixture(scope="module")
def alone(recordings: list[Path]) -> dict[str, Timeline]:
    """What one process says of them."""
    return {path.stem: vigilia.run(path, model=MODEL) for path in recordings}


def slow(path: Path) -> StreamOptions:
    """A recording at the pace at which it was made: it runs until it is told otherwise."""
    return file_options(path, path.stem, realtime=True)


def same(service: Spread, alone: dict[str, Timeline], names: Any = None) -> None:
    """Nothing lost, nothing twice, and the labels of a single process, bit for bit."""
    for name in names or alone:
        tiles(list(service.reader.rows(name)))
        segments, scores = service.timeline(name)
        assert segments == alone[name].segments, name
        assert scores == alone[name].scores, name


def test_streams_are_spread_and_labelled_as_by_one_process(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
) -> None:
    service = spread(Machines("one", "two"), tmp_path, streams=2)
    for path in recordings:
        service.supervisor.add(file_options(path, path.stem))
    seen: dict[str, set[str]] = {"one": set(), "two": set()}

    def note() -> bool:
        for one in service.supervisor.host.machines():
            seen[one.host].update(one.streams)
        return all(service.status(name) == "ended" for name in alone)

    wait_for(note)
    same(service, alone)
    assert [len(names) for names in seen.values()] == [2, 2]
    assert service.supervisor.problem == ""
    assert service.supervisor.get("hole").duration_seconds == pytest.approx(32.0, abs=0.2)


@pytest.mark.long
@pytest.mark.parametrize("how", ["dies", "cut off", "silent"])
def test_a_machine_is_lost_and_its_streams_go_on_elsewhere(
    how: str,
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_loop, "SILENT_SECONDS", 1.0)
    machines = Machines("one", "two", cut_off=how == "cut off")
    service = spread(machines, tmp_path)
    for path in recordings:
        service.supervisor.add(file_options(path, path.stem))
    wait_for(lambda: all(service.until(name) > 0 for name in alone))
    lost = service.machine_of("1") or service.machine_of("hole")
    if how == "silent":
        machines.silent.add(lost)
    else:
        machines.alive[lost] = False
    had = {actor.node: actor.thing for actor in machines.actors}[lost]
    wait_for(lambda: all(service.status(name) == "ended" for name in alone))
    same(service, alone)
    if how == "cut off":
        # It went on, and has it all in its outbox: nobody asks.
        wait_for(lambda: not had._watched)
        assert len(had._outbox._entries) > 10
        same(service, alone)


def test_what_a_worker_that_was_given_up_says_late_is_not_heard(
    spread: Callable[..., Spread], recordings: list[Path], tmp_path: Path
) -> None:
    service = spread(Machines("one"), tmp_path)
    service.supervisor.add(slow(recordings[1]))
    wait_for(lambda: service.until("0") > 0)
    loop = service.supervisor.host._loop
    hand = loop._crew.hands[0]
    words = []
    take = loop.taking.take
    loop.taking.take = lambda answers: words.extend(answers) or take(answers)
    wait_for(lambda: any(told.entries for _, told in words))
    service.supervisor.stop("0")
    until, rows = service.until("0"), list(service.reader.rows("0"))
    service.supervisor.remove("0")
    service.supervisor.add(slow(recordings[1]))
    loop.call(lambda: loop.taking._taken.clear())
    late = [one for one in words if one[1].entries]
    loop.call(lambda: take(late))
    assert [row for row in service.reader.rows("0") if row[0] < until] == rows
    assert hand in loop._crew.hands


def test_a_drained_machine_is_left_and_nothing_is_lost_or_done_again(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
) -> None:
    machines = Machines("one", "two")
    service = spread(machines, tmp_path, snapshot_seconds=3600.0)
    for path in recordings:
        service.supervisor.add(file_options(path, path.stem))
    wait_for(lambda: all(service.until(name) > 0 for name in alone))
    host = service.supervisor.host

    def now(id: str) -> Machine:
        return next(one for one in host.machines() if one.id == id)

    drained = next(one for one in host.machines() if one.streams)
    host.drain(drained.id, True)
    wait_for(lambda: not now(drained.id).streams)
    assert now(drained.id).drained
    wait_for(lambda: all(service.status(name) == "ended" for name in alone))
    same(service, alone)
    counts = [service.supervisor.get(name).counts["stepped"] for name in alone]
    rows = [sum(row[2] is not None for row in service.reader.rows(name)) for name in alone]
    assert counts == rows, "what was labelled is not computed again"
    wait_for(lambda: all(actor.killed for actor in machines.actors if actor.node == drained.id))
    host.drain(drained.id, False)
    wait_for(lambda: any(not actor.killed for actor in machines.actors if actor.node == drained.id))
    with pytest.raises(OptionError, match="no machine 'three'"):
        host.drain("three", True)


@pytest.mark.long
def test_a_camera_moves_without_a_hole(
    spread: Callable[..., Spread],
    make_video: MakeVideo,
    tmp_path: Path,
) -> None:
    film = make_video(tmp_path / "film.mp4", 80)
    with LoopedCameras({"pen": film}) as cameras:
        service = spread(Machines("one", "two"), tmp_path, snapshot_seconds=3600.0)
        service.supervisor.add(StreamOptions("pen", cameras.address("pen"), "address"))
        wait_for(lambda: service.until("pen") > 3)
        before = service.machine_of("pen")
        at = service.until("pen")
        service.supervisor.host.drain(before, True)
        wait_for(lambda: service.machine_of("pen") not in ("", before))
        moved = service.until("pen")
        wait_for(lambda: service.until("pen") > moved + 4)
        rows = list(service.reader.rows("pen"))
        tiles(rows)
        holes = [row for row in rows if row[2] is None and row[1] > at]
        assert holes == [], "a second was not seen"
        assert service.supervisor.get("pen").lag_seconds < 4
        # Without a hole the labels tell the time, to half a second.
        started = service.journal.wall_start("pen")
        assert abs(started + service.until("pen") - time.time()) < 3
        service.supervisor.stop("pen")


@pytest.mark.long
def test_a_camera_of_a_lost_machine_has_a_hole_and_goes_on_from_its_snapshot(
    spread: Callable[..., Spread], make_video: MakeVideo, tmp_path: Path
) -> None:
    film = make_video(tmp_path / "film.mp4", 80)
    machines = Machines("one", "two")
    with LoopedCameras({"pen": film}) as cameras:
        service = spread(machines, tmp_path)
        service.supervisor.add(StreamOptions("pen", cameras.address("pen"), "address"))
        wait_for(lambda: service.until("pen") > 3)
        pen, host = service.supervisor.get("pen"), service.supervisor.host
        assert host.picture(pen, 320)[:2] == b"\xff\xd8"
        assert host.memory(pen) is None
        wait_for(lambda: host.memory(pen) is not None)
        lost = service.machine_of("pen")
        machines.alive[lost] = False
        until = service.until("pen")
        wait_for(lambda: service.machine_of("pen") not in ("", lost))
        wait_for(lambda: service.until("pen") > until + 3)
        rows = list(service.reader.rows("pen"))
        tiles(rows)
        assert any(row[2] is None for row in rows if row[1] > until - 2), "the hole is said"
        wait_for(lambda: host.memory(pen) is not None)
        ages = host.memory(pen).stages[0].age_seconds
        assert len(ages) == 3, "it remembers what the other one saw"
        service.supervisor.stop("pen")


def test_a_full_disk_holds_everything_up_and_loses_nothing(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
) -> None:
    service = spread(Machines("one", "two"), tmp_path)
    database = service.journal._database
    for number in range(400):
        database.execute("INSERT INTO results VALUES ('a', ?, ?, zeroblob(12))", (number, number))
    used = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {used}")
    for path in recordings:
        service.supervisor.add(file_options(path, path.stem))
    wait_for(lambda: "full" in service.supervisor.problem)
    written = {name: len(list(service.reader.rows(name))) for name in alone}
    time.sleep(0.3)
    assert written == {name: len(list(service.reader.rows(name))) for name in alone}
    database.execute("PRAGMA max_page_count = 1000000")
    wait_for(lambda: all(service.status(name) == "ended" for name in alone))
    assert service.supervisor.problem == ""
    assert service.supervisor.write_failures > 0
    same(service, alone)


def test_closed_and_started_again_it_goes_on_from_what_workers_brought_back(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
) -> None:
    first = spread(Machines("one"), tmp_path, snapshot_seconds=3600.0)
    first.supervisor.add(file_options(recordings[0], "hole"))
    wait_for(lambda: first.until("hole") > 6)
    first.close()
    assert (tmp_path / "snapshots" / "hole.safetensors").exists()
    until = Journal(tmp_path / "journal.sqlite").reopen("hole").until_seconds
    second = spread(Machines("other"), tmp_path, snapshot_seconds=3600.0)
    second.supervisor.add(file_options(recordings[0], "hole"))
    wait_for(lambda: second.status("hole") == "ended")
    same(second, alone, ["hole"])
    rows = [row for row in second.reader.rows("hole") if row[2] is not None and row[1] > until]
    assert second.supervisor.get("hole").counts["stepped"] == len(rows)


def test_a_stream_that_kills_whoever_watches_it_is_left_alone_and_others_are_not(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = Machines("one", "two")
    deaths: list[str] = []

    class Fragile(LiveWorker):
        def watch(self, given: Any) -> None:
            if given.options.name == "2":
                deaths.append(given.options.name)
                machines.kill(next(one for one in machines.actors if one.thing is self))
            super().watch(given)

    monkeypatch.setattr(live_host, "LiveWorker", Fragile)
    service = spread(machines, tmp_path)
    for path in recordings:
        service.supervisor.add(file_options(path, path.stem))
    others = [name for name in alone if name != "2"]
    wait_for(lambda: service.status("2") == "failed")
    wait_for(lambda: all(service.status(name) == "ended" for name in others))
    assert len(deaths) == 3
    assert "died three times" in service.supervisor.get("2").problem
    same(service, alone, others)


def test_results_of_another_recording_are_refused_and_not_mixed(
    spread: Callable[..., Spread], recordings: list[Path], tmp_path: Path
) -> None:
    service = spread(Machines("one"), tmp_path)
    service.supervisor.add(file_options(recordings[1], "pen"))
    wait_for(lambda: service.status("pen") == "ended")
    rows = list(service.reader.rows("pen"))
    service.supervisor.remove("pen")
    service.supervisor.add(file_options(recordings[2], "pen"))
    wait_for(lambda: service.status("pen") == "ended")
    service.supervisor.start("pen")
    wait_for(lambda: service.status("pen") == "failed")
    assert "another recording" in service.supervisor.get("pen").problem
    assert list(service.reader.rows("pen")) == rows
    service.supervisor.add(file_options(tmp_path / "nothing.mp4", "none"))
    wait_for(lambda: service.status("none") == "failed")
    with pytest.raises(OptionError, match="belongs to one machine"):
        service.supervisor.add(StreamOptions("usb", "/dev/video0", "device"))


@pytest.mark.long
def test_a_worker_that_nobody_asks_lets_its_cameras_go(
    make_video: MakeVideo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spread: Callable[..., Spread],
) -> None:
    monkeypatch.setattr(live_worker, "LEASE_SECONDS", 0.5)
    film = make_video(tmp_path / "film.mp4", 80)
    machines = Machines("one", cut_off=True)
    with LoopedCameras({"pen": film}) as cameras:
        service = spread(machines, tmp_path)
        service.supervisor.add(StreamOptions("pen", cameras.address("pen"), "address"))
        wait_for(lambda: service.until("pen") > 1)
        machines.alive["one"] = False
        had = machines.actors[0].thing
        wait_for(lambda: not had._watched, 20)
        wait_for(lambda: service.status("pen") == "waiting")
        assert "is ready" in service.supervisor.problem
        machines.alive["one"] = True
        wait_for(lambda: service.status("pen") == "running")


def test_more_streams_than_room_wait_and_get_their_turn(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
) -> None:
    service = spread(Machines("one"), tmp_path, streams=2)
    for path in recordings:
        service.supervisor.add(file_options(path, path.stem))
    wait_for(lambda: any("waits for one" in one.problem for one in service.supervisor.streams))
    wait_for(lambda: all(service.status(name) == "ended" for name in alone))
    same(service, alone)


def test_while_others_have_the_machines_streams_say_what_they_wait_for(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_loop, "_PATIENCE_SECONDS", 0.1)
    machines = Machines("one", "two")
    machines.busy |= {"one", "two"}
    service = spread(machines, tmp_path)
    service.supervisor.add(file_options(recordings[0], "hole"))
    wait_for(lambda: "free in the cluster are 0 of 2 CPUs" in service.problem("hole"))
    assert service.status("hole") == "waiting"
    assert "a worker asks for 1 CPU" in service.supervisor.problem
    machines.busy.clear()
    wait_for(lambda: service.status("hole") == "ended")
    assert service.supervisor.problem == ""
    same(service, alone, ["hole"])


def test_a_machine_that_comes_gets_its_share(
    spread: Callable[..., Spread],
    recordings: list[Path],
    alone: dict[str, Timeline],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(moves, "_LEVEL_SECONDS", 0.05)
    machines = Machines("one")
    service = spread(machines, tmp_path)
    for path in recordings:
        service.supervisor.add(slow(path))
    wait_for(lambda: all(service.until(name) > 0 for name in alone))
    machines.alive["two"] = True
    wait_for(lambda: [len(one.streams) for one in service.supervisor.host.machines()] == [2, 2])
    for name in alone:
        service.supervisor.stop(name)
        assert service.status(name) == "stopped"
        service.supervisor.remove(name)
        service.supervisor.add(file_options(recordings[["hole", "0", "1", "2"].index(name)], name))
    wait_for(lambda: all(service.status(name) == "ended" for name in alone))
    same(service, alone)


def test_a_worker_of_another_version_is_not_used_and_the_reason_is_told(
    spread: Callable[..., Spread],
    recordings: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Old(LiveWorker):
        def open(self, *arguments: Any) -> None:
            super().open("0.0.1", *arguments[1:])

    monkeypatch.setattr(live_host, "LiveWorker", Old)
    service = spread(Machines("one"), tmp_path)
    service.supervisor.add(file_options(recordings[1]))
    wait_for(lambda: "install the same on all machines" in service.supervisor.problem)
    assert service.status("pen") == "waiting"
