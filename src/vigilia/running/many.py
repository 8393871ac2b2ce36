"""`vigilia.running.run_many`: several recordings at once, each as if it were run alone.

Recordings decode in threads of their own and share one model in one engine. With batches of one
row, the default on a CPU, every file that is written is the one that `run` writes, byte for byte.
Larger batches add in another order: probabilities then differ by rounding (some 1e-6 in float32),
and are still the same whatever is run beside a recording.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from vigilia.engine import Feeder, Piece, Result, StepEngine, pieces, results
from vigilia.errors import BrokenVideoError, InputError, OptionError, VigiliaError
from vigilia.relevance import AnyGate
from vigilia.running.classify import Progress
from vigilia.running.model import StepModel, chosen_model
from vigilia.running.recording import Recording, RunUpdate, Settings, fingerprint
from vigilia.stream import StreamClassifier
from vigilia.timeline import SegmenterOptions, Timeline

__all__ = ["Outcome", "run_many"]

# Long enough that recordings which decode equally fast meet, short beside any step on a GPU.
_DEADLINE_SECONDS = 0.02
_GPU_BATCH = 16


@dataclass(frozen=True, eq=False)
class Outcome:
    """How one of several recordings ended.

    Attributes:
        video: as it was named.
        timeline: of everything that could be read; None if that is nothing.
        error: what was wrong with the recording or with the unfinished run in its folder.
        seconds: that it took.
    """

    video: str
    timeline: Timeline | None
    error: VigiliaError | None
    seconds: float


def run_many(
    videos: Sequence[str | Path],
    *,
    outs: Sequence[str | Path | None] | None = None,
    model: StepModel | str | Path = "pen",
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
    save_every_seconds: float = 5.0,
    batch: int | None = None,
    parallel: int | None = None,
    on_update: Callable[[int, RunUpdate], None] | None = None,
    on_done: Callable[[int, Outcome], None] | None = None,
) -> list[Outcome]:
    """Classifies several recordings at once. Arguments not named here are those of `run`.

    A recording that cannot be read, or breaks half-way, does not stop the others. A process that
    was killed goes on with every recording where it was.

    Args:
        videos: the recordings.
        outs: a folder for each, all different; None writes nothing.
        batch: rows of a step; by default 1 on a CPU, where more gains little, and as many as run
            at once, 16 at most, elsewhere.
        parallel: how many recordings are open at once; by default as many as there are processors,
            2 at least.
        on_update: called after every step with the recording's place in `videos`.
        on_done: called when a recording has ended, likewise.

    Returns:
        One outcome a recording, in the order of `videos`.

    Raises:
        OptionError: an option has a value that cannot work.
        CheckpointError: the model cannot be used.
        OutputError: results cannot be written; what was done is saved.
    """
    segmenter = SegmenterOptions(
        smooth_seconds=smooth_seconds,
        hysteresis=hysteresis,
        minimum_bout_seconds=minimum_bout_seconds,
    )
    settings = Settings(segmenter, max_gap_seconds, restart, save_every_seconds, gate)
    folders = [None if one is None else Path(one) for one in outs or [None] * len(videos)]
    if len(folders) != len(videos):
        raise OptionError(f"outs must name {len(videos)} folders, one a video, got {len(folders)}")
    named = [folder for folder in folders if folder is not None]
    if len(set(named)) != len(named):
        raise OptionError("outs must be different folders, or recordings overwrite each other")
    classifier = chosen_model(
        model,
        weights=weights,
        device=device,
        fps=fps,
        clip_frames=clip_frames,
        stride_frames=stride_frames,
        precision=precision,
        compiled=compiled,
    )
    processors = _processors()
    at_once = max(1, min(len(videos), max(2, processors) if parallel is None else parallel))
    on_cpu = classifier.init_state(1).logits.device.type == "cpu"
    crowd = _Crowd(
        [str(video) for video in videos],
        folders,
        classifier,
        settings,
        engine=StepEngine(
            classifier,
            streams=at_once,
            batch=(1 if on_cpu else min(at_once, _GPU_BATCH)) if batch is None else batch,
            deadline_seconds=_DEADLINE_SECONDS,
        ),
        at_once=at_once,
        threads=max(1, processors // at_once),
        on_update=on_update,
        on_done=on_done,
    )
    return crowd.run()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Crowd:
    """The recordings that are open, and those that wait for their turn."""

    def __init__(
        self,
        videos: Sequence[str],
        folders: Sequence[Path | None],
        model: StreamClassifier,
        settings: Settings,
        *,
        engine: StepEngine,
        at_once: int,
        threads: int,
        on_update: Callable[[int, RunUpdate], None] | None,
        on_done: Callable[[int, Outcome], None] | None,
    ) -> None:
        self._videos = videos
        self._folders = folders
        self._model = model
        self._settings = settings
        self._engine = engine
        self._at_once = at_once
        self._threads = threads
        self._on_update = on_update
        self._on_done = on_done
        self._model_hash = fingerprint(model) if any(folders) else ""
        self._next = 0
        self._recordings: dict[int, Recording] = {}
        self._feeders: dict[int, Feeder] = {}
        self._began: dict[int, float] = {}
        self._outcomes: dict[int, Outcome] = {}

    def run(self) -> list[Outcome]:
        with ExitStack() as stack:
            stack.callback(self._stop)
            self._start_more()
            for batch in results(self._engine, until=lambda: not self._feeders):
                for result in batch:
                    self._take(result)
        return [self._outcomes[index] for index in range(len(self._videos))]

    def _start_more(self) -> None:
        while len(self._feeders) < self._at_once and self._next < len(self._videos):
            index, self._next = self._next, self._next + 1
            self._began[index] = time.monotonic()
            self._engine.add(str(index))
            self._feeders[index] = Feeder(
                self._engine,
                str(index),
                lambda index=index: self._pieces(index),  # type: ignore[misc]
            )

    def _pieces(self, index: int) -> Iterator[Piece]:
        """Runs in the recording's own thread, opening included."""
        recording = Recording(
            self._videos[index],
            self._model,
            self._settings,
            out=self._folders[index],
            model_hash=self._model_hash,
            threads=self._threads,
        )
        with recording:
            self._recordings[index] = recording
            if recording.resumed:
                self._engine.resume(str(index), recording.progress.state)
            place, gate = recording.progress.place, self._settings.gate
            cut = pieces(recording.items(), place, gate=gate)
            with recording.sound() as sound:
                yield from cut if sound is None else sound.heard(cut)

    def _take(self, result: Result) -> None:
        index = int(result.name)
        if result.kind == "ended":
            self._end(index, result.error)
            return
        place = result.place
        assert place is not None

        def progress() -> Progress:
            return Progress.at(place, self._engine.state(result.name))

        update = self._recordings[index].take(
            result.start_seconds,
            result.end_seconds,
            result.probabilities,
            progress,
            kept=result.kind == "kept",
        )
        if self._on_update is not None:
            self._on_update(index, update)

    def _end(self, index: int, error: Exception | None) -> None:
        timeline = None
        recording = self._recordings.pop(index, None)
        if isinstance(error, BrokenVideoError) and recording is not None and recording.steps:
            timeline = recording.finish(error)
        elif error is None:
            assert recording is not None
            timeline = recording.finish()
        elif not isinstance(error, InputError):
            raise error  # a full disk, or a bug of ours
        self._engine.remove(str(index))
        self._feeders.pop(index).stop()
        outcome = Outcome(
            self._videos[index], timeline, error, time.monotonic() - self._began[index]
        )
        self._outcomes[index] = outcome
        if self._on_done is not None:
            self._on_done(index, outcome)
        self._start_more()

    def _stop(self) -> None:
        for feeder in self._feeders.values():
            feeder.stop()
