"""Trains the two models of the demo, from nothing, and writes them into the package.

    python scripts/train_pen.py

draws the recordings (about a quarter of an hour), trains for about an hour on two cores, and prints
how both models do on recordings that no training has seen. Killed, it goes on with the stage it was
in.

The plain one learns from single clips in random order, first from recordings with short bouts, then
from all. The one with memory takes the backbone of the first of these two stages, frozen, and
learns memory and head, over stretches of two minutes, then of five, from two seeds; the better one
on validation recordings is kept.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from vigilia.checkpoint import load_model, save_model
from vigilia.evaluation import agreement, pool_agreements
from vigilia.running import run
from vigilia.simulate import simulate_recording
from vigilia.stream import StreamClassifier, create_model
from vigilia.timeline import read_labels
from vigilia.training import (
    Recording,
    TrainingUpdate,
    TrainOptions,
    evaluate_clips,
    prepare_recording,
    train_model,
)
from vigilia.training.augment import Look
from vigilia.training.entrance import calibrate_memory
from vigilia.training.features import feature_view, train_on_features
from vigilia.training.seeing import SeenRecording, see_recording

CLASSES = ("wake", "NREM", "REM")
# Seeds of recordings, their length in seconds, and how far the mice's bouts are stretched.
SHORT_BOUTS = (range(1100, 1140), 600.0, 1.0)
MIDDLE_BOUTS = (range(1200, 1212), 900.0, 2.0)
LONG_BOUTS = (range(1300, 1314), 900.0, 4.0)
# The memory is chosen by recordings in which each state is common; the plain models learn from them
# and are chosen by others.
MORE_BOUTS = ((range(1212, 1216), 900.0, 2.0), (range(1314, 1320), 900.0, 4.0))
PLAIN_VALIDATION = (range(2000, 2003), 900.0, 4.0)
# Of another range than any that was looked at while this recipe was written.
TEST = (range(4000, 4008), 1800.0, 4.0)

SEEDS = (0, 1)  # of the memory; the validation recordings choose

LOOKS = {"mirror": True, "quarter_turns": True, "brightness": 0.3}
PLAIN = {"rows": 32, "chunk_clips": 1, "carry_probability": 0.0, "learning_rate": 2e-3, **LOOKS}
FIRM = {"rows": 8, "warmup": 0.05, "feature_noise": 0.25}
MINUTE = TrainOptions(chunk_clips=60, learning_rate=3e-3, **FIRM)
MINUTES = TrainOptions(chunk_clips=150, learning_rate=2e-3, seed=1, **FIRM)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, default=Path("build/pen"), help="recordings and runs")
    parser.add_argument("--out", type=Path, default=Path("src/vigilia/weights"))
    parser.add_argument(
        "--stage", choices=["recordings", "plain", "memory", "test", "all"], default="all"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    work, out, stage = arguments.work, arguments.out, arguments.stage
    work.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    if stage in ("recordings", "all"):
        for plan in (SHORT_BOUTS, MIDDLE_BOUTS, LONG_BOUTS, *MORE_BOUTS, PLAIN_VALIDATION, TEST):
            videos(plan, work)
    if stage in ("plain", "all"):
        train_plain(work)
    if stage in ("memory", "all"):
        for seed in SEEDS:
            train_memory(work, seed)
    if stage in ("test", "all"):
        test(work, out)


def videos(plan: tuple[range, float, float], work: Path) -> list[Path]:
    """The recordings of a plan, drawn where they are missing."""
    seeds, seconds, time_scale = plan
    paths = []
    for seed in seeds:
        path = work / f"pen{seed}.mp4"
        if not path.with_suffix(".json").exists():  # written last
            print(f"drawing {path}", flush=True)
            simulate_recording(path, seconds=seconds, seed=seed, time_scale=time_scale)
        paths.append(path)
    return paths


def recordings(work: Path, *plans: tuple[range, float, float]) -> list[Recording]:
    """Decoded and labelled."""
    model = fresh("none")
    return [
        prepare_recording(
            path,
            read_labels(path.with_suffix(".csv")),
            classes=CLASSES,
            preprocessing=model.preprocessing,
            cache=work / "frames",
        )
        for plan in plans
        for path in videos(plan, work)
    ]


def fresh(memory: str):
    tokens = {"slots": 25, "summary_tokens": 8, "feedback_tokens": 16, "head_dim": 24}
    # The weights that are shipped were trained before the hidden layers came.
    options = {"stages": (3,), **tokens, "hidden": 0} if memory == "fam" else {}
    return create_model(
        "swin3d_nano",
        classes=CLASSES,
        memory=memory,
        height=64,
        width=64,
        background=0.1,
        **options,
    )


def learn(work: Path, name: str, memory: str, start: str | None, plans, options) -> None:
    """One stage: model NAME from model START."""
    out = work / f"{name}.safetensors"
    if out.exists() and not out.with_name(out.name + ".training").exists():
        return
    torch.manual_seed(0)
    model = fresh(memory)
    if start is not None:
        started = load_model(work / f"{start}.safetensors")
        # From the plain model comes all but the memory, which starts fresh.
        model.load_state_dict(started.state_dict(), strict=started.spec.memory == memory)
    learned, apart = recordings(work, *plans), recordings(work, PLAIN_VALIDATION)

    def show(update: TrainingUpdate) -> None:
        if update.update % 50 == 0 or update.figures is not None:
            figures = update.figures
            told = f"  validation kappa {figures.kappa:.3f}" if figures else ""
            print(f"{name} {update.update}/{update.total} loss {update.loss:.3f}{told}", flush=True)

    train_model(
        model,
        learned,
        options=options,
        out=out,
        validation=apart,
        on_update=show,
        card=card(learned, options),
    )


def train_plain(work: Path) -> None:
    """The comparison: every clip judged by itself."""
    plans = (SHORT_BOUTS, MIDDLE_BOUTS, LONG_BOUTS, *MORE_BOUTS)
    learn(work, "plain-a", "none", None, plans[:1], TrainOptions(epochs=6, **PLAIN))
    learn(work, "plain", "none", "plain-a", plans, TrainOptions(epochs=3, seed=1, **PLAIN))


def train_memory(work: Path, seed: int) -> None:
    """Memory and head, on what the plain model's first stage saw: two minutes first, then five."""
    out = work / f"memory-{seed}.safetensors"
    if out.exists():
        return
    torch.manual_seed(seed)
    model = fresh("fam")
    model.load_state_dict(load_model(work / "plain-a.safetensors").state_dict(), strict=False)
    turned = Look((True,), (1,), None, torch.ones(1), torch.zeros(1))
    # The plain model sees too well in the recordings that it learned from, which are the short
    # ones: of the others there are two looks.
    short = recordings(work, SHORT_BOUTS)
    longer = recordings(work, MIDDLE_BOUTS, LONG_BOUTS)
    learned = [*short, *longer]
    print("looking at the recordings", flush=True)
    seen = [see_recording(model, one) for one in short]
    seen += [see_recording(model, one, look=look) for one in longer for look in (None, turned)]
    apart = [see_recording(model, one) for one in recordings(work, *MORE_BOUTS)]
    calibrate_memory(model, seen)
    show = keep_best(model, apart, out, card(learned, MINUTES))
    train_on_features(model, seen, options=MINUTE, updates=320, on_update=show)
    train_on_features(model, seen, options=MINUTES, updates=280, on_update=show)
    partial(out).replace(out)


def best_memory(work: Path) -> str:
    """Which of the trainings the validation recordings prefer."""

    def kappa(name: str) -> float:
        return float(load_model(work / f"{name}.safetensors").card["validation"]["kappa"])

    return max((f"memory-{seed}" for seed in SEEDS), key=kappa)


def partial(out: Path) -> Path:
    """Where the best model so far lies while its stage runs; a killed stage is done again."""
    return out.with_suffix(".partial")


def keep_best(
    model: StreamClassifier, apart: list[SeenRecording], out: Path, told: dict[str, object]
) -> Callable[[int, float], None]:
    """Every 40 updates: kappa on the validation recordings, and the best model saved."""
    best = -1.0

    def show(update: int, loss: float) -> None:
        nonlocal best
        if update % 40:
            return
        recordings = [one.recording for one in apart]
        figures = evaluate_clips(model, recordings, view=feature_view(model, apart))
        print(f"{out.stem} {update} loss {loss:.3f} kappa {figures.kappa:.3f}", flush=True)
        if figures.kappa > best:
            best = figures.kappa
            save_model(model, partial(out), card={**told, "validation": figures.as_dict()})

    return show


def card(learned: list[Recording], options: TrainOptions, **more: object) -> dict[str, object]:
    """What a model file says about its training."""
    return {
        "trained_on": "a simulation only: drawn animals in a pen (scripts/train_pen.py)",
        "recipe": "scripts/train_pen.py",
        "options": dataclasses.asdict(options),
        "recordings": [recording.name for recording in learned],
        **more,
    }


def test(work: Path, out: Path) -> None:
    """Kappa on recordings that nothing was chosen by, with intervals over recordings."""
    paths = videos(TEST, work)
    for name, trained in (("pen", best_memory(work)), ("pen-no-memory", "plain")):
        model = load_model(work / f"{trained}.safetensors")
        results = [
            agreement(run(path, model=model), read_labels(path.with_suffix(".csv")))
            for path in paths
        ]
        pooled = pool_agreements(results)
        random = np.random.default_rng(0)
        draws = [
            pool_agreements(
                [results[index] for index in random.integers(len(results), size=len(results))]
            )
            for _ in range(1000)
        ]
        low, high = np.percentile([draw.kappa for draw in draws], [2.5, 97.5])
        figures = {
            "recordings": [path.name for path in paths],
            "kappa": round(pooled.kappa, 4),
            "kappa_95_percent_interval_over_recordings": [round(low, 4), round(high, 4)],
            "kappa_per_recording": [round(result.kappa, 4) for result in results],
            "accuracy": round(pooled.accuracy, 4),
            "balanced_accuracy": round(pooled.balanced_accuracy, 4),
            "f1": {one.label: round(one.f1, 4) for one in pooled.per_class},
        }
        print(name, json.dumps(figures, indent=2), flush=True)
        card = {**model.card, "test": figures}
        if pooled.weakest is not None:
            card["weakest_class"] = pooled.weakest.label
        save_model(model, out / f"{name}.safetensors", card=card, dtype=torch.float16)


if __name__ == "__main__":
    main()
