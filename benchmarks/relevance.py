"""What each part of relevance does, measured: on the memory benchmark's streams and on the pen.

    python benchmarks/relevance.py --out build/relevance                    # over half an hour
    python benchmarks/relevance.py --out build/relevance --smoke            # minutes; means nothing
    python benchmarks/relevance.py --out build/relevance --parts gate surprise --seeds 0 1 2

Every line that is printed is one measurement as JSON, and is kept in OUT/results.jsonl. Parts that
are done there, seed by seed, are not done again.

multiscale  T6 and T8: accuracy, and of clips whose cue is 16 clips old or older, without and with
            the error of what was expected as a prior of the weights. The benchmark of memories asks
            the others (none, gru, fam) the same from the same streams; with --memory FOLDER, where
            its results lie, its eyes are used and its figures stand beside.
losses      the same tasks, in half of the benchmark's updates, a GRU trained without, with
            coherence, with slow features; and on the pen, from the bundled model's features.
gate        the pen: share of clips stepped, and balanced accuracy, ungated, with the noise gate,
            with a learned gate, and with steps at even distances as many as the learned gate takes.
sampling    the pen: share of events of 3 s or less of which a clip of 8 s and 8 frames shows 2
            frames or more, with the frames spread evenly and where the picture changes.
surprise    the pen and T6: area under the ROC of surprise for clips that hold an event, with a
            fresh predictor and with a trained one.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import relevance_pen as pen
from relevance_pen import LOSSES, Line, PenSize
from vigilia.bench.bank import compose, fill_bank
from vigilia.bench.cells import Exam, Lesson, answers, exam, learn
from vigilia.bench.contenders import Contender
from vigilia.bench.eyes import make_model, trained_eyes
from vigilia.bench.lessons import curriculum_of
from vigilia.bench.scores import score, score_from
from vigilia.bench.seen import step_seen
from vigilia.bench.tasks import TASKS
from vigilia.memory import MEMORIES
from vigilia.relevance import multiscale, surprise_of
from vigilia.stream import StreamClassifier
from vigilia.training import TrainOptions
from vigilia.training.optimiser import make_optimiser
from vigilia.training.temporal import temporal_loss

OLD_CLIPS = 16
OURS = (
    Contender("multiscale", "multi-scale relevance", "multiscale"),
    Contender(
        "multiscale, surprise",
        "the same, what surprises draws weight",
        "multiscale",
        {"surprise": True},
    ),
)


@dataclasses.dataclass(frozen=True)
class Size:
    """How much is run."""

    lessons: tuple[Lesson, ...] | None = None
    share: float = 0.5
    size: Exam = dataclasses.field(default_factory=lambda: Exam(streams=8, clips=2500))
    scenes: int = 64
    eyes_updates: int = 1800
    pen: PenSize = dataclasses.field(default_factory=PenSize)
    memory: Path | None = None


SMOKE = Size(
    lessons=(Lesson(clips=8, gap=3.0, updates=4), Lesson(clips=16, gap=5.0, updates=2)),
    size=Exam(streams=2, clips=60),
    scenes=2,
    eyes_updates=3,
    pen=PenSize(seconds=240.0, recordings=2, updates=20),
)


def bench_multiscale(out: Path, seed: int, size: Size) -> Iterator[Line]:
    MEMORIES.setdefault("multiscale", multiscale)
    eyes = _eyes(out, seed, size)
    for name in ("T6", "T8"):
        task = TASKS[name]
        bank = fill_bank(task, eyes, seed=seed, scenes=size.scenes)
        asked = exam(task, eyes, seed=seed, size=size.size)
        for ours in OURS:
            model = learn(task, ours, eyes, bank, seed=seed, curriculum=size.lessons)
            told = score(asked.streams, answers(model, asked))
            yield {
                "task": name,
                "memory": ours.name,
                "accuracy": told.all.accuracy,
                "accuracy_old": score_from(told, OLD_CLIPS),
                "parameters": sum(p.numel() for p in model.memory.parameters()),
                "state_bytes": model.init_state(1).nbytes,
            }
        for other in ("none", "gru", "fam"):
            if size.memory is None:
                continue
            place = size.memory / f"{name}-{other}-{seed}.json"
            if place.exists():
                found = json.loads(place.read_text())
                yield {
                    "task": name,
                    "memory": other,
                    "accuracy": found["all"]["accuracy"],
                    "accuracy_old": _old(found["ages"]),
                    "parameters": found["memory_parameters"],
                    "state_bytes": found["state_bytes"],
                }


def _old(ages: list[dict[str, Any]]) -> float | None:
    """As `score_from`, of what a result file holds."""
    kept = [one for one in ages if one["low"] >= OLD_CLIPS and one["clips"]]
    total = sum(one["clips"] for one in kept)
    return sum(one["accuracy"] * one["clips"] for one in kept) / total if total else None


def bench_losses(out: Path, seed: int, size: Size) -> Iterator[Line]:
    eyes = _eyes(out, seed, size)
    for name in ("T6", "T8"):
        task = TASKS[name]
        bank = fill_bank(task, eyes, seed=seed, scenes=size.scenes)
        asked = exam(task, eyes, seed=seed, size=size.size)
        for loss, options in LOSSES.items():
            torch.manual_seed(seed)
            random = np.random.default_rng([seed, 31])
            model = make_model(task.classes, "gru", {"hidden": 256})
            model.backbone.load_state_dict(eyes.backbone.state_dict())
            model.backbone.requires_grad_(False)
            trained = TrainOptions(learning_rate=3e-3, **options)  # type: ignore[arg-type]
            optimiser = make_optimiser(model, trained)
            for lesson in size.lessons or curriculum_of(name):
                for _ in range(round(size.share * lesson.updates)):
                    drawn = [task.draw(lesson.clips, random, gap=lesson.gap) for _ in range(32)]
                    total = _seen_loss(model, compose(bank, drawn, random), trained)
                    optimiser.zero_grad(set_to_none=True)
                    total.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimiser.step()
            told = score(asked.streams, answers(model.eval(), asked))
            yield {
                "task": name,
                "loss": loss,
                "accuracy": told.all.accuracy,
                "accuracy_old": score_from(told, OLD_CLIPS),
            }
    yield from pen.losses(out, seed, size.pen)


def _seen_loss(model: StreamClassifier, seen: Any, options: TrainOptions) -> Tensor:
    """Cross entropy of the scored clips, and what the options add, as training adds it."""
    state, shown = model.init_state(len(seen)), []
    for clip in range(seen.labels.shape[1]):
        logits, state = step_seen(model, seen, clip, state)
        shown.append(logits)
    together = torch.stack(shown, dim=1)
    loss = F.cross_entropy(together.flatten(0, 1), seen.labels.flatten(), ignore_index=-1)
    temporal = temporal_loss(options)
    if temporal is None:
        return loss
    before, after = seen.labels[:, :-1], seen.labels[:, 1:]
    differ = (before >= 0) & (after >= 0) & (before != after)
    return loss + temporal(together, (~differ).float())


def bench_gate(out: Path, seed: int, size: Size) -> Iterator[Line]:
    yield from pen.gates(out, seed, size.pen)


def bench_sampling(out: Path, seed: int, size: Size) -> Iterator[Line]:
    yield from pen.sampling(seed, size.pen)


def bench_surprise(out: Path, seed: int, size: Size) -> Iterator[Line]:
    yield from pen.surprise(out, seed, size.pen)
    eyes = _eyes(out, seed, size)
    asked = exam(TASKS["T6"], eyes, seed=seed, size=size.size)
    shown = np.stack([stream.symbols > 0 for stream in asked.streams])
    ends = asked.step_seconds * np.arange(1, shown.shape[1] + 1)
    half = len(asked) // 2
    trained = pen.predictor_of(list(asked.pooled[:half]), seed, size.pen.updates)
    for kind, predictor in (("fresh", None), ("trained", trained)):
        curves = [surprise_of(one, ends, predictor=predictor) for one in asked.pooled[half:]]
        area = pen.area(np.concatenate(curves), shown[half:].ravel())
        yield {"task": "T6", "predictor": kind, "area": area, "events": int(shown[half:].sum())}


def _eyes(out: Path, seed: int, size: Size) -> StreamClassifier:
    if size.memory is not None and (place := size.memory / f"eyes-{seed}.safetensors").exists():
        return trained_eyes(place, seed=seed)
    return trained_eyes(out / f"eyes-{seed}.safetensors", seed=seed, updates=size.eyes_updates)


PARTS = {
    "multiscale": bench_multiscale,
    "losses": bench_losses,
    "gate": bench_gate,
    "sampling": bench_sampling,
    "surprise": bench_surprise,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/relevance"))
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--smoke", action="store_true", help="as little as runs; means nothing")
    parser.add_argument("--memory", type=Path, help="results of `vigilia bench memory`")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    size = SMOKE if arguments.smoke else Size(memory=arguments.memory)
    out = arguments.out / ("smoke" if arguments.smoke else "full")
    out.mkdir(parents=True, exist_ok=True)
    results = out / "results.jsonl"
    there = (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )
    done = {(one["part"], one["seed"]) for one in there if one.get("done")}
    with results.open("a", encoding="utf-8") as file:
        for part in arguments.parts:
            for seed in arguments.seeds:
                if (part, seed) in done:
                    continue
                for line in [*PARTS[part](out, seed, size), {"done": True}]:
                    # No clip of that age: JSON has no name for it.
                    known = {key: None if value != value else value for key, value in line.items()}
                    text = json.dumps({"part": part, "seed": seed, **known})
                    print(text, flush=True)
                    file.write(text + "\n")
                    file.flush()


if __name__ == "__main__":
    main()
