"""Whether incremental mode is as good as clip mode after the same training, on the simulated pen.

    python benchmarks/incremental_pen.py --out build/incremental-pen          # about 40 minutes
    python benchmarks/incremental_pen.py --out build/incremental-pen-12 --epochs 12  # 2 hours
    python benchmarks/incremental_pen.py --out build/incremental-pen-fresh --fresh   # 3 hours
    python benchmarks/incremental_pen.py --out build/incremental-pen --smoke  # means nothing

Both start from the models of the demo, which learned in clip mode: `pen`, with memory, and
`pen-no-memory`. `vigilia.stream.incremental` takes their weights over as they are. Then both modes
learn from the same fresh recordings with the same options, and are tested on others; each seed has
recordings of its own. "converted" is what the weights do before they have learned anything in
their new mode. With --fresh both begin with the same fresh weights, without memory, and learn from
more recordings: then neither mode has a start that the other lacks. "longer" is incremental mode at
as much computing as clip mode.

Every line is one model as JSON and is kept in OUT/results.jsonl; what is there is not done again.
The table has kappa over the test recordings of all seeds, and the difference to clip mode;
intervals are over recordings.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from pooled_kappa import draws, pooled
from vigilia.evaluation.agreement import balanced_accuracy, cohen_kappa
from vigilia.models import resolve_model
from vigilia.simulate import simulate_recording
from vigilia.stream import StreamClassifier, build_model, incremental
from vigilia.timeline import read_labels
from vigilia.training import (
    Recording,
    TrainOptions,
    evaluate_clips,
    prepare_recording,
    train_model,
)

STARTS = {"none": "pen-no-memory", "fam": "pen"}
ARMS = ("clip", "incremental", "longer", "converted")
LONGER = 4
"""Times the epochs of "longer": every frame is in four clips of clip mode, so both compute as much.
"""
FIRST_SEED = 7000
OPTIONS = TrainOptions(
    epochs=3,
    rows=8,
    chunk_clips=16,
    learning_rate=5e-4,
    mirror=True,
    quarter_turns=True,
    brightness=0.3,
)


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is run."""

    seconds: float = 600.0
    learned: int = 12
    tested: int = 4
    epochs: int = OPTIONS.epochs
    seeds: tuple[int, ...] = (0, 1, 2)


FRESH = Size(learned=40, tested=8, epochs=6)
FRESH_RATE = 2e-3
"""Of fresh weights, the demo's; its recipe shows them every recording six times, too."""

SMOKE = Size(seconds=120.0, learned=2, tested=1, epochs=1, seeds=(0,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/incremental-pen"))
    parser.add_argument("--smoke", action="store_true", help="as little as runs; means nothing")
    parser.add_argument("--epochs", type=int, help=f"by default {OPTIONS.epochs}")
    parser.add_argument("--memory", choices=STARTS, help="this one alone")
    parser.add_argument("--fresh", action="store_true", help="from nothing, without memory")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = SMOKE if arguments.smoke else FRESH if arguments.fresh else Size()
    memories, arms = list(STARTS), ("clip", "incremental", "converted")
    if arguments.fresh:
        memories, arms = ["none"], ("clip", "incremental", "longer")
    elif arguments.memory:
        memories = [arguments.memory]
    if arguments.epochs:
        size = dataclasses.replace(size, epochs=arguments.epochs)
    out = arguments.out / ("smoke" if arguments.smoke else "full")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    told = (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )
    done = {(one["memory"], one["arm"], one["seed"]) for one in told}
    for seed in size.seeds:
        for memory in memories:
            for arm in arms:
                if (memory, arm, seed) in done:
                    continue
                line = measure(out, memory, arm, seed, size, fresh=arguments.fresh)
                told.append({"memory": memory, "arm": arm, "seed": seed, **line})
                shown = {key: value for key, value in told[-1].items() if key != "confusions"}
                print(json.dumps(shown), flush=True)
                with results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(told[-1]) + "\n")
    for text in summary(told):
        print(text)


def measure(
    out: Path, memory: str, arm: str, seed: int, size: Size, *, fresh: bool = False
) -> dict:
    """Trains, and tests on recordings that were not learned from."""
    began = time.process_time()
    torch.manual_seed(seed)
    model = resolve_model(STARTS[memory])
    epochs = size.epochs * (LONGER if arm == "longer" else 1)
    options = dataclasses.replace(OPTIONS, epochs=epochs, seed=seed)
    if fresh:
        model = build_model(model.spec)
        options = dataclasses.replace(options, learning_rate=FRESH_RATE)
    if arm != "clip":
        model = incremental(model)
    count = size.learned + size.tested
    seen = [recording(model, out, FIRST_SEED + count * seed + n, size) for n in range(count)]
    if arm != "converted":
        place = out / f"{arm}-{memory}-{seed}.safetensors"
        train_model(model, seen[: size.learned], options=options, out=place)
        model = resolve_model(str(place))
    matrices = [evaluate_clips(model, [one]).confusion for one in seen[size.learned :]]
    return {
        "kappa": round(cohen_kappa(np.sum(matrices, axis=0)), 4),
        "balanced_accuracy": round(balanced_accuracy(np.sum(matrices, axis=0)), 4),
        "confusions": [one.tolist() for one in matrices],
        "processor_seconds": round(time.process_time() - began, 1),
    }


def recording(model: StreamClassifier, out: Path, seed: int, size: Size) -> Recording:
    """Half of them with short bouts, half with bouts twice as long."""
    video = out / f"pen{seed}.mp4"
    if not video.with_suffix(".json").exists():  # written last
        simulate_recording(video, seconds=size.seconds, seed=seed, time_scale=1.0 + seed % 2)
    return prepare_recording(
        video,
        read_labels(video.with_suffix(".csv")),
        classes=model.classes,
        preprocessing=model.preprocessing,
        cache=out / "frames",
    )


def summary(told: list[dict]) -> list[str]:
    """Kappa of every model, and what it has more than clip mode."""
    lines = ["| memory | mode | kappa | against clip mode |", "| --- | --- | --: | --: |"]
    for memory in STARTS:
        if not lines_of(told, memory, "clip"):
            continue
        clip = pooled(lines_of(told, memory, "clip"))
        for arm in ARMS:
            mine = pooled(lines_of(told, memory, arm))
            if len(mine) != len(clip) or not len(mine):
                continue
            low, high = np.percentile(draws(mine), [2.5, 97.5])
            more = ""
            if arm != "clip":
                difference = cohen_kappa(mine.sum(0)) - cohen_kappa(clip.sum(0))
                ends = np.percentile(draws(mine) - draws(clip), [2.5, 97.5])
                more = f"{difference:+.2f} ({ends[0]:+.2f} to {ends[1]:+.2f})"
            lines.append(
                f"| {memory} | {arm} | {cohen_kappa(mine.sum(0)):.2f} ({low:.2f}-{high:.2f}) "
                f"| {more} |"
            )
    return lines


def lines_of(told: list[dict], memory: str, arm: str) -> list[dict]:
    return [one for one in told if (one["memory"], one["arm"]) == (memory, arm)]


if __name__ == "__main__":
    main()
