"""`vigilia.run`: a recording in, a timeline out, and nothing lost in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from vigilia.errors import BrokenVideoError
from vigilia.relevance import AnyGate
from vigilia.running.classify import classify
from vigilia.running.event_model import load_event_model
from vigilia.running.events import refuse_video_options, run_events
from vigilia.running.model import StepModel, chosen_model
from vigilia.running.recording import Recording, RunUpdate, Settings, fingerprint
from vigilia.timeline import SegmenterOptions, Timeline
from vigilia.video import Gap, Sample, prefetch

__all__ = ["run"]


def _told(
    items: Iterable[Sample | Gap], on_sample: Callable[[Sample | Gap], None]
) -> Iterator[Sample | Gap]:
    for item in items:
        on_sample(item)
        yield item


def run(
    video: str | Path,
    *,
    model: StepModel | str | Path = "pen",
    weights: str | Path | None = None,
    out: str | Path | None = None,
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
    on_sample: Callable[[Sample | Gap], None] | None = None,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Timeline:
    """Classifies a recording second by second with bounded memory.

    Args:
        video: file, folder of recorder chunks, glob, device or address; see `vigilia.video`. With a
            model of events, a file of events; see `vigilia.events`.
        model: a model, a model file, or a name, see `vigilia.models.resolve_model`; or an exported
            step, see `vigilia.export.ExportedStep`.
        weights: for a name: "kinetics400" or a model file.
        out: folder for timeline.csv, .json, .vtt and .png; None writes nothing. A run that was
            killed goes on where it was when it is started again with the same `out`, and ends
            with the timeline an unbroken run gives, byte for byte.
        device: where the model runs.
        fps: samples per second; by default what the model was trained on, as the next two.
        clip_frames: frames of a clip.
        stride_frames: new frames from one clip to the next: how often there is a label.
        precision: of the backbone: "float32", "bfloat16", or "auto" for bfloat16 where the device
            has instructions for it. Memory and head stay in float32.
        compiled: step as one graph of `torch.compile`: a minute or so before the first label, then
            faster, by much on a GPU and little on a CPU.
        smooth_seconds: time constant of the smoothing of probabilities.
        hysteresis: lead in probability that a change of state takes.
        minimum_bout_seconds: shortest bout.
        max_gap_seconds: a longer time without a frame is unobserved.
        gate: skips steps where nothing moves: `vigilia.relevance.GateOptions`, or a spiking model
            that wakes it, `vigilia.relevance.SpikingGate`; None skips none.
        restart: forget an interrupted run.
        save_every_seconds: at most this much work is lost when the process is killed.
        on_sample: called with every sampled frame and every hole of this run, as they come.
        on_update: called after every step.

    Raises:
        VideoError: the video cannot be opened. One that breaks half-way raises BrokenVideoError
            after everything up to there was classified and written; the error's `timeline` has it.
        CheckpointError: the model cannot be used, or `out` holds another unfinished run.
        OutputError: `out` cannot be written to.
        OptionError: an option has a value that cannot work.
    """
    segmenter = SegmenterOptions(
        smooth_seconds=smooth_seconds,
        hysteresis=hysteresis,
        minimum_bout_seconds=minimum_bout_seconds,
    )
    # Everything that can be wrong with the options shows before anything is opened or written.
    settings = Settings(segmenter, max_gap_seconds, restart, save_every_seconds, gate)
    folder = None if out is None else Path(out)
    if (of_events := load_event_model(model, device=device)) is not None:
        refuse_video_options(
            {
                "weights": weights is not None,
                "fps": fps is not None,
                "clip_frames": clip_frames is not None,
                "stride_frames": stride_frames is not None,
                "precision": precision != "float32",
                "compiled": compiled,
                "gate": gate is not None,
            }
        )
        return run_events(
            video, model=of_events, out=folder, segmenter=segmenter, on_update=on_update
        )
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
    model_hash = "" if folder is None else fingerprint(classifier)
    broken: BrokenVideoError | None = None
    with Recording(video, classifier, settings, out=folder, model_hash=model_hash) as recording:
        ahead = 2 * classifier.preprocessing.clip_frames
        with closing(prefetch(recording.items(), size=ahead)) as source, recording.sound() as sound:
            try:
                samples = source if on_sample is None else _told(source, on_sample)
                for step in classify(
                    samples, classifier, recording.progress, gate=gate, sound=sound
                ):
                    update = recording.take(
                        step.start_seconds,
                        step.end_seconds,
                        step.probabilities,
                        lambda: step.progress,  # noqa: B023
                        kept=step.kept,
                    )
                    if on_update is not None:
                        on_update(update)
            except BrokenVideoError as error:
                if not recording.steps:
                    raise
                broken = error
    timeline = recording.finish(broken)
    if broken is not None:
        raise broken
    return timeline
