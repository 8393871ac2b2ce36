"""Trains the spiking gate, `vigilia run --gate svt`, from nothing, and writes it into the package.

    python scripts/train_wake.py
    python scripts/train_wake.py --test src/vigilia/weights/wake.safetensors

draws recordings of the simulated pen (minutes), shows their frames to the gate's simulated event
camera, trains for some ten minutes on one core, and prints how often it wakes, by what happens, on
recordings that it has not seen. The memory's gate of a small spiking model is told to open while
something happens: everything that the simulator calls an event, but of a quiet rest only its first
second. It learns nothing else.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vigilia.checkpoint import load_model, save_model
from vigilia.relevance.spiking_gate import SpikingGate, bin_of_frame
from vigilia.simulate import simulate_recording
from vigilia.spiking import NeuroSvt, create_spiking_model
from vigilia.spiking.training import EventBatch, Progress, SpikingTraining, train_on_events
from vigilia.video import Sample, open_video

LEARN = range(1100, 1116)
TEST = range(4000, 4004)
"""Seeds of recordings; those that the pen models are tested on."""

SECONDS, FPS, SIDE = 600.0, 4.0, 64
BINS = 24
REST_SECONDS = 1.0
"""Of a quiet rest; the animal lies down in it."""

UNSURE_SECONDS = 0.5
"""Around the edges of what happens, where either answer will do."""

TRAINING = SpikingTraining(
    updates=500,
    rows=24,
    learning_rate=4e-3,
    weight_decay=1e-2,
    longest_gap=0,
    gate_weight=1.0,
    glance_weight=0.0,
    quiet_weight=0.1,
)


@dataclass(frozen=True)
class Bins:
    """A recording: bins (N, 2, H, W) bool, present (N,) 1, 0 or -1, events as (seconds, name)."""

    bins: np.ndarray
    present: np.ndarray
    events: list[tuple[float, float, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/wake"), help="recordings")
    parser.add_argument("--out", type=Path, default=Path("src/vigilia/weights/wake.safetensors"))
    parser.add_argument("--updates", type=int, default=TRAINING.updates)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", type=Path, help="test this file and train nothing")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.test:
        known = load_model(arguments.test)
        print(json.dumps(figures_of(known, arguments.work), indent=1))
        return
    torch.manual_seed(arguments.seed)
    model = create_spiking_model(
        "neuro_svt_nano",
        classes=("awake",),
        height=SIDE,
        width=SIDE,
        patch=8,
        bin_seconds=1 / FPS,
        objects=0,
    )
    gate = SpikingGate(model)
    learned = [recording(gate, arguments.work, seed) for seed in LEARN]
    train(model, learned, arguments.updates, arguments.seed)
    model.half().float()  # as the file keeps it
    figures = figures_of(model, arguments.work)
    print(json.dumps(figures, indent=1))
    card = {
        "trained_on": "a simulation only: drawn animals in a pen (scripts/train_wake.py)",
        "recipe": "scripts/train_wake.py",
        "recordings": [f"pen{seed}.mp4" for seed in LEARN],
        "test": figures,
    }
    save_model(model, arguments.out, card=card, dtype=torch.float16)


def figures_of(model: NeuroSvt, work: Path) -> dict[str, object]:
    """On the recordings that nothing was learned from."""
    gate = SpikingGate(model)
    return tested(model, [recording(gate, work, seed) for seed in TEST])


def recording(gate: SpikingGate, work: Path, seed: int) -> Bins:
    """Drawn where it is missing, and seen as the gate sees it."""
    video, kept = work / f"pen{seed}.mp4", work / f"pen{seed}.npz"
    if not video.with_suffix(".json").exists():  # written last
        print(f"drawing {video}", flush=True)
        simulate_recording(video, seconds=SECONDS, seed=seed)
    told = json.loads(video.with_suffix(".json").read_text())["events"]
    events = [(one["start_seconds"], one["end_seconds"], one["name"]) for one in told]
    if not kept.exists():
        bins, ends = seen(gate, video)
        np.savez_compressed(kept, bins=bins, ends=ends)
    with np.load(kept) as file:
        return Bins(file["bins"], presence(file["ends"], events), events)


def seen(gate: SpikingGate, video: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2, H, W) bool, and when each bin ended (N,)."""
    camera = gate.camera
    state, bins, ends = camera.init_state, [], []
    with open_video(video, width=SIDE, height=SIDE) as reader:
        for sample in reader.samples(fps=FPS, max_gap_seconds=2.0):
            assert isinstance(sample, Sample)
            state, one = bin_of_frame(camera, state, sample.pixels, sample.seconds)
            bins.append(one > 0)
            ends.append(sample.seconds)
    return np.stack(bins), np.array(ends)


def presence(ends: np.ndarray, events: list[tuple[float, float, str]]) -> np.ndarray:
    """(N,) 1 where something happens in a bin, 0 where nothing does, -1 near the edges."""
    begins = ends - 1 / FPS
    sure, perhaps = np.zeros(len(ends), bool), np.zeros(len(ends), bool)
    for begin, end, name in events:
        end = min(end, begin + REST_SECONDS) if name == "quiet" else end
        sure |= (begins < end) & (ends > begin)
        perhaps |= (begins < end + UNSURE_SECONDS) & (ends > begin - UNSURE_SECONDS)
    return np.where(sure, 1, np.where(perhaps, -1, 0)).astype(np.int8)


def train(model: NeuroSvt, learned: list[Bins], updates: int, seed: int) -> None:
    """Half of the stretches begin anywhere, half around something that happens."""
    random = np.random.default_rng(seed)
    rare = [np.flatnonzero(one.present > 0) for one in learned]

    def draw(gap: int) -> EventBatch:
        bins, present = [], []
        for row in range(TRAINING.rows):
            index = int(random.integers(len(learned)))
            one, last = learned[index], len(learned[index].bins) - BINS
            begin = int(random.integers(last))
            if row % 2:
                begin = int(random.choice(rare[index])) - int(random.integers(BINS))
            part = slice(min(max(begin, 0), last), min(max(begin, 0), last) + BINS)
            flips = [axis for axis in (-1, -2) if random.random() < 0.5]
            bins.append(np.flip(one.bins[part], flips))
            present.append(one.present[part])
        shown = torch.from_numpy(np.stack(bins, 1).astype(np.float32))
        nothing = torch.zeros(TRAINING.rows, 1, dtype=torch.int64)
        return EventBatch(shown, nothing, None, torch.from_numpy(np.stack(present, 1)).float())

    def show(progress: Progress) -> None:
        if progress.update % 50 == 0:
            print(f"update {progress.update}: loss {progress.loss:.3f}", flush=True)

    options = SpikingTraining(**{**vars(TRAINING), "updates": updates, "seed": seed})
    train_on_events(model, draw, options, on_update=show)


@torch.inference_mode()
def tested(model: NeuroSvt, recordings: list[Bins]) -> dict[str, object]:
    """Shares of bins that wake it, and of events in which at least one bin does."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    woken: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one in recordings:
        shown = torch.from_numpy(one.bins.astype(np.float32))[:, None]
        outputs, _ = model.sequence(shown, model.init_state(1))
        wake: Tensor = outputs.gates[:, 0].amax(-1) > 0
        awake = wake.numpy()
        for name, value in (("something", 1), ("nothing", 0)):
            counts[name][0] += int(awake[one.present == value].sum())
            counts[name][1] += int((one.present == value).sum())
        for begin, end, name in one.events:
            bins = slice(int(begin * FPS), int(end * FPS) + 2)
            woken[name][0] += bool(awake[bins].any())
            woken[name][1] += 1
    return {
        "bins_that_wake": {name: round(a / b, 4) for name, (a, b) in counts.items()},
        "events_that_wake": {name: f"{a} of {b}" for name, (a, b) in sorted(woken.items())},
    }


if __name__ == "__main__":
    main()
