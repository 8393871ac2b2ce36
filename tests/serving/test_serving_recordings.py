"""Recordings that are served: the labels of an offline run, whatever happens in between."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import tiny_model
from serving.helpers import Service, file_options, same, tiles, wait_for
from vigilia.errors import OptionError
from vigilia.serving.results import ResultTaker
from vigilia.serving.stream_options import StreamOptions
from vigilia.timeline import Timeline

Serve = Callable[..., Service]


@pytest.fixture
def quick_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are looked at all the time, and a file is complete as soon as it is there."""
    monkeypatch.setattr("vigilia.serving.recordings.SETTLED_SECONDS", 0.0)
    monkeypatch.setattr("vigilia.serving.recordings._LOOK_EVERY_SECONDS", 0.02)


def test_a_served_recording_has_the_labels_of_an_offline_run(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.status("pen") == "ended")
    same(service, offline)
    tiles(list(service.reader.rows("pen")))
    assert None in [segment.label for segment in offline.segments], "the hole is unobserved"


def test_every_result_is_on_the_disk_before_anybody_hears_of_it(
    serve: Serve, tmp_path: Path, recording: Path
) -> None:
    service = serve(tmp_path)
    behind = []

    def hear(event) -> None:
        if event.kind == "label":
            last = list(service.reader.rows("pen"))[-1]
            behind.append(event.data["position_seconds"] - last[1])

    service.supervisor.hub.add_sink(hear)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.status("pen") == "ended")
    assert len(behind) > 20
    assert max(behind) <= 0


def test_from_a_copy_of_the_disk_at_any_moment_the_stream_goes_on_to_the_same_labels(
    serve: Serve,
    tmp_path: Path,
    recording: Path,
    offline: Timeline,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Power loss between any two writes: a journal, and a snapshot as old as the one before it."""
    copies = tmp_path / "copies"
    taken: list[Path] = []
    save = ResultTaker.save

    def save_and_copy(self: ResultTaker, watched) -> None:
        data = tmp_path / "first"
        before, after = copies / f"{len(taken)}-before", copies / f"{len(taken)}-after"
        shutil.copytree(data, before)  # the journal is written, the snapshot is not
        save(self, watched)
        shutil.copytree(data, after)
        taken.extend([before, after])

    monkeypatch.setattr(ResultTaker, "save", save_and_copy)
    service = serve(tmp_path / "first")
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.status("pen") == "ended")
    monkeypatch.undo()
    assert len(taken) > 30
    for copy in taken[::14]:
        resumed = serve(copy)
        heard: list[float] = []
        kept = resumed.until("pen")
        resumed.supervisor.hub.add_sink(
            lambda event, heard=heard: (
                heard.append(event.data["start_seconds"]) if event.kind == "label" else None
            )
        )
        resumed.supervisor.add(file_options(recording))
        wait_for(lambda resumed=resumed: resumed.status("pen") == "ended")
        same(resumed, offline)
        tiles(list(resumed.reader.rows("pen")))
        assert all(start >= kept for start in heard), "nothing is announced twice"
        resumed.close()


def fill(service: Service) -> sqlite3.Connection:
    """What is allocated is nearly used up, and no more is to be had."""
    database = service.journal._database
    for number in range(160):
        database.execute("INSERT INTO results VALUES ('a', ?, ?, zeroblob(12))", (number, number))
    used = database.execute("PRAGMA page_count").fetchone()[0]
    database.execute(f"PRAGMA max_page_count = {used}")
    return database


def test_a_full_disk_stops_the_labels_and_loses_none(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path)
    database = fill(service)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: "full" in service.supervisor.problem)
    written = len(list(service.reader.rows("pen")))
    assert written < 20
    database.execute("PRAGMA max_page_count = 1000000")
    wait_for(lambda: service.status("pen") == "ended")
    assert service.supervisor.problem == ""
    assert service.supervisor.write_failures > 0
    same(service, offline)


def test_a_stream_may_be_forgotten_while_the_disk_is_full_and_the_others_go_on(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording), running=False)
    database = fill(service)
    service.supervisor.add(file_options(recording, "other"))
    wait_for(lambda: "full" in service.supervisor.problem)
    service.supervisor.remove("other", forget=True)  # what waits to be written is its
    database.execute("PRAGMA max_page_count = 1000000")
    service.supervisor.start("pen")
    wait_for(lambda: service.status("pen") == "ended")
    assert service.supervisor.alive
    same(service, offline)
    assert service.journal.cursor("other") is None
    assert list(service.reader.rows("other")) == []


def test_what_cannot_be_forgotten_now_goes_on(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.until("pen") > 2)
    other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(sqlite3.OperationalError):
        service.supervisor.remove("pen", forget=True)
    other.execute("ROLLBACK")
    service.supervisor.start("pen")
    wait_for(lambda: service.status("pen") == "ended")
    same(service, offline)


def test_a_locked_journal_is_waited_for_at_the_start_and_later(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording), running=False)
    other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    service.supervisor.host.start(service.supervisor.get("pen"), again=True)
    wait_for(lambda: "locked" in service.supervisor.problem)
    assert service.status("pen") == "waiting"
    assert "locked" in service.supervisor.get("pen").problem
    other.execute("ROLLBACK")
    wait_for(lambda: service.until("pen") > 0)
    assert service.supervisor.problem == ""
    other.execute("BEGIN IMMEDIATE")
    wait_for(lambda: "locked" in service.supervisor.problem)
    other.execute("ROLLBACK")
    wait_for(lambda: service.status("pen") == "ended")
    same(service, offline)


def test_what_waits_for_the_journal_can_be_stopped(
    serve: Serve, tmp_path: Path, recording: Path
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording), running=False)
    other = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    service.supervisor.host.start(service.supervisor.get("pen"), again=True)
    wait_for(lambda: service.supervisor.problem)
    assert service.supervisor.host.stop(service.supervisor.streams), "its thread has ended"
    assert service.status("pen") == "stopped"
    assert service.supervisor.problem == ""
    other.execute("ROLLBACK")


def test_stopped_and_started_it_goes_on(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path)
    service.supervisor.add(file_options(recording))
    for seconds in (3.0, 9.0):
        wait_for(lambda seconds=seconds: service.until("pen") > seconds)
        service.supervisor.stop("pen")
        assert service.status("pen") in ("stopped", "ended")
        service.supervisor.start("pen")
    wait_for(lambda: service.status("pen") == "ended")
    same(service, offline)


def test_streams_are_added_and_removed_while_others_run(
    serve: Serve, tmp_path: Path, recording: Path, offline: Timeline
) -> None:
    service = serve(tmp_path, most_streams=3)
    for name in ("a", "b", "c"):
        service.supervisor.add(file_options(recording, name))
    with pytest.raises(OptionError, match="room for 3"):
        service.supervisor.add(file_options(recording, "d"))
    with pytest.raises(OptionError, match="already"):
        service.supervisor.add(file_options(recording, "A"))
    service.supervisor.remove("b", forget=True)
    service.supervisor.add(file_options(recording, "d"))
    for name in ("a", "c", "d"):
        wait_for(lambda name=name: service.status(name) == "ended")
        same(service, offline, name)
    assert list(service.reader.rows("b")) == []


def test_labels_of_another_model_or_recording_are_not_mixed(
    serve: Serve, tmp_path: Path, recording: Path, make_video: Callable[..., Path]
) -> None:
    service = serve(tmp_path / "data")
    service.supervisor.add(file_options(recording))
    wait_for(lambda: service.status("pen") == "ended")
    service.close()
    other = serve(tmp_path / "data", model=tiny_model(2))
    watched = other.supervisor.add(file_options(recording))
    assert watched.status == "failed"
    assert "another model" in watched.problem
    other.close()
    third = serve(tmp_path / "data")
    elsewhere = make_video(tmp_path / "other.mp4", seed=1)
    third.supervisor.add(file_options(elsewhere), running=False)
    third.supervisor.start("pen")
    wait_for(lambda: third.status("pen") == "failed")
    assert "another recording" in third.supervisor.get("pen").problem


@pytest.mark.usefixtures("quick_folders")
def test_a_followed_folder_is_one_timeline_that_grows(
    serve: Serve,
    tmp_path: Path,
    make_video: Callable[..., Path],
    model,
) -> None:
    import vigilia

    folder, ready = tmp_path / "chunks", tmp_path / "ready"
    folder.mkdir()
    for number in range(3):
        make_video(ready / f"c{number}.mp4", 36, seed=number)
    declared = StreamOptions("pen", str(folder), "folder", follow=True)

    def more(service: Service, *numbers: int) -> None:
        service.supervisor.add(declared)
        for number in numbers:
            wait_for(lambda: service.status("pen") == "waiting")
            time.sleep(0.1)  # nothing must be decided while there is no file
            before = service.until("pen")
            (ready / f"c{number}.mp4").rename(folder / f"c{number}.mp4")
            wait_for(lambda before=before: service.until("pen") > before + 3)
        wait_for(lambda: service.status("pen") == "waiting")

    first = serve(tmp_path / "data")
    more(first, 0, 1)
    first.close()
    service = serve(tmp_path / "data")
    more(service, 2)
    whole = vigilia.run(folder, model=model)
    rows = list(service.reader.rows("pen"))
    tiles(rows)
    scores = service.reader.scores(service.journal.cursor("pen"), -1e18, 1e18)
    count = int(service.until("pen")) - 1
    assert count > 10
    assert (scores.probabilities[:count] == whole.scores.probabilities[:count]).all()
    assert set(service.reader.parts("pen")) >= {"c1.mp4", "c2.mp4"}


@pytest.mark.usefixtures("quick_folders")
def test_a_followed_folder_goes_on_after_its_first_files_are_deleted(
    serve: Serve,
    tmp_path: Path,
    make_video: Callable[..., Path],
    model,
) -> None:
    """A recorder keeps some days: what is oldest goes while nobody looks."""
    import vigilia

    folder, everything = tmp_path / "chunks", tmp_path / "everything"
    folder.mkdir()
    for number in range(3):
        made = make_video(everything / f"c{number}.mp4", 36, seed=number)
        if number == 0:
            shutil.copy(made, folder)
    declared = StreamOptions("pen", str(folder), "folder", follow=True)
    for after in ("c1.mp4", "c2.mp4", ""):
        service = serve(tmp_path / "data")
        service.supervisor.add(declared)
        wait_for(lambda service=service: service.status("pen") == "waiting")
        if after:
            before = service.until("pen")
            shutil.copy(everything / after, folder)
            wait_for(lambda s=service, before=before: s.until("pen") > before + 3)
            wait_for(lambda service=service: service.status("pen") == "waiting")
            service.close()
            sorted(folder.iterdir())[0].unlink()
    assert [path.name for path in folder.iterdir()] == ["c2.mp4"]
    tiles(list(service.reader.rows("pen")))
    whole = vigilia.run(everything, model=model)
    scores = service.reader.scores(service.journal.cursor("pen"), -1e18, 1e18)
    count = int(service.until("pen")) - 1
    assert count > 10
    assert (scores.probabilities[:count] == whole.scores.probabilities[:count]).all()
    assert list(service.reader.parts("pen")) == ["c0.mp4", "c1.mp4", "c2.mp4"]
    service.close()
    (tmp_path / "data" / "snapshots" / "pen.safetensors").unlink()
    lost = serve(tmp_path / "data")
    lost.supervisor.add(declared)
    wait_for(lambda: lost.status("pen") == "failed")
    assert "another recording" in lost.supervisor.get("pen").problem


@pytest.mark.usefixtures("quick_folders")
@pytest.mark.parametrize("kind", ["not readable at all", "broken half-way"])
def test_a_damaged_file_of_a_followed_folder_is_passed_over(
    serve: Serve,
    tmp_path: Path,
    make_video: Callable[..., Path],
    kind: str,
) -> None:
    """While it is the newest it is waited for; then its time is a hole, and the next is read."""
    folder, ready = tmp_path / "chunks", tmp_path / "ready"
    folder.mkdir()
    seconds = 9.0
    for number in range(4):
        make_video(ready / f"c{number}.mp4", int(8 * seconds), seed=number, codec="h264")
    data = bytearray((ready / "c1.mp4").read_bytes())
    if kind == "not readable at all":
        data[:4000] = bytes(4000)
    else:
        del data[len(data) // 2 :]
    (ready / "c1.mp4").write_bytes(data)
    shutil.copy(ready / "c0.mp4", folder)
    service = serve(tmp_path / "data")
    service.supervisor.add(StreamOptions("pen", str(folder), "folder", follow=True))
    wait_for(lambda: service.status("pen") == "waiting" and service.until("pen") > 7)
    shutil.copy(ready / "c1.mp4", folder)
    wait_for(lambda: "c1.mp4" in service.problem("pen"))
    assert service.status("pen") == "waiting", "another may come"
    for number in (2, 3):
        before = service.until("pen")
        shutil.copy(ready / f"c{number}.mp4", folder)
        wait_for(lambda before=before: service.until("pen") > before + 6)
        wait_for(lambda: service.status("pen") == "waiting" and not service.problem("pen"))
    rows = list(service.reader.rows("pen"))
    tiles(rows)
    parts = service.reader.parts("pen")
    if kind == "not readable at all":
        assert parts["c2.mp4"] == pytest.approx(seconds), "it says nothing of its length"
    else:
        assert parts["c2.mp4"] == pytest.approx(2 * seconds), "it says how long it was"
    assert parts["c3.mp4"] == pytest.approx(parts["c2.mp4"] + seconds)
