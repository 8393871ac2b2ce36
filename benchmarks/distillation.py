"""What a teacher brings to a small student that streams: labels alone against labels and teacher.

    python benchmarks/distillation.py --out build/distillation         # three quarters of an hour
    python benchmarks/distillation.py --out build/distillation --smoke # a minute; means nothing

The recordings are simulated (`vigilia simulate`). The teacher is the bundled model `pen`, which
learned from fourteen hours of other ones. The student looks at pictures of a quarter of the size,
has a smaller memory, and costs less than half. From nothing it would learn nothing of use in half
an hour, with or without a teacher; so its backbone starts as that of the bundled `pen-no-memory`,
which was taught on pictures four times as large, and its memory and head are fresh. All learn in
about the same number of updates:

labels   from the two recordings that are labelled, ten minutes each
says     also from what the teacher says, of these and of six without labels
reads    also from which clips the teacher's memory reads alike, of the same

and are tested on recordings that nobody learned from. Every line is one training as JSON, and is
kept in OUT/results.jsonl; what is there is not done again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from pooled_kappa import draws
from vigilia.checkpoint import load_classifier, save_model
from vigilia.evaluation.agreement import balanced_accuracy, cohen_kappa
from vigilia.models import describe_model, resolve_model
from vigilia.simulate import simulate_recording
from vigilia.stream import StreamClassifier, create_model
from vigilia.timeline import Labels, read_labels
from vigilia.training import (
    Annotated,
    TrainingUpdate,
    TrainOptions,
    evaluate_clips,
    prepare_recording,
)
from vigilia.training.start import train_recordings

TEACHER = "pen"
STUDENT, START = "swin3d_nano", "pen-no-memory"
SIZE = 32
CLASSES = ("wake", "NREM", "REM")
MEMORY = {"stages": (4,), "slots": 12, "summary_tokens": 4, "feedback_tokens": 8, "head_dim": 24}
ARMS: dict[str, dict[str, float] | None] = {
    "labels": None,
    "says": {"teach": 1.0, "teach_memory": 0.0},
    "reads": {"teach": 1.0, "teach_memory": 1.0},
}


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is run."""

    seconds: float = 600.0
    labelled: int = 2
    unlabelled: int = 6
    tested: int = 6
    epochs: int = 6
    seeds: tuple[int, ...] = (0, 1, 2)


SMOKE = Size(seconds=90.0, labelled=1, unlabelled=1, tested=2, epochs=1, seeds=(0,))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/distillation"))
    parser.add_argument("--smoke", action="store_true", help="as little as runs; means nothing")
    parser.add_argument("--seeds", nargs="+", type=int, help="others than 0 1 2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    size = SMOKE if arguments.smoke else Size()
    if arguments.seeds:
        size = dataclasses.replace(size, seeds=tuple(arguments.seeds))
    out = arguments.out / ("smoke" if arguments.smoke else "full")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    told = (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )
    test = [drawn(out, 9900 + number, size) for number in range(size.tested)]
    if not any(one["arm"] == "teacher" for one in told):
        told.append(
            keep(results, {"arm": "teacher", "seed": 0, **score(resolve_model(TEACHER), test, out)})
        )
    for seed in size.seeds:
        for arm in ARMS:
            if any((one["arm"], one["seed"]) == (arm, seed) for one in told):
                continue
            told.append(
                keep(results, {"arm": arm, "seed": seed, **learn(out, arm, seed, size, test)})
            )
    for line in summary(told):
        print(line)


def keep(results: Path, line: dict) -> dict:
    print(
        json.dumps({key: value for key, value in line.items() if key != "confusions"}), flush=True
    )
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
    return line


def drawn(out: Path, seed: int, size: Size) -> Path:
    video = out / f"pen{seed}.mp4"
    if not video.with_suffix(".json").exists():  # written last
        simulate_recording(video, seconds=size.seconds, seed=seed)
    return video


def student(out: Path, seed: int) -> Path:
    """The model that every arm of a seed starts from."""
    path = out / f"start-{seed}.safetensors"
    torch.manual_seed(seed)
    model = create_model(
        STUDENT, classes=CLASSES, memory="fam", height=SIZE, width=SIZE, background=0.1, **MEMORY
    )
    start = resolve_model(START)
    model.backbone.load_state_dict(start.backbone.state_dict())
    card = {"trained_on": f"the backbone is that of {START}; memory and head are fresh"}
    save_model(model.eval(), path, card=card)
    return path


def learn(out: Path, arm: str, seed: int, size: Size, test: list[Path]) -> dict:
    began = time.process_time()
    count = size.labelled + size.unlabelled
    videos = [drawn(out, 9800 + count * seed + number, size) for number in range(count)]
    parts = ARMS[arm]
    annotated = [
        Annotated(
            video,
            read_labels(video.with_suffix(".csv"))
            if number < size.labelled
            else Labels((), video),  # nobody scored it
        )
        for number, video in enumerate(videos if parts else videos[: size.labelled])
    ]
    model = out / f"{arm}-{seed}.safetensors"
    updates: list[TrainingUpdate] = []
    train_recordings(
        annotated,
        out=model,
        model=student(out, seed),
        classes=CLASSES,
        options=TrainOptions(
            # Labels alone see fewer recordings, each as much oftener.
            epochs=size.epochs * (1 if parts else count // size.labelled),
            rows=8,
            chunk_clips=8,
            # The backbone has learned; memory, whose gates are shut at first, and head have not.
            learning_rate=4e-3,
            backbone_rate=0.25,
            quarter_turns=True,
            brightness=0.3,
            seed=seed,
            **(parts or {}),
        ),
        teacher=TEACHER if parts else None,
        cache=out / "frames",
        on_update=updates.append,
    )
    used = round(time.process_time() - began, 1)
    return {
        **score(load_classifier(model), test, out),
        "updates": len(updates),
        "training_processor_seconds": used,
    }


def score(model: StreamClassifier, test: list[Path], out: Path) -> dict:
    """Over recordings that nobody learned from; by recording, for intervals."""
    recordings = [
        prepare_recording(
            video,
            read_labels(video.with_suffix(".csv")),
            classes=model.classes,
            preprocessing=model.preprocessing,
            cache=out / "frames",
        )
        for video in test
    ]
    matrices = [evaluate_clips(model, [one]).confusion for one in recordings]
    total = np.sum(matrices, axis=0)
    pre = model.preprocessing
    clip = torch.zeros(1, 3, pre.clip_frames, pre.height, pre.width)
    facts = describe_model(model, clip)
    return {
        "kappa": cohen_kappa(total),
        "balanced_accuracy": balanced_accuracy(total),
        "confusions": [one.tolist() for one in matrices],
        "gflop_per_step": facts.gflop_per_step,
        "parameters": facts.parameters,
    }


def summary(told: list[dict]) -> list[str]:
    """Kappa over all test recordings of all seeds, its interval, and the gain over labels alone."""
    lines = [
        "| | kappa | balanced accuracy | gain in kappa | MFLOP a step |",
        "| --- | --: | --: | --: | --: |",
    ]
    by_arm = {arm: [one for one in told if one["arm"] == arm] for arm in ("teacher", *ARMS)}
    plain = summed(by_arm["labels"])
    for arm, found in by_arm.items():
        if not found:
            continue
        mine = summed(found)
        low, high = np.percentile(draws(mine), [2.5, 97.5])
        gain = ""
        if arm not in ("labels", "teacher"):
            more = cohen_kappa(mine.sum(0)) - cohen_kappa(plain.sum(0))
            ends = np.percentile(draws(mine) - draws(plain), [2.5, 97.5])
            gain = f"{more:+.3f} ({ends[0]:+.3f} to {ends[1]:+.3f})"
        cost = 1e3 * found[0]["gflop_per_step"]
        lines.append(
            f"| {arm} | {cohen_kappa(mine.sum(0)):.3f} ({low:.2f}-{high:.2f}) "
            f"| {balanced_accuracy(mine.sum(0)):.3f} | {gain} | {cost:.0f} |"
        )
    return lines


def summed(found: list[dict]) -> np.ndarray:
    """(R, K, K): of each test recording, the seeds added up."""
    return np.sum([one["confusions"] for one in found], axis=0)


if __name__ == "__main__":
    main()
