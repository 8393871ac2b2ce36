"""A recording of an event camera in, a timeline out: what `vigilia.run` does with a spiking model.

An event camera that is silent has seen that nothing moved, so there are no holes. A run that was
killed starts anew: a spiking model is many times faster than the recording.

Letters: T bins, B streams, H W pixels, K classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch

from vigilia.errors import OptionError
from vigilia.events import PROBLEMS, model_bins
from vigilia.running.outputs import write_outputs
from vigilia.running.recording import RunUpdate
from vigilia.spiking import NeuroSvt
from vigilia.timeline import Segment, SegmenterOptions, Timeline
from vigilia.timeline.builder import TimelineBuilder

__all__ = ["refuse_video_options", "run_events"]

TOGETHER = 32
"""Bins that are taken as one sequence, layer by layer."""


@torch.inference_mode()
def run_events(
    path: str | Path,
    *,
    model: NeuroSvt,
    out: Path | None = None,
    segmenter: SegmenterOptions | None = None,
    on_update: Callable[[RunUpdate], None] | None = None,
) -> Timeline:
    """Classifies a recording of events, bin by bin, with bounded memory.

    Args:
        path: a file of any format in `vigilia.events`.
        model: in evaluation mode.
        out: folder for timeline.csv, .json, .vtt and .png; None writes nothing.
        segmenter: how probabilities become segments.
        on_update: called after every few bins.

    Returns:
        A timeline in seconds of the file's clock; see `vigilia.events.model_bins`.

    Raises:
        InputError: the file cannot be read, or holds no event.
        OutputError: `out` cannot be written to.
    """
    segmenter = segmenter or SegmenterOptions()
    spec, device = model.spec, model.head.weight.device
    state = model.init_state(1)
    builder: TimelineBuilder | None = None
    length = max(1, round(spec.bin_seconds * 1e6)) / 1e6
    steps = asleep = 0
    began = 0.0
    found: dict[str, int] = {}
    for bins, starts in model_bins(
        path,
        height=spec.height,
        width=spec.width,
        bin_seconds=spec.bin_seconds,
        found=found,
    ):
        if builder is None:
            began = float(starts[0])
            builder = TimelineBuilder(model.classes, segmenter, began, max(0.1, length))
        for first in range(0, len(bins), TOGETHER):
            part = slice(first, first + TOGETHER)
            shown = torch.from_numpy(bins.frames[part])[:, None].to(device)
            ends = torch.from_numpy(starts[part] + length)[:, None].to(device)
            outputs, state = model.sequence(shown, state, seconds=ends)
            said = outputs.logits[:, 0].softmax(-1).cpu().numpy()
            asleep += int((outputs.gates[:, 0] == 0).all(-1).sum())
            closed: list[Segment] = []
            for start, row in zip(starts[part].tolist(), said, strict=True):
                closed += builder.add(start, start + length, row)
            steps += len(said)
            if on_update is not None:
                on_update(
                    RunUpdate(
                        seconds=float(starts[part][-1]) + length,
                        start_seconds=began,
                        duration_seconds=None,
                        steps=steps,
                        resumed_steps=0,
                        now=builder.now,
                        closed=tuple(closed),
                        state_nbytes=state.nbytes,
                        kept_steps=asleep,
                    )
                )
    assert builder is not None, "a file without events was refused"
    timeline = builder.finish(
        source=str(path),
        assumptions={
            "time": "seconds of the event file's clock, half-open; of a clock that shows more "
            "than a day, from the first event",
            "model": spec.name,
            "memory": spec.memory,
            "trained_on": str(model.card.get("trained_on", "not said")),
            "bin_seconds": length,
            "frame_size": f"{spec.width}x{spec.height}, the whole view",
            "events_repaired": "; ".join(f"{n} {PROBLEMS[name]}" for name, n in found.items())
            or "none",
            **dataclasses.asdict(segmenter),
        },
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_outputs(timeline, out)
    return timeline


def refuse_video_options(given: dict[str, bool]) -> None:
    """Says which option does not go with events. given: whether each was given, by name.

    Raises:
        OptionError: one of them was.
    """
    for name, is_given in given.items():
        if is_given:
            raise OptionError(
                f"{name} is for video; a model of events has bins of its own, and no gate beside "
                "its own: leave it away"
            )
