"""One recording on its way to a timeline: reader, saved run, steps so far, segments so far.

Who computes the steps is not its business: `run` does it one by one, `run_many` in an engine.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vigilia.errors import BrokenVideoError, OptionError, VideoError
from vigilia.fingerprints import add_weights
from vigilia.relevance import AnyGate, SpikingGate, gate_identity
from vigilia.running.classify import Progress, start
from vigilia.running.outputs import write_outputs
from vigilia.running.saved import Record, SavedRun, StepTable
from vigilia.running.sound import Sound
from vigilia.stream import StreamClassifier
from vigilia.timeline import Segment, SegmenterOptions, Timeline
from vigilia.timeline.builder import TimelineBuilder
from vigilia.video import Gap, Sample, VideoReader, open_video

__all__ = ["Recording", "RunUpdate", "Settings", "fingerprint"]


@dataclass(frozen=True)
class RunUpdate:
    """How far a run has come, for progress bars and live displays.

    Attributes:
        seconds: container time up to which everything is labelled.
        start_seconds: where the recording begins.
        duration_seconds: its length according to its header, if it says.
        steps: clips classified so far.
        resumed_steps: how many of those an earlier, interrupted run had done.
        now: the segment that runs at the moment.
        closed: segments that became final with this step.
        state_nbytes: bytes the stream remembers.
        kept_steps: clips in which nothing moved, since this run began.
    """

    seconds: float
    start_seconds: float
    duration_seconds: float | None
    steps: int
    resumed_steps: int
    now: Segment | None
    closed: tuple[Segment, ...]
    state_nbytes: int
    kept_steps: int = 0


@dataclass(frozen=True)
class Settings:
    """How recordings are run; the arguments of `run`.

    Attributes:
        segmenter: how probabilities become segments.
        max_gap_seconds: a longer time without a frame is unobserved.
        restart: forget an interrupted run.
        save_every_seconds: at most this much work is lost when the process is killed.
        gate: skips steps where nothing moves; None skips none.

    Raises:
        OptionError: a value that cannot work.
    """

    segmenter: SegmenterOptions
    max_gap_seconds: float
    restart: bool
    save_every_seconds: float
    gate: AnyGate | None

    def __post_init__(self) -> None:
        if not 0 < self.max_gap_seconds < math.inf:
            raise OptionError(
                f"max_gap_seconds must be a positive number, got {self.max_gap_seconds}"
            )


class Recording:
    """A recording that is being run; a context manager that closes its reader.

    Args:
        video: file, folder of recorder chunks, glob, device or address.
        model: in evaluation mode.
        settings: how it is run.
        out: folder for the results and the unfinished run; None writes nothing.
        model_hash: `fingerprint` of the model; not needed without `out`.
        threads: for decoding; 0 lets FFmpeg choose.

    Attributes:
        progress: where it stood when it was opened.
        steps: results so far, holes included.
        resumed: how many of them an earlier run had.

    Raises:
        VideoError, CheckpointError, OutputError: see `run`.
    """

    def __init__(
        self,
        video: str | Path,
        model: StreamClassifier,
        settings: Settings,
        *,
        out: Path | None,
        model_hash: str = "",
        threads: int = 0,
    ) -> None:
        self._model = model
        self._settings = settings
        self._out = out
        self._saved: SavedRun | None = None
        self._table = StepTable(len(model.classes))
        self._kept = 0
        pre = model.preprocessing
        self.reader = open_video(video, width=pre.width, height=pre.height, threads=threads)
        try:
            self.progress = self._load(model_hash)
            self.resumed = len(self._table)
            self._nbytes = self.progress.state.nbytes
            self._builder = TimelineBuilder(
                model.classes,
                settings.segmenter,
                self.reader.start_seconds,
                min(1.0, pre.stride_seconds),
            )
            for record in self._table:
                self._builder.add(record.start_seconds, record.end_seconds, record.probabilities)
        except BaseException:
            self.reader.close()
            raise
        self._saved_at = time.monotonic()

    def _load(self, model_hash: str) -> Progress:
        fresh = start(self._model, self._settings.gate)
        if self._out is None:
            return fresh
        gate = gate_identity(self._settings.gate)
        identity = {
            "video": _identity(self.reader),
            "model": model_hash,
            "max_gap_seconds": self._settings.max_gap_seconds,
            **({} if gate is None else {"gate": gate}),
        }
        folder = self._out / "unfinished"
        if self._settings.restart:
            SavedRun(folder, identity).remove()
        self._saved = SavedRun(folder, identity)
        return self._saved.load(fresh, self._table)

    @property
    def steps(self) -> int:
        """Results so far, holes included."""
        return len(self._table)

    def items(self) -> Iterator[Sample | Gap]:
        """The samples that are still to come.

        Raises:
            VideoError: the video has changed since the run began.
        """
        try:
            return self.reader.samples(
                fps=self._model.preprocessing.fps,
                max_gap_seconds=self._settings.max_gap_seconds,
                resume=self.progress.position,
            )
        except VideoError as error:
            raise VideoError(f"{error} (--restart)") from error

    def sound(self) -> AbstractContextManager[Sound | None]:
        """What the recording sounds like; None for a model that does not hear."""
        if not self._model.hears:
            return nullcontext()
        pre = self._model.preprocessing
        return Sound(self.reader.parts, clip_seconds=pre.clip_frames / pre.fps)

    def take(
        self,
        start_seconds: float,
        end_seconds: float,
        probabilities: np.ndarray | None,
        progress: Callable[[], Progress],
        *,
        kept: bool = False,
    ) -> RunUpdate:
        """Takes the next result; now and then it is saved.

        Args:
            start_seconds: what it labels, half-open.
            end_seconds: the end of that.
            probabilities: (K,); None for a hole.
            progress: where the stream stands behind it; only called if that is to be saved.
            kept: the step was skipped.
        """
        self._kept += kept
        encoded = self._table.append(Record(start_seconds, end_seconds, probabilities))
        closed = self._builder.add(start_seconds, end_seconds, probabilities)
        if self._saved is not None:
            self._saved.append(encoded)
            due = time.monotonic() - self._saved_at >= self._settings.save_every_seconds
            if due and probabilities is not None:
                self._saved.save(progress())
                self._saved_at = time.monotonic()
        return RunUpdate(
            seconds=end_seconds,
            start_seconds=self.reader.start_seconds,
            duration_seconds=self.reader.duration_seconds,
            steps=len(self._table),
            resumed_steps=self.resumed,
            now=self._builder.now,
            closed=closed,
            state_nbytes=self._nbytes,
            kept_steps=self._kept,
        )

    def finish(self, broken: BrokenVideoError | None = None) -> Timeline:
        """Ends the recording: the timeline, written if there is a folder.

        Args:
            broken: the error with which the video ended early; its `timeline` is set.

        Raises:
            OutputError: the folder cannot be written to.
        """
        timeline = self._builder.finish(
            source=self.reader.name,
            assumptions=_assumptions(self._model, self._settings, broken),
        )
        if self._out is not None and self._saved is not None:
            write_outputs(timeline, self._out)
            self._saved.remove()
        if broken is not None:
            broken.timeline = timeline
        return timeline

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.reader.close()


def fingerprint(model: StreamClassifier) -> str:
    """A hash of a model's weights and arguments; an exported step has its own."""
    if not isinstance(model, StreamClassifier):
        return str(model.fingerprint)
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(model.spec), sort_keys=True).encode())
    add_weights(digest, model)
    return digest.hexdigest()


def _identity(reader: VideoReader) -> list[Any]:
    """Names and sizes of the parts; not their times, which copying changes."""
    if not reader.parts:
        return [reader.name]
    return [[Path(part).name, Path(part).stat().st_size] for part in reader.parts]


def _assumptions(
    model: StreamClassifier, settings: Settings, broken: BrokenVideoError | None
) -> dict[str, Any]:
    preprocessing = model.preprocessing
    assumptions: dict[str, Any] = {
        "time": "seconds from the container's timestamps, half-open",
        "model": model.spec.name,
        "memory": model.spec.memory,
        "trained_on": str(model.card.get("trained_on", "not said")),
        "sampling_fps": preprocessing.fps,
        "clip_frames": preprocessing.clip_frames,
        "stride_frames": preprocessing.stride_frames,
        "frame_size": f"{preprocessing.width}x{preprocessing.height}, the whole view, bilinear",
        "state_every_seconds": min(1.0, preprocessing.stride_seconds),
        "max_gap_seconds": settings.max_gap_seconds,
        **dataclasses.asdict(settings.segmenter),
    }
    if (precision := _precision(model)) != "float32":
        assumptions["precision"] = precision
    if isinstance(settings.gate, SpikingGate):
        assumptions["gate"] = f"spiking, {settings.gate.model.spec.name}"
        assumptions["gate_wakes"] = settings.gate.wakes
        assumptions["gate_refresh_seconds"] = settings.gate.options.refresh_seconds
    elif settings.gate is not None:
        assumptions["gate_threshold"] = settings.gate.threshold
        assumptions["gate_refresh_seconds"] = settings.gate.refresh_seconds
    if broken is not None and broken.seconds is not None:
        assumptions["broken_after_seconds"] = broken.seconds
    return assumptions


def _precision(model: StreamClassifier) -> str:
    """Of the backbone; and who computed, where that is not torch."""
    if isinstance(model, StreamClassifier):
        dtype = str(model.backbone_dtype).removeprefix("torch.")
        return f"{dtype}, compiled" if model.compiled else dtype
    return f"{model.description.precision}, {model.runtime}"
