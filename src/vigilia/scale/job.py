"""`vigilia.scale.run_on_ray`: many recordings, many machines, each recording's results once.

This process has the queue and writes the results; workers on the machines of a Ray cluster compute
them. Whatever dies, the same call goes on with what was done.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vigilia.errors import CheckpointError, OptionError, VigiliaError
from vigilia.models import resolve_model
from vigilia.relevance import AnyGate, gate_identity
from vigilia.running import Outcome, RunUpdate, fingerprint
from vigilia.running.model import chosen_model
from vigilia.running.recording import Settings
from vigilia.scale import attempts
from vigilia.scale.archive import identity_of, on_every_machine
from vigilia.scale.cluster import joined
from vigilia.scale.parcel import Parcel
from vigilia.scale.queue import Queue
from vigilia.scale.staff import Hand, Staff
from vigilia.scale.worker import Ended, Task
from vigilia.stream import StreamClassifier
from vigilia.timeline import SegmenterOptions, Timeline

__all__ = ["run_on_ray"]

_GPU_LOT = 16


def run_on_ray(
    videos: Sequence[str | Path],
    *,
    outs: Sequence[str | Path],
    address: str = "local",
    cpus_per_actor: int = 1,
    model: StreamClassifier | Parcel | str | Path = "pen",
    weights: str | Path | None = None,
    device: str = "cpu",
    fps: float | None = None,
    clip_frames: int | None = None,
    stride_frames: int | None = None,
    precision: str = "float32",
    compiled: bool = False,
    smooth_seconds: float = 0.0,
    hysteresis: float = 0.0,
    minimum_bout_seconds: float = 0.0,
    max_gap_seconds: float = 2.0,
    gate: AnyGate | None = None,
    restart: bool = False,
    save_every_seconds: float = 30.0,
    batch: int | None = None,
    parallel: int | None = None,
    tries: int = 3,
    wait_seconds: float = 600.0,
    on_update: Callable[[int, RunUpdate], None] | None = None,
    on_done: Callable[[int, Outcome], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Classifies recordings on the machines of a Ray cluster.

    Arguments that are not named here are those of `vigilia.running.run_many`. The files are those
    that `run_many` writes on one machine with as many threads a recording. A recording that
    is complete, with the same model and options, is not run again. One whose machine dies goes on
    where it was if the machines share the folder of its results, and starts anew if they do not.

    Args:
        videos: recordings, under names that every machine knows.
        outs: a folder for each, all different; on this machine.
        address: see `vigilia.scale.cluster.joined`.
        cpus_per_actor: processors of a worker; a machine gets as many workers as it has room for.
        model: packed by this process; the machines need no file.
        device: "cpu", or "cuda": a worker for each GPU.
        batch: rows of a step in a worker.
        parallel: recordings that a worker has at once; by default 1 on a CPU and 16 on a GPU.
        save_every_seconds: at most so much work is lost with a machine; more than on one machine,
            since all of them write to the same disk.
        tries: a recording that was lost so many times in a row without getting further is given
            up.
        wait_seconds: how long to wait for the first worker where others have the machines.
        on_update: called now and then with the recording's place in `videos`.
        on_done: called when a recording has ended, or was found complete.
        on_wait: told, in words, if after a minute no worker is ready.

    Returns:
        One outcome a recording, in the order of `videos`; timelines without scores, which are in
        the files.

    Raises:
        OptionError: an option cannot work, or no cluster is there.
        MissingExtraError: Ray is not installed.
        CheckpointError: the model cannot be used.
        OutputError: results cannot be written; what was done is saved.
        VigiliaError: no machine of the cluster can work, or none had room in time.
    """
    folders = [Path(one) for one in outs]
    if len(folders) != len(videos):
        raise OptionError(f"outs must name {len(videos)} folders, one a video, got {len(folders)}")
    if len({folder.absolute() for folder in folders}) != len(folders):
        raise OptionError("outs must be different folders, or recordings overwrite each other")
    if device not in ("cpu", "cuda"):
        raise OptionError(f"device must be cpu or cuda, got {device!r}; Ray chooses which GPU")
    if cpus_per_actor < 1:
        raise OptionError(f"cpus_per_actor must be at least 1, got {cpus_per_actor}")
    segmenter = SegmenterOptions(
        smooth_seconds=smooth_seconds,
        hysteresis=hysteresis,
        minimum_bout_seconds=minimum_bout_seconds,
    )
    Settings(segmenter, max_gap_seconds, restart, save_every_seconds, gate)  # says what is wrong
    rates: dict[str, Any] = {
        "fps": fps,
        "clip_frames": clip_frames,
        "stride_frames": stride_frames,
        "precision": precision,
        "compiled": compiled,
    }
    shown = {
        "smooth_seconds": smooth_seconds,
        "hysteresis": hysteresis,
        "minimum_bout_seconds": minimum_bout_seconds,
        "max_gap_seconds": max_gap_seconds,
    }
    if isinstance(model, Parcel):
        parcel, loaded = model, model.unpacked()
    else:
        loaded = resolve_model(model, weights=weights)
        parcel = Parcel.of_model(loaded)
    # The device of a model file is the workers'; what somebody else reads says where it runs.
    own = device if parcel.load is not None else "cpu"
    chosen = chosen_model(loaded, device=own, **rates)
    same = {
        "model": fingerprint(chosen),
        "preprocessing": dataclasses.asdict(chosen.preprocessing),
        "precision": precision,
        "compiled": compiled,
        "gate": gate_identity(gate),
        **shown,
    }
    at_once = (1 if device == "cpu" else _GPU_LOT) if parallel is None else parallel
    job = _Job(
        [on_every_machine(video) for video in videos],
        [str(video) for video in videos],
        folders,
        same,
        at_once=at_once,
        tries=tries,
        on_update=on_update,
        on_done=on_done,
    )
    if restart:
        job.forget()
    job.find_complete()
    if job.waits:
        options = {
            **rates,
            **shown,
            "gate": gate,
            "save_every_seconds": save_every_seconds,
            "batch": batch,
            "parallel": at_once,
            **({} if parcel.load is not None else {"device": device}),
        }
        with joined(address, store_bytes=len(parcel.data)) as ray:
            staff = Staff(
                ray,
                parcel,
                device=device,
                cpus=cpus_per_actor,
                options=options,
                wait_seconds=wait_seconds,
                on_wait=on_wait,
            )
            job.run(staff)
    return job.outcomes


class _Job:
    """The recordings, and who has them."""

    def __init__(
        self,
        videos: Sequence[str],
        names: Sequence[str],
        folders: Sequence[Path],
        same: Mapping[str, Any],
        *,
        at_once: int,
        tries: int,
        on_update: Callable[[int, RunUpdate], None] | None,
        on_done: Callable[[int, Outcome], None] | None,
    ) -> None:
        self._videos = videos
        self._names = names
        self._folders = folders
        self._identities = [{**same, "video": identity_of(video)} for video in videos]
        self._at_once = at_once
        self._on_update = on_update
        self._on_done = on_done
        self._outcomes: dict[int, Outcome] = {}
        self._attempts: dict[int, Path] = {}
        self._tries = tries
        self._queue = Queue(range(len(videos)), tries=tries)

    @property
    def outcomes(self) -> list[Outcome]:
        """In the order of the recordings; once all have ended."""
        return [self._outcomes[index] for index in range(len(self._videos))]

    @property
    def waits(self) -> bool:
        """Whether there is anything to do."""
        return self._queue.open > 0

    def forget(self) -> None:
        """Forgets what was done."""
        for folder in self._folders:
            attempts.forget(folder)

    def find_complete(self) -> None:
        """Takes what is complete out of the queue."""
        open_ones = []
        for index, folder in enumerate(self._folders):
            if not attempts.is_complete(folder, self._identities[index]):
                open_ones.append(index)
                continue
            timeline = Timeline.read(folder / "timeline.json")
            timeline = dataclasses.replace(timeline, scores=None)
            self._tell(index, Outcome(self._names[index], timeline, None, 0.0))
        self._queue = Queue(open_ones, tries=self._tries)

    def run(self, staff: Staff) -> None:
        """Until all have ended."""
        while self._queue.open:
            for hand, told in staff.news(1.0):
                if told is None:
                    self._lose(hand)
                    continue
                for index, update in told.updates.items():
                    self._queue.note(index, update.steps)
                    if self._on_update is not None:
                        self._on_update(index, update)
                for ended in told.ended:
                    hand.lot.remove(ended.index)
                    self._end(ended)
            for hand in staff.idle:
                lot = self._queue.take(self._at_once, among=staff.size)
                if lot:
                    staff.give(hand, [self._task(index) for index in lot])

    def _task(self, index: int) -> Task:
        attempt = attempts.begin(self._folders[index].absolute())
        self._attempts[index] = attempt
        return Task(index, self._videos[index], str(attempt))

    def _lose(self, hand: Hand) -> None:
        for index in hand.lot:
            if self._queue.lost(index):
                problem = VigiliaError(
                    f"{self._names[index]}: whoever ran it died {self._tries} times at the same "
                    "place; its results up to there are lost, the other recordings went on"
                )
                self._queue.done(index)
                self._tell(index, Outcome(self._names[index], None, problem, 0.0))

    def _end(self, ended: Ended) -> None:
        index, outcome = ended.index, ended.outcome
        self._queue.done(index)
        if ended.files:
            whole = outcome.error is None
            attempts.commit(
                self._folders[index], ended.files, self._identities[index] if whole else None
            )
        elif not isinstance(outcome.error, CheckpointError):  # that one names what lies there
            attempts.drop(self._attempts[index])
        self._tell(index, dataclasses.replace(outcome, video=self._names[index]))

    def _tell(self, index: int, outcome: Outcome) -> None:
        self._outcomes[index] = outcome
        if self._on_done is not None:
            self._on_done(index, outcome)
