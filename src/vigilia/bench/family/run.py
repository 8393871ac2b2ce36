"""The family benchmark as a whole: every backbone with every memory on every task from every seed.

Each result is a file of its own, so a run that was killed goes on where it was, and a run that is
asked for more adds what is missing.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vigilia.bench.cells import Exam, answers, exam
from vigilia.bench.eyes import trained_eyes
from vigilia.bench.family.entrants import ENTRANTS, MEMORIES, contender_for
from vigilia.bench.family.learning import cost_of, learn_behind, lessons_of, step_behind
from vigilia.bench.family.pushups import (
    EPOCHS,
    FOLDS,
    PUSHUPS,
    examine_pushups,
    pushups_cost,
    setting_for,
)
from vigilia.bench.family.seeing import POOL_CLIPS, fill_family_bank, fill_pools, see_whole
from vigilia.bench.lessons import Lesson
from vigilia.bench.memory import BenchUpdate
from vigilia.bench.scores import score
from vigilia.bench.tasks import TASKS
from vigilia.errors import OptionError
from vigilia.files import write_atomically

__all__ = ["FAMILY_TASKS", "FamilyPlan", "bench_family", "read_family_results"]

FAMILY_TASKS = ("T1", "T3", "T8", PUSHUPS)
EYES_UPDATES = 1800
SCENES = 32
EXAM = Exam(streams=4, clips=1000)
EYES_SEED = 0
"""Eyes, scenes, training streams and test are the same for all seeds; see the plan."""


@dataclass(frozen=True)
class FamilyPlan:
    """What is to be run.

    Seeds are of the memory: its weights, the order in which streams come, the noise on them. What a
    backbone learned to see, the streams and the test are the same for all seeds, so that a backbone
    has to see them once; ± in the table says how much the training of a memory varies. On push-ups
    a seed is of everything, and tests another part of the people.

    Attributes:
        backbones: names for small pictures.
        memories: "none", "fam" or both.
        tasks: of `TASKS`, and "pushups".
        seeds: one training from each.
        eyes_updates: of 64 clips each, in which a backbone learns to see before it is frozen.
        curriculum: how memories are trained; None for each task's own.
        size: of the test.
        scenes: of the training streams.
        pool_clips: of each lesson's streams together.
        folds: of the push-ups.
        epochs: of the push-ups.
    """

    backbones: tuple[str, ...] = ENTRANTS
    memories: tuple[str, ...] = MEMORIES
    tasks: tuple[str, ...] = FAMILY_TASKS
    seeds: tuple[int, ...] = (0, 1, 2)
    eyes_updates: int = EYES_UPDATES
    curriculum: tuple[Lesson, ...] | None = None
    size: Exam = EXAM
    scenes: int = SCENES
    pool_clips: int = POOL_CLIPS
    folds: int = FOLDS
    epochs: int = EPOCHS

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task not in TASKS and task != PUSHUPS:
                raise OptionError(
                    f"no task named {task!r}; there are {', '.join(TASKS)} and {PUSHUPS}"
                )
        if not self.backbones or not self.memories or not self.tasks or not self.seeds:
            raise OptionError("name at least one backbone, one memory, one task and one seed")
        if min(self.seeds) < 0:
            raise OptionError(f"seeds must not be negative, got {min(self.seeds)}")
        for backbone in self.backbones:
            for memory in self.memories:
                contender_for(backbone, memory)

    def cells(self) -> Iterator[tuple[str, str, str, int]]:
        """(task, backbone, memory, seed) of every result, in the order of the tables."""
        for task in self.tasks:
            for backbone in self.backbones:
                for memory in self.memories:
                    for seed in self.seeds:
                        yield task, backbone, memory, seed


def bench_family(
    plan: FamilyPlan,
    out: Path,
    *,
    pushups: Path | None = None,
    jobs: int = 1,
    on_update: Callable[[BenchUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Runs what of the plan is not there yet, and returns all results of the plan.

    Args:
        plan: what to run.
        out: folder; results go to TASK-BACKBONE-MEMORY-SEED.json in it.
        pushups: folder of the push-ups' clips; without it that task is left out.
        jobs: processes side by side, each on one thread.
        on_update: called after every cell.

    Raises:
        OptionError: `jobs` is less than 1, or nothing but absent push-ups was asked for.
        OutputError: a result cannot be written.
    """
    if jobs < 1:
        raise OptionError(f"jobs must be at least 1, got {jobs}")
    tasks = tuple(task for task in plan.tasks if task != PUSHUPS or pushups is not None)
    if not tasks:
        raise OptionError("the clips of push-ups are not there; name another --task, or --data")
    out.mkdir(parents=True, exist_ok=True)
    cells = [cell for cell in plan.cells() if cell[0] in tasks]
    missing = [cell for cell in cells if not _place(out, cell).exists()]
    groups: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for task, backbone, memory, seed in missing:
        groups.setdefault((backbone, task), []).append((memory, seed))
    work = [(plan, out, pushups, *key, wanted) for key, wanted in groups.items()]
    blind = sorted({key[0] for key in groups if key[1] != PUSHUPS})
    done = len(cells) - len(missing)

    def tell(told: list[str]) -> None:
        nonlocal done
        for line in told:
            done += 1
            if on_update is not None:
                on_update(BenchUpdate(done, len(cells), line))

    if jobs == 1:
        for backbone in blind:
            _eyes(plan, out, backbone)
        for one in work:
            tell(_run_group(one))
    elif work:
        # A fresh interpreter for each: torch's threads do not survive a fork.
        context = multiprocessing.get_context("spawn")
        with context.Pool(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for _ in pool.imap_unordered(_open_eyes, [(plan, out, one) for one in blind]):
                pass
            for told in pool.imap_unordered(_run_group, work):
                tell(told)
    return read_family_results(plan, out)


def read_family_results(plan: FamilyPlan, out: Path) -> list[dict[str, Any]]:
    """The results of the plan that are there, in its order."""
    places = (_place(out, cell) for cell in plan.cells())
    return [json.loads(place.read_text()) for place in places if place.exists()]


def _place(out: Path, cell: tuple[str, str, str, int]) -> Path:
    task, backbone, memory, seed = cell
    return out / f"{task}-{backbone}-{memory}-{seed}.json"


def _eyes(plan: FamilyPlan, out: Path, backbone: str) -> Any:
    place = out / f"eyes-{backbone}.safetensors"
    return trained_eyes(place, seed=EYES_SEED, updates=plan.eyes_updates, backbone=backbone)


def _open_eyes(one: tuple[FamilyPlan, Path, str]) -> None:
    _eyes(*one)


def _run_group(
    group: tuple[FamilyPlan, Path, Path | None, str, str, list[tuple[str, int]]],
) -> list[str]:
    """The memories and seeds of one backbone and task, on the same streams; a line for each."""
    plan, out, pushups, backbone, task, wanted = group
    if task == PUSHUPS:
        assert pushups is not None
        results = _pushups_results(plan, out, pushups, backbone, wanted)
    else:
        results = _memory_results(plan, out, backbone, task, wanted)
    told = []
    for result in results:
        memory, seed = result["memory"], result["seed"]
        write_atomically(_place(out, (task, backbone, memory, seed)), json.dumps(result, indent=1))
        told.append(f"{task} {backbone} {memory} seed {seed}: {result['accuracy']:.3f}")
    return told


def _memory_results(
    plan: FamilyPlan, out: Path, backbone: str, task_name: str, wanted: list[tuple[str, int]]
) -> Iterator[dict[str, Any]]:
    task = TASKS[task_name]
    began = time.process_time()
    eyes = _eyes(plan, out, backbone)
    bank = fill_family_bank(task, eyes, seed=EYES_SEED, scenes=plan.scenes)
    course = plan.curriculum or lessons_of(task_name)
    pools = fill_pools(task, bank, eyes, course, seed=EYES_SEED, clips=plan.pool_clips)
    asked = exam(task, eyes, seed=EYES_SEED, size=plan.size, see=see_whole)
    streams = asked.streams
    oracle = score(streams, np.stack([task.oracle(stream) for stream in streams]))
    seeing_seconds = time.process_time() - began
    for memory, seed in wanted:
        began = time.process_time()
        contender = contender_for(backbone, memory)
        losses: list[float] = []

        def keep(update: int, total: int, loss: float, losses: list[float] = losses) -> None:
            losses.append(loss)

        model = learn_behind(
            task,
            contender,
            eyes,
            pools,
            seed=seed,
            curriculum=course,
            on_update=keep,
        )
        result = score(streams, answers(model, asked, step=step_behind))
        yield {
            "task": task_name,
            "title": task.title,
            "backbone": backbone,
            "memory": memory,
            "seed": seed,
            "accuracy": result.all.accuracy,
            "low95": result.all.low95,
            "high95": result.all.high95,
            "ages": [asdict(one) for one in result.ages],
            "memoryless_ceiling": task.memoryless_ceiling(streams),
            "oracle": oracle.all.accuracy,
            "named": eyes.card.get("named"),
            "updates": len(losses),
            **asdict(cost_of(backbone, contender, task.classes)),
            "seeing_seconds": round(seeing_seconds, 1),
            "processor_seconds": round(time.process_time() - began, 1),
        }


def _pushups_results(
    plan: FamilyPlan, out: Path, folder: Path, backbone: str, wanted: list[tuple[str, int]]
) -> Iterator[dict[str, Any]]:
    for memory, seed in wanted:
        began = time.process_time()
        setting = setting_for(backbone, memory, epochs=plan.epochs)
        found = examine_pushups(folder, setting, seed=seed, cache=out / "frames", folds=plan.folds)
        yield {
            "task": PUSHUPS,
            "title": "push-ups",
            "backbone": backbone,
            "memory": memory,
            "seed": seed,
            **asdict(found),
            "epochs": plan.epochs,
            **asdict(pushups_cost(setting)),
            "processor_seconds": round(time.process_time() - began, 1),
        }
