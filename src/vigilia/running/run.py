"""`vigilia.run`: a recording in, a timeline out, and nothing lost in between."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vigilia.errors import BrokenVideoError, OptionError, VideoError
from vigilia.models import resolve_model
from vigilia.running.classify import Step, classify, start
from vigilia.running.saved import SavedRun, StepTable
from vigilia.stream import StreamClassifier, resampled
from vigilia.timeline import Segment, SegmenterOptions, Timeline
from vigilia.timeline.builder import TimelineBuilder
from vigilia.video import VideoReader, open_video, prefetch

__all__ = ["RunUpdate", "name_of", "run", "write_outputs"]


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
    """

    seconds: float
    start_seconds: float
    duration_seconds: float | None
    steps: int
    resumed_steps: int
    now: Segment | None
    closed: tuple[Segment, ...]
    state_nbytes: int


def run(
    video: str | Path,
    *,
    model: StreamClassifier | str | Path = "pen",
    weights: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "cpu",
    fps: float | None = None,
    clip_frames: int | None = None,
    stride_frames: int | None = None,
    smooth_seconds: float = 0.0,
    hysteresis: float = 0.0,
    minimum_bout_seconds: float = 0.0,
    max_gap_seconds: float = 2.0,
    restart: bool = False,
    save_every_seconds: float = 5.0,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Timeline:
    """Classifies a recording second by second with bounded memory.

    Args:
        video: file, folder of recorder chunks, glob, device or address; see `vigilia.video`.
        model: a model, a model file, or a name; see `vigilia.models.resolve_model`.
        weights: for a name: "kinetics400" or a model file.
        out: folder for timeline.csv, .json, .vtt and .png; None writes nothing. A run that was
            killed goes on where it was when it is started again with the same `out`, and ends
            with the timeline an unbroken run gives, byte for byte.
        device: where the model runs.
        fps: samples per second; by default what the model was trained on, as the next two.
        clip_frames: frames of a clip.
        stride_frames: new frames from one clip to the next: how often there is a label.
        smooth_seconds: time constant of the smoothing of probabilities.
        hysteresis: lead in probability that a change of state takes.
        minimum_bout_seconds: shortest bout.
        max_gap_seconds: a longer time without a frame is unobserved.
        restart: forget an interrupted run.
        save_every_seconds: at most this much work is lost when the process is killed.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be opened. One that breaks half-way raises BrokenVideoError
            after everything up to there was classified and written; the error's `timeline` has it.
        CheckpointError: the model cannot be used, or `out` holds another unfinished run.
        OutputError: `out` cannot be written to.
        OptionError: an option has a value that cannot work.
    """
    options = SegmenterOptions(
        smooth_seconds=smooth_seconds,
        hysteresis=hysteresis,
        minimum_bout_seconds=minimum_bout_seconds,
    )
    classifier = resolve_model(model, weights=weights, device=device)
    classifier = resampled(
        classifier,
        fps=None if fps is None else float(fps),  # 8 is the same rate as 8.0
        clip_frames=clip_frames,
        stride_frames=stride_frames,
    )
    preprocessing = classifier.preprocessing
    # Before anything is opened or written.
    for name, value in (("max_gap_seconds", max_gap_seconds), ("fps", preprocessing.fps)):
        if not 0 < value < math.inf:
            raise OptionError(f"{name} must be a positive number, got {value}")
    with open_video(video, width=preprocessing.width, height=preprocessing.height) as reader:
        table = StepTable(len(classifier.classes))
        progress = start(classifier)
        saved = None
        if out is not None:
            identity = {
                "video": _identity(reader),
                "model": fingerprint(classifier),
                "max_gap_seconds": max_gap_seconds,
            }
            saved = SavedRun(Path(out) / "unfinished", identity)
            if restart:
                saved.remove()
                saved = SavedRun(Path(out) / "unfinished", identity)
            progress = saved.load(progress, table)
        cell_seconds = min(1.0, preprocessing.stride_seconds)
        builder = TimelineBuilder(classifier.classes, options, reader.start_seconds, cell_seconds)
        resumed = len(table)
        for record in table:
            builder.add(record.start_seconds, record.end_seconds, record.probabilities)
        try:
            items = reader.samples(
                fps=preprocessing.fps, max_gap_seconds=max_gap_seconds, resume=progress.position
            )
        except VideoError as error:
            raise VideoError(f"{error} (--restart)") from error
        broken: BrokenVideoError | None = None
        saved_at = time.monotonic()
        with closing(prefetch(items, size=2 * preprocessing.clip_frames)) as source:
            try:
                for step in classify(source, classifier, progress):
                    progress = step.progress
                    encoded = table.append(step)
                    closed = builder.add(step.start_seconds, step.end_seconds, step.probabilities)
                    if saved is not None:
                        saved.append(encoded)
                        due = time.monotonic() - saved_at >= save_every_seconds
                        if due and step.probabilities is not None:
                            saved.save(progress)
                            saved_at = time.monotonic()
                    if on_update is not None:
                        on_update(_update(step, reader, len(table), resumed, builder, closed))
            except BrokenVideoError as error:
                if not len(table):
                    raise
                broken = error
        timeline = builder.finish(
            source=reader.name,
            assumptions=_assumptions(classifier, options, max_gap_seconds, broken),
        )
    if out is not None and saved is not None:
        write_outputs(timeline, Path(out))
        saved.remove()
    if broken is not None:
        broken.timeline = timeline
        raise broken
    return timeline


def write_outputs(timeline: Timeline, folder: Path) -> None:
    """Writes timeline.csv, timeline.json, timeline.vtt and timeline.png into a folder.

    Raises:
        OutputError: the folder cannot be written to.
    """
    from vigilia.timeline.plots import plot_timeline

    timeline.to_csv(folder / "timeline.csv")
    timeline.to_json(folder / "timeline.json")
    timeline.to_vtt(folder / "timeline.vtt")
    plot_timeline(timeline, folder / "timeline.png")


def fingerprint(model: StreamClassifier) -> str:
    """A hash of a model's weights and arguments."""
    digest = hashlib.sha256(json.dumps(dataclasses.asdict(model.spec), sort_keys=True).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def name_of(video: str | Path) -> str:
    """What a recording's results are named after: `barn/night3.mp4` gives `night3`."""
    return Path(str(video).rstrip("/")).stem or "camera"


def _update(
    step: Step,
    reader: VideoReader,
    steps: int,
    resumed: int,
    builder: TimelineBuilder,
    closed: tuple[Segment, ...],
) -> RunUpdate:
    return RunUpdate(
        seconds=step.end_seconds,
        start_seconds=reader.start_seconds,
        duration_seconds=reader.duration_seconds,
        steps=steps,
        resumed_steps=resumed,
        now=builder.now,
        closed=closed,
        state_nbytes=step.progress.state.nbytes,
    )


def _identity(reader: VideoReader) -> list[Any]:
    """Names and sizes of the parts; not their times, which copying changes."""
    if not reader.parts:
        return [reader.name]
    return [[Path(part).name, Path(part).stat().st_size] for part in reader.parts]


def _assumptions(
    model: StreamClassifier,
    options: SegmenterOptions,
    max_gap_seconds: float,
    broken: BrokenVideoError | None,
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
        "max_gap_seconds": max_gap_seconds,
        **dataclasses.asdict(options),
    }
    if broken is not None and broken.seconds is not None:
        assumptions["broken_after_seconds"] = broken.seconds
    return assumptions
