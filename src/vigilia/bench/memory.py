"""The memory benchmark as a whole: every memory on every task from every seed.

Each result is a file of its own, so a run that was killed goes on where it was, and a run that is
asked for more adds what is missing.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.bench.bank import SCENES, fill_bank
from vigilia.bench.cells import EXAM, Exam, answers, exam, learn
from vigilia.bench.contenders import CONTENDERS, HORIZON_CLIPS, Contender
from vigilia.bench.eyes import trained_eyes
from vigilia.bench.lessons import Lesson, curriculum_of
from vigilia.bench.scores import Score, score
from vigilia.bench.tasks import TASKS
from vigilia.errors import OptionError
from vigilia.files import write_atomically
from vigilia.stream import StreamClassifier

__all__ = ["BenchUpdate", "Plan", "bench_memory", "read_results"]

LOOK_SECONDS = 1.0
"""How often finished results of other processes are looked for."""


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        tasks: keys of `TASKS`.
        memories: keys of `CONTENDERS`.
        seeds: one training from each.
        curriculum: how memories are trained; None for each task's own.
        size: of the test.
        scenes: of the training streams.
    """

    tasks: tuple[str, ...] = tuple(TASKS)
    memories: tuple[str, ...] = tuple(CONTENDERS)
    seeds: tuple[int, ...] = (0, 1, 2)
    curriculum: tuple[Lesson, ...] | None = None
    size: Exam = EXAM
    scenes: int = SCENES

    def __post_init__(self) -> None:
        for kind, names, known in (
            ("task", self.tasks, TASKS),
            ("memory", self.memories, CONTENDERS),
        ):
            for name in names:
                if name not in known:
                    raise OptionError(f"no {kind} named {name!r}; there are {', '.join(known)}")
        if not self.tasks or not self.memories or not self.seeds:
            raise OptionError("name at least one task, one memory and one seed")
        if min(self.seeds) < 0:
            raise OptionError(f"seeds must not be negative, got {min(self.seeds)}")


@dataclass(frozen=True)
class BenchUpdate:
    """How far a run is: `done` of `total` cells, and what just happened."""

    done: int
    total: int
    told: str


def bench_memory(
    plan: Plan,
    out: Path,
    *,
    jobs: int = 1,
    on_update: Callable[[BenchUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Runs what of the plan is not there yet, and returns all results of the plan.

    Args:
        plan: what to run.
        out: folder; results go to TASK-MEMORY-SEED.json in it.
        jobs: processes side by side, each on one thread.
        on_update: called after every cell.

    Raises:
        OptionError: `jobs` is less than 1.
        OutputError: a result cannot be written.
    """
    if jobs < 1:
        raise OptionError(f"jobs must be at least 1, got {jobs}")
    out.mkdir(parents=True, exist_ok=True)
    total = len(plan.tasks) * len(plan.memories) * len(plan.seeds)
    done = len(read_results(plan, out))
    groups = [
        (plan, out, task, seed)
        for seed in plan.seeds
        for task in plan.tasks
        if any(not _place(out, task, memory, seed).exists() for memory in plan.memories)
    ]

    def tell(told: str) -> None:
        nonlocal done
        done += 1
        if on_update is not None:
            on_update(BenchUpdate(done, total, told))

    if jobs == 1:
        for group in groups:
            for told in _run_group(*group):
                tell(told)
    elif groups:
        # A fresh interpreter for each: torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        known = {_name(one) for one in read_results(plan, out)}
        with context.Pool(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            # Before the cells, or two of them would train the same eyes.
            pool.map(_train_eyes, [(out, seed) for seed in sorted({seed for *_, seed in groups})])
            running = [pool.apply_async(_run_group_whole, (group,)) for group in groups]
            while running:
                running[0].wait(LOOK_SECONDS)
                ready = [one for one in running if one.ready()]
                running = [one for one in running if not one.ready()]
                for one in read_results(plan, out):
                    if _name(one) not in known:
                        known.add(_name(one))
                        tell(_told(one))
                for over in ready:
                    over.get()  # raises what went wrong there
    return read_results(plan, out)


def read_results(plan: Plan, out: Path) -> list[dict[str, Any]]:
    """The results of the plan that are there, in its order."""
    places = (
        _place(out, task, memory, seed)
        for task in plan.tasks
        for memory in plan.memories
        for seed in plan.seeds
    )
    return [json.loads(place.read_text()) for place in places if place.exists()]


def _place(out: Path, task: str, memory: str, seed: int) -> Path:
    return out / f"{task}-{memory}-{seed}.json"


def _name(result: dict[str, Any]) -> tuple[str, str, int]:
    return result["task"], result["memory"], result["seed"]


def _told(result: dict[str, Any]) -> str:
    task, memory, seed = _name(result)
    return f"{task} {memory} seed {seed}: {result['all']['accuracy']:.3f}"


def _train_eyes(wanted: tuple[Path, int]) -> None:
    out, seed = wanted
    trained_eyes(out / f"eyes-{seed}.safetensors", seed=seed)


def _run_group_whole(group: tuple[Plan, Path, str, int]) -> None:
    for _ in _run_group(*group):
        pass


def _run_group(plan: Plan, out: Path, task_name: str, seed: int) -> Iterator[str]:
    """All memories of one task and seed, on the same streams."""
    task = TASKS[task_name]
    missing = [m for m in plan.memories if not _place(out, task_name, m, seed).exists()]
    eyes = trained_eyes(out / f"eyes-{seed}.safetensors", seed=seed)
    bank = fill_bank(task, eyes, seed=seed, scenes=plan.scenes)
    asked = exam(task, eyes, seed=seed, size=plan.size)
    streams = asked.streams
    oracle = score(streams, np.stack([task.oracle(stream) for stream in streams]))
    curriculum = plan.curriculum or curriculum_of(task_name)
    learned_already: dict[Contender, tuple[StreamClassifier, list[float]]] = {}
    for name in missing:
        contender = CONTENDERS[name]
        # Who is tested on a foreign memory has learned like the one whose test is its own.
        pupil = replace(contender, name="", title="", foreign=False)
        began = time.monotonic()
        losses: list[float] = []

        def keep(update: int, total: int, loss: float, losses: list[float] = losses) -> None:
            losses.append(loss)

        if pupil not in learned_already:
            model = learn(
                task, contender, eyes, bank, seed=seed, curriculum=curriculum, on_update=keep
            )
            learned_already[pupil] = model, losses
        model, losses = learned_already[pupil]
        learned = time.monotonic()
        result = score(streams, answers(model, asked, foreign=contender.foreign))
        told = {
            "task": task_name,
            "title": task.title,
            "memory": name,
            "memory_title": contender.title,
            "seed": seed,
            **_as_dict(result),
            "memoryless_ceiling": task.memoryless_ceiling(streams),
            "memoryless_ceiling_from_1_clip": task.memoryless_ceiling(streams, min_age=1),
            "oracle": _as_dict(oracle),
            "horizon_clips": HORIZON_CLIPS,
            "longest_training_clips": max(lesson.clips for lesson in curriculum),
            "test_clips": int(asked.labels.numel()),
            "updates": len(losses),
            "most_updates": sum(lesson.updates for lesson in curriculum),
            "last_loss": float(np.mean(losses[-10:])),
            "memory_parameters": sum(p.numel() for p in model.memory.parameters()),
            "state_bytes": model.init_state(1).nbytes,
            "training_seconds": round(learned - began, 1),
            "test_seconds": round(time.monotonic() - learned, 1),
            "eyes": eyes.card,
        }
        write_atomically(_place(out, task_name, name, seed), json.dumps(told, indent=1))
        yield _told(told)


def _as_dict(result: Score) -> dict[str, Any]:
    return {"all": asdict(result.all), "ages": [asdict(one) for one in result.ages]}
