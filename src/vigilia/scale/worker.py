"""What runs on one device of a cluster: a model, and a lot of recordings at a time.

A plain class; `vigilia.scale.job` makes an actor of it. Its methods return at once or after the
seconds they are given, so whoever calls them always soon knows whether it lives.
"""

from __future__ import annotations

import dataclasses
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import vigilia
from vigilia.errors import VigiliaError
from vigilia.running import Outcome, RunUpdate, StepModel, run_many
from vigilia.scale.parcel import Parcel

__all__ = ["Ended", "Task", "Told", "Worker"]


@dataclass(frozen=True)
class Task:
    """A recording that is to be run.

    Attributes:
        index: its number in the job.
        video: as every machine finds it.
        attempt: folder of the attempt. Where the machine does not see it, the results' folder is
            not shared, and a folder of the machine's own is used.
    """

    index: int
    video: str
    attempt: str


@dataclass(frozen=True)
class Ended:
    """A recording has ended.

    Attributes:
        index: its number.
        outcome: how; its timeline without scores, which are in the files.
        files: name to content of what `run` writes; empty if there was nothing to write.
    """

    index: int
    outcome: Outcome
    files: Mapping[str, bytes]


@dataclass
class Told:
    """What is new since the last time.

    Attributes:
        updates: the latest of each recording, with all segments that were closed.
        ended: recordings.
        finished: the lot has ended.
    """

    updates: dict[int, RunUpdate] = field(default_factory=dict)
    ended: list[Ended] = field(default_factory=list)
    finished: bool = False


class Worker:
    """Runs recordings, one lot after the other."""

    def __init__(self) -> None:
        self._model: StepModel | None = None
        self._options: dict[str, Any] = {}
        self._news = threading.Condition()
        self._told = Told()
        self._failure: BaseException | None = None

    def open(
        self, version: str, parcel: Parcel, device: str, threads: int, options: Mapping[str, Any]
    ) -> None:
        """Gets ready.

        Args:
            version: of the Vigilia that sends the work.
            parcel: the model.
            device: where it runs.
            threads: for computing.
            options: of `run_many`.

        Raises:
            VigiliaError: another version is installed here, or model or device cannot be used.
        """
        import torch

        if version != vigilia.__version__:
            raise VigiliaError(
                f"Vigilia {vigilia.__version__} is installed there and {version} here; "
                "install the same on all machines"
            )
        torch.set_num_threads(threads)
        self._model = parcel.unpacked(device)
        self._options = dict(options)

    def begin(self, tasks: Sequence[Task]) -> None:
        """Starts with a lot."""
        with self._news:
            self._told, self._failure = Told(), None
        threading.Thread(target=self._work, args=(list(tasks),), daemon=True).start()

    def told(self, seconds: float) -> Told:
        """What is new, after so many seconds, or at once when a recording has ended.

        Raises:
            VigiliaError: the lot had to be left: a full disk, for example.
        """
        with self._news:
            self._news.wait_for(self._is_news, seconds)
            if self._failure is not None:
                if not self._told.ended:
                    raise self._failure
                self._told.finished = False  # first what ended before it, then the failure
            told, self._told = self._told, Told(finished=self._told.finished)
            return told

    def _is_news(self) -> bool:
        return bool(self._told.ended) or self._told.finished or self._failure is not None

    def _work(self, tasks: list[Task]) -> None:
        failure: BaseException | None = None
        try:
            with tempfile.TemporaryDirectory(prefix="vigilia-") as own:
                outs = [_folder(task, Path(own)) for task in tasks]
                assert self._model is not None
                run_many(
                    [task.video for task in tasks],
                    outs=outs,
                    model=self._model,
                    on_update=lambda at, update: self._update(tasks[at].index, update),
                    on_done=lambda at, outcome: self._end(tasks[at].index, outs[at], outcome),
                    **self._options,
                )
        except BaseException as error:  # told to whoever asks next
            failure = error
        with self._news:
            self._failure = failure
            self._told.finished = True
            self._news.notify_all()

    def _update(self, index: int, update: RunUpdate) -> None:
        with self._news:
            if (before := self._told.updates.get(index)) is not None:
                update = dataclasses.replace(update, closed=before.closed + update.closed)
            self._told.updates[index] = update

    def _end(self, index: int, folder: Path, outcome: Outcome) -> None:
        files = {}
        if outcome.timeline is not None:
            written = sorted(path for path in folder.iterdir() if path.is_file())
            files = {path.name: path.read_bytes() for path in written}
        with self._news:
            self._told.ended.append(Ended(index, without_scores(outcome), files))
            self._news.notify_all()


def _folder(task: Task, own: Path) -> Path:
    """Where a recording's attempt is kept: the folder that was made for it, if it is seen here."""
    attempt = Path(task.attempt)
    return attempt if attempt.is_dir() else own / str(task.index)


def without_scores(outcome: Outcome) -> Outcome:
    """The same, small enough to keep thousands of them."""
    timeline, error = outcome.timeline, outcome.error
    if timeline is not None:
        timeline = dataclasses.replace(timeline, scores=None)
    if getattr(error, "timeline", None) is not None:
        error.timeline = timeline  # type: ignore[union-attr]
    return dataclasses.replace(outcome, timeline=timeline, error=error)
