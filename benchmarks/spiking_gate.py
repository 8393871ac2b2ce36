"""The spiking model as a wake signal for Video Swin and FAM: compute saved, agreement lost.

    python benchmarks/spiking_gate.py --out build/gate
    python benchmarks/spiking_gate.py --out build/gate --seeds 4100 --video street.avi

The bundled model "pen" runs over simulated pens that no model has seen, and over videos that are
named, without a gate, with the gate of the camera's noise, and with that of spikes, for several
numbers of frames that must wake it ("svt 3": three of a clip's). A line a run:

stepped     share of clips that the model really computed
same        share of seconds with the label of the ungated run
kappa       agreement with the truth, where there is one
GMAC        of the model, for an hour of video
gate uJ     of the spiking net for each frame that it is shown, as counted (45 nm, float32)
CPU s       of the whole run, decoding included

What the model says of a street means nothing; whether it says the same with a gate does.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.evaluation import agreement
from vigilia.layers.flops import count_flops
from vigilia.models import resolve_model
from vigilia.relevance import AnyGate, SpikingGate
from vigilia.running import RunUpdate, gate_named, run
from vigilia.simulate import simulate_recording
from vigilia.spiking.energy import EnergyMeter
from vigilia.stream import StreamClassifier
from vigilia.timeline import Timeline, read_labels
from vigilia.video import Sample, open_video

METERED = 240


@dataclass(frozen=True)
class Line:
    """One run."""

    video: str
    gate: str
    stepped: float
    same: float
    kappa: float | None
    gmac_an_hour: float
    gate_microjoules: float
    cpu_seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("build/gate"))
    parser.add_argument("--seeds", type=int, nargs="*", default=[4100, 4101, 4102, 4103])
    parser.add_argument("--seconds", type=float, default=1800.0, help="of each simulated pen")
    parser.add_argument("--video", type=Path, nargs="*", default=[])
    parser.add_argument("--gates", nargs="*", default=["noise", "svt"], help="noise, svt or files")
    parser.add_argument("--wakes", type=int, nargs="*", default=[1, 2, 3, 5, 8])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    model = resolve_model("pen")
    gates: dict[str, AnyGate] = {}
    for name in arguments.gates:
        for wakes in [None] if name == "noise" else arguments.wakes:
            gates[name if wakes is None else f"{name} {wakes}"] = gate_named(name, wakes=wakes)
    videos = [pen(arguments.out, seed, arguments.seconds) for seed in arguments.seeds]
    print(f"{'video':22} gate    stepped   same  kappa  GMAC/h  gate uJ  CPU s")
    lines = []
    for video in [*videos, *arguments.video]:
        full: Timeline | None = None
        for name, gate in {"none": None, **gates}.items():
            timeline, line = one(model, video, name, gate, full)
            full = full or timeline
            lines.append(line)
            kappa = "" if line.kappa is None else f"{line.kappa:.3f}"
            print(
                f"{line.video:22} {line.gate:7} {line.stepped:7.3f} {line.same:6.3f} {kappa:>6} "
                f"{line.gmac_an_hour:7.1f} {line.gate_microjoules:8.2f} {line.cpu_seconds:6.1f}",
                flush=True,
            )
    for name in ("none", *gates):
        mine = [line for line in lines if line.gate == name and line.kappa is not None]
        if mine:
            means = [np.mean([getattr(one, key) for one in mine]) for key in KEYS]
            print(f"{'mean of the pens':22} {name:7} " + " ".join(f"{mean:7.3f}" for mean in means))
    told = json.dumps([asdict(line) for line in lines], indent=1)
    (arguments.out / "results.json").write_text(told)


KEYS = ("stepped", "same", "kappa", "gmac_an_hour", "gate_microjoules", "cpu_seconds")


def pen(out: Path, seed: int, seconds: float) -> Path:
    """Drawn where it is missing."""
    video = out / f"pen{seed}.mp4"
    if not video.with_suffix(".json").exists():  # written last
        simulate_recording(video, seconds=seconds, seed=seed)
    return video


def one(
    model: StreamClassifier, video: Path, name: str, gate: AnyGate | None, full: Timeline | None
) -> tuple[Timeline, Line]:
    """Runs a video with a gate, and compares with the run without."""
    last: RunUpdate | None = None

    def update(now: RunUpdate) -> None:
        nonlocal last
        last = now

    began = time.process_time()
    timeline = run(video, model=model, gate=gate, on_update=update)
    seconds = time.process_time() - began
    assert last is not None
    stepped = 1 - last.kept_steps / last.steps
    labels = video.with_suffix(".csv")
    known = read_labels(labels) if labels.exists() else None
    hours = (timeline.end_seconds - timeline.start_seconds) / 3600
    return timeline, Line(
        video.name,
        name,
        stepped,
        1.0 if full is None else same(timeline, full),
        None if known is None else agreement(timeline, known).kappa,
        stepped * last.steps * multiplies(model) / 1e9 / hours,
        microjoules(gate, model, video) if isinstance(gate, SpikingGate) else 0.0,
        seconds,
    )


def same(timeline: Timeline, full: Timeline) -> float:
    """Share of seconds with the same label."""
    ours, theirs = (np.array(one.labels_on_grid(1.0)[1], object) for one in (timeline, full))
    count = min(len(ours), len(theirs))
    return float((ours[:count] == theirs[:count]).mean())


def multiplies(model: StreamClassifier) -> int:
    """Multiplications of a step."""
    pre = model.preprocessing
    clip = torch.zeros(1, 3, pre.clip_frames, pre.height, pre.width)
    with torch.inference_mode():
        return count_flops(lambda: model.step(clip, model.init_state(1))) // 2


@torch.inference_mode()
def microjoules(gate: SpikingGate, model: StreamClassifier, video: Path) -> float:
    """Mean over the first frames of a video."""
    pre = model.preprocessing
    state: Any = gate.init_state()
    with open_video(video, width=pre.width, height=pre.height) as reader:
        samples = reader.samples(fps=pre.fps, max_gap_seconds=2.0)
        shown = [one for one, _ in zip(samples, range(METERED), strict=False)]
    with EnergyMeter(gate.model) as meter:
        for one in shown:
            assert isinstance(one, Sample)
            state = gate.watch(state, one.pixels, seconds=one.seconds, clip_frames=pre.clip_frames)
    return 1e6 * meter.count().joules() / len(shown)


if __name__ == "__main__":
    main()
