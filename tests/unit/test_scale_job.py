"""A job on several machines, with threads in the place of Ray's processes (`fake_ray.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_ray import Machines

import vigilia
from conftest import tiny_model
from vigilia.errors import BrokenVideoError, OptionError, OutputError, VideoError, VigiliaError
from vigilia.running import Outcome, RunUpdate, run_many
from vigilia.scale import cluster, crew, job, run_on_ray, staff
from vigilia.scale.worker import Worker

MakeVideo = Callable[..., Path]
OUTPUTS = ("timeline.csv", "timeline.json", "timeline.vtt", "timeline.png")
MODEL = tiny_model(memory="gru")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Machines], Machines]:
    monkeypatch.setattr(crew, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(staff, "_NEWS_SECONDS", 0.01)

    def chosen(machines: Machines) -> Machines:
        @contextmanager
        def joined(address: str, *, store_bytes: int) -> Iterator[Machines]:
            try:
                yield machines
            finally:
                for actor in machines.actors:
                    machines.kill(actor)

        class Lockstep(Worker):
            """Goes on when its last step was heard of; remembers what it was given."""

            def __init__(self) -> None:
                super().__init__()
                self.indices: list[int] = []

            def begin(self, tasks: Any) -> None:
                self.indices += [task.index for task in tasks]
                super().begin(tasks)

            def _update(self, index: int, update: RunUpdate) -> None:
                super()._update(index, update)
                actor = next(one for one in machines.actors if one.thing is self)
                while index in self._told.updates and not actor.dead:
                    time.sleep(0.001)
                if actor.dead and not machines.cut_off:
                    raise SystemExit

        monkeypatch.setattr(job, "joined", joined)
        monkeypatch.setattr(staff, "Worker", Lockstep)
        return machines

    return chosen


@pytest.fixture(scope="module")
def videos(make_video: MakeVideo, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five recordings; the fourth breaks half-way."""
    folder = tmp_path_factory.mktemp("archive")
    made = [
        make_video(folder / f"{name}.mp4", frames, seed=seed)
        for seed, (name, frames) in enumerate(
            [("a", 60), ("b", 40), ("c", 8), ("d", 60), ("e", 48)]
        )
    ]
    whole = made[3].read_bytes()
    made[3].write_bytes(whole[: int(0.6 * len(whole))])
    return made


@pytest.fixture(scope="module")
def alone(videos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process writes."""
    folder = tmp_path_factory.mktemp("alone")
    run_many(videos, outs=[folder / video.stem for video in videos], model=MODEL)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    """The results, and nothing else may lie there but the note that they are complete."""
    assert {path.name for path in folder.iterdir()} - {"complete.json"} == set(OUTPUTS)
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def run(videos: list[Path], out: Path, **options: Any) -> list[Outcome]:
    outs = [out / video.stem for video in videos]
    return run_on_ray(videos, outs=outs, model=MODEL, **options)


def test_machines_write_what_one_process_writes_and_a_bad_recording_stops_nobody(
    videos: list[Path], alone: Path, tmp_path: Path, use: Callable[[Machines], Machines]
) -> None:
    machines = use(Machines("one", "two"))
    junk = tmp_path / "junk.mp4"
    junk.write_text("no video")
    named = [*videos[:2], junk, *videos[2:]]
    told: dict[int, Outcome] = {}
    updates: dict[int, list[RunUpdate]] = {}
    outcomes = run(
        named,
        tmp_path / "out",
        on_done=lambda index, outcome: told.__setitem__(index, outcome),
        on_update=lambda index, update: updates.setdefault(index, []).append(update),
    )
    assert [outcome.video for outcome in outcomes] == [str(one) for one in named]
    assert [told[index] for index in range(6)] == outcomes
    kinds = [type(outcome.error) for outcome in outcomes]
    assert kinds == [type(None)] * 2 + [VideoError, type(None), BrokenVideoError, type(None)]
    for video in videos:
        assert files(tmp_path / "out" / video.stem) == files(alone / video.stem), video
    assert not (tmp_path / "out" / "junk").exists()
    assert not (tmp_path / "out" / "d" / "complete.json").exists(), "it may be repaired"
    assert {actor.node for actor in machines.actors} == {"one", "two"}
    closed = [one for update in updates[0] for one in update.closed]
    timeline = outcomes[0].timeline
    assert timeline is not None
    assert timeline.scores is None
    # What ended with the recording itself was closed by its end.
    assert closed == list(timeline.segments[: len(closed)])
    assert len(closed) >= len(timeline.segments) - 2


@pytest.mark.parametrize("how", ["shared folder", "folders of their own", "cut off"])
def test_a_machine_dies_and_nothing_is_lost(
    how: str,
    videos: list[Path],
    alone: Path,
    tmp_path: Path,
    use: Callable[[Machines], Machines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = use(Machines("one", "two", cut_off=how == "cut off"))
    if how == "folders of their own":
        monkeypatch.setattr("vigilia.scale.worker._folder", lambda task, own: own / str(task.index))
    dead: list[int] = []
    resumed: dict[int, int] = {}

    def kill(index: int, update: RunUpdate) -> None:
        if dead and index == dead[0]:
            resumed.setdefault(index, update.resumed_steps)
        if not dead and update.steps == 4:
            node = next(one.node for one in machines.actors if index in one.thing.indices)
            machines.alive[node] = False
            dead.append(index)

    outcomes = run(videos, tmp_path, save_every_seconds=0, on_update=kill)
    assert dead, "nothing was killed"
    assert sum(outcome.error is not None for outcome in outcomes) == 1
    for video in videos:
        assert files(tmp_path / video.stem) == files(alone / video.stem), video
    if how != "cut off":
        assert list(resumed) == dead
        assert resumed[dead[0]] >= 4 if how == "shared folder" else resumed[dead[0]] == 0


def test_killed_and_started_again_the_job_goes_on_and_what_is_complete_is_not_touched(
    videos: list[Path],
    alone: Path,
    tmp_path: Path,
    use: Callable[[Machines], Machines],
) -> None:
    use(Machines("one"))
    whole = [video for video in videos if video.stem != "d"]
    done: list[int] = []

    def stop(index: int, update: RunUpdate) -> None:
        if done and update.steps >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(
            whole,
            tmp_path,
            save_every_seconds=0,
            on_update=stop,
            on_done=lambda index, outcome: done.append(index),
        )
    assert done
    finished = tmp_path / whole[done[0]].stem / "timeline.json"
    written = finished.stat().st_mtime_ns
    machines = use(Machines("other"))
    first: dict[int, int] = {}
    outcomes = run(
        whole, tmp_path, on_update=lambda index, one: first.setdefault(index, one.resumed_steps)
    )
    assert all(outcome.error is None for outcome in outcomes)
    assert done[0] not in first
    assert max(first.values()) >= 2, "the one that was interrupted goes on"
    assert finished.stat().st_mtime_ns == written
    for video in whole:
        assert files(tmp_path / video.stem) == files(alone / video.stem)
    actors = len(machines.actors)
    again = run(whole, tmp_path)
    assert len(machines.actors) == actors, "nothing to do: nobody is asked"
    assert [one.timeline for one in again] == [one.timeline for one in outcomes]
    seen: set[int] = set()
    run(whole[:2], tmp_path, restart=True, on_update=lambda index, _: seen.add(index))
    assert seen == {0, 1}


def test_what_was_begun_with_another_model_is_named_and_kept(
    videos: list[Path], tmp_path: Path, use: Callable[[Machines], Machines]
) -> None:
    def stop(update: RunUpdate) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        vigilia.run(
            videos[1], model=tiny_model(5, "gru"), out=out, save_every_seconds=0, on_update=stop
        )
    use(Machines("one"))
    (outcome,) = run([videos[1]], tmp_path)
    assert "another model" in str(outcome.error)
    assert (out / "unfinished" / "snapshot.safetensors").exists()
    (outcome,) = run([videos[1]], tmp_path, restart=True)
    assert outcome.error is None


def test_a_recording_that_kills_whoever_runs_it_is_given_up_and_the_others_are_not(
    videos: list[Path],
    alone: Path,
    tmp_path: Path,
    use: Callable[[Machines], Machines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = use(Machines("one", "two"))
    deaths: list[str] = []

    class Fragile(staff.Worker):
        def begin(self, tasks: Any) -> None:
            if any("/b.mp4" in task.video for task in tasks):
                deaths.append("")
                machines.kill(next(actor for actor in machines.actors if actor.thing is self))
            super().begin(tasks)

    monkeypatch.setattr(staff, "Worker", Fragile)
    outcomes = run(videos[:3], tmp_path)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert "died 3 times at the same place" in str(outcomes[1].error)
    assert len(deaths) == 3
    for video in (videos[0], videos[2]):
        assert files(tmp_path / video.stem) == files(alone / video.stem)


def test_a_machine_that_cannot_work_is_left_out_and_if_none_can_the_reason_is_told(
    videos: list[Path],
    tmp_path: Path,
    use: Callable[[Machines], Machines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = use(Machines("good", "bad"))

    class Picky(staff.Worker):
        def open(self, *arguments: Any) -> None:
            if next(one for one in machines.actors if one.thing is self).node == "bad":
                raise VigiliaError("another version is installed there")
            super().open(*arguments)

    monkeypatch.setattr(staff, "Worker", Picky)
    (outcome,) = run(videos[:1], tmp_path)
    assert outcome.error is None
    machines.alive["good"] = False
    with pytest.raises(VigiliaError, match=r"no machine .* \(bad: another version"):
        run(videos[1:2], tmp_path)
    monkeypatch.setattr(staff.Staff.__init__, "__kwdefaults__", {"patience_seconds": 0.0})
    machines.alive["bad"] = False
    with pytest.raises(VigiliaError, match=r"none has 1 CPU for a worker"):
        run(videos[1:2], tmp_path)


def test_on_a_busy_cluster_somebody_is_told_and_the_work_begins_when_there_is_room(
    videos: list[Path],
    alone: Path,
    tmp_path: Path,
    use: Callable[[Machines], Machines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = use(Machines("one"))
    machines.busy.add("one")
    patience = {**staff.Staff.__init__.__kwdefaults__, "patience_seconds": 0.05}
    monkeypatch.setattr(staff.Staff.__init__, "__kwdefaults__", patience)
    told: list[str] = []

    def on_wait(why: str) -> None:
        told.append(why)
        machines.busy.clear()

    (outcome,) = run(videos[:1], tmp_path, on_wait=on_wait)
    assert outcome.error is None
    assert files(tmp_path / "a") == files(alone / "a")
    (why,) = told
    assert "a worker asks for 1 CPU; free in the cluster are 0 of 1 CPUs" in why
    assert "600 s at most" in why
    asked = cluster.room(Machines("one", "two", cpus=8), gpus=True, cpus=4)
    assert asked.endswith(
        "for 4 CPU and 1 GPU; free in the cluster are 16 of 16 CPUs and 0 of 0 GPUs"
    )


def test_where_there_never_is_room_the_command_ends_and_what_was_done_stays(
    videos: list[Path],
    tmp_path: Path,
    use: Callable[[Machines], Machines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machines = use(Machines("one", "two"))
    run(videos[:1], tmp_path)
    done = files(tmp_path / "a")
    machines.busy |= {"one", "two"}
    patience = {**staff.Staff.__init__.__kwdefaults__, "patience_seconds": 0.05}
    monkeypatch.setattr(staff.Staff.__init__, "__kwdefaults__", patience)
    told: list[str] = []
    with pytest.raises(
        VigiliaError, match=r"no worker .* in \d+ s .* 0 of 2 CPUs\); what was done"
    ):
        run(videos[:2], tmp_path, on_wait=told.append, wait_seconds=0.3)
    assert len(told) == 1, "not again and again"
    assert files(tmp_path / "a") == done
    assert not (tmp_path / "b").exists()
    machines.busy.clear()
    assert [outcome.error for outcome in run(videos[:2], tmp_path)] == [None, None]


def test_a_full_disk_ends_the_job_and_keeps_what_was_done(
    videos: list[Path],
    tmp_path: Path,
    use: Callable[[Machines], Machines],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(Machines("one"))
    real = staff.Worker._update

    def full(self: Any, index: int, update: RunUpdate) -> None:
        if index == 1:
            raise OutputError("the disk is full")
        real(self, index, update)

    monkeypatch.setattr(staff.Worker, "_update", full)
    with pytest.raises(OutputError, match="the disk is full"):
        run(videos[:3], tmp_path)
    assert (tmp_path / "a" / "complete.json").exists()


def test_several_recordings_at_once_in_a_worker_each_end_once(
    videos: list[Path], alone: Path, tmp_path: Path, use: Callable[[Machines], Machines]
) -> None:
    machines = use(Machines("one"))
    ended: list[int] = []
    run(videos, tmp_path, parallel=3, on_done=lambda index, _: ended.append(index))
    assert sorted(ended) == [0, 1, 2, 3, 4]
    assert len(machines.actors) == 1
    assert machines.puts == 1
    for video in videos:
        assert files(tmp_path / video.stem) == files(alone / video.stem)


def test_options_that_cannot_work_are_refused_before_anything_is_joined(
    videos: list[Path], tmp_path: Path
) -> None:
    two = [tmp_path / "x", tmp_path / "x"]
    for options, message in (
        ({"outs": two}, "different folders"),
        ({"outs": two[:1]}, "must name 2 folders"),
        ({"device": "cuda:1"}, "device must be cpu or cuda"),
        ({"cpus_per_actor": 0}, "at least 1"),
        ({"max_gap_seconds": 0}, "max_gap_seconds"),
    ):
        outs = [tmp_path / "a", tmp_path / "b"]
        with pytest.raises(OptionError, match=message):
            run_on_ray(videos[:2], **{"outs": outs, "model": MODEL, "address": "x", **options})
    assert not list(tmp_path.iterdir())
    assert np.all([video.exists() for video in videos])
