"""The benchmark on real pixels as a whole: every question, every memory, every seed.

Each result is a file of its own, so a run that was killed goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vigilia.bench.memory import BenchUpdate
from vigilia.bench.real.asking import EYES, answer_question
from vigilia.bench.real.continuous import (
    BASELINES,
    RECORDINGS,
    Cut,
    answer_recording,
    cut_recording,
)
from vigilia.bench.real.footage import Footage
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.questions import QUESTIONS, Size
from vigilia.errors import InputError, OptionError
from vigilia.files import write_atomically

__all__ = ["RealPlan", "bench_real", "read_real_results"]

CONTINUOUS_MEMORIES = ("none", "gru", "fam")


@dataclass(frozen=True)
class RealPlan:
    """What is to be run.

    Attributes:
        questions: keys of `QUESTIONS` and `RECORDINGS`.
        memories: keys of `MEMORIES`; those that take part in a question.
        seeds: one training from each.
        size: how much is done.
    """

    questions: tuple[str, ...] = (*QUESTIONS, *RECORDINGS)
    memories: tuple[str, ...] = tuple(MEMORIES)
    seeds: tuple[int, ...] = (0, 1, 2)
    size: Size = field(default_factory=Size)

    def __post_init__(self) -> None:
        for kind, names, known in (
            ("question", self.questions, (*QUESTIONS, *RECORDINGS)),
            ("memory", self.memories, tuple(MEMORIES)),
        ):
            for name in names:
                if name not in known:
                    raise OptionError(f"no {kind} named {name!r}; there are {', '.join(known)}")
        if not self.questions or not self.memories or not self.seeds:
            raise OptionError("name at least one question, one memory and one seed")
        if min(self.seeds) < 0:
            raise OptionError(f"seeds must not be negative, got {min(self.seeds)}")

    def rows(self, question: str, seed: int) -> tuple[str, ...]:
        """Who answers a question: memories, and what stands beside them without learning."""
        if question in QUESTIONS:
            beside: tuple[str, ...] = (EYES,)
            takes_part = QUESTIONS[question].memories
        else:
            beside = BASELINES if seed == self.seeds[0] else ()  # they depend on no seed
            takes_part = CONTINUOUS_MEMORIES
        return (*beside, *(name for name in self.memories if name in takes_part))

    def cells(self) -> Iterator[tuple[str, str, int]]:
        """Question, row and seed of every result."""
        for question in self.questions:
            for seed in self.seeds:
                for name in self.rows(question, seed):
                    yield question, name, seed


def bench_real(
    plan: RealPlan,
    folder: Path,
    out: Path,
    *,
    on_update: Callable[[BenchUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Runs what of the plan is not there yet, and returns all results of the plan.

    Args:
        plan: what to run.
        folder: the shared data: clips/, continuous/ and animals/.
        out: folder; results go to QUESTION-MEMORY-SEED.json in it.
        on_update: called after every cell.

    Raises:
        InputError: a recording or a table is not there or cannot be used.
        OutputError: a result cannot be written.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one that holds clips/, continuous/")
    total = len(list(plan.cells()))
    done = len(read_real_results(plan, out))
    footage: dict[Callable[[Path], Footage], Footage] = {}
    cuts: dict[str, Cut] = {}
    missing = {
        (question, seed): [
            name
            for name in plan.rows(question, seed)
            if not _place(out, question, name, seed).exists()
        ]
        for seed in plan.seeds
        for question in plan.questions
    }
    # Everything is read before anything is learned: a missing file is told at once.
    for question, _ in (key for key, names in missing.items() if names):
        if question in QUESTIONS:
            reader = QUESTIONS[question].footage
            if reader not in footage:
                footage[reader] = reader(folder)
        elif question not in cuts:
            cuts[question] = cut_recording(RECORDINGS[question], folder, out / "frames")
    out.mkdir(parents=True, exist_ok=True)
    for (question, seed), names in missing.items():
        if not names:
            continue
        if question in QUESTIONS:
            asked = QUESTIONS[question]
            found = answer_question(
                asked, footage[asked.footage], names, out, seed=seed, size=plan.size
            )
        else:
            found = answer_recording(
                RECORDINGS[question], cuts[question], names, out, seed=seed, size=plan.size
            )
        began = time.process_time()
        for result in found:
            used = round(time.process_time() - began, 1)
            name = result["memory"]
            told = {**result, "processor_seconds": used}
            write_atomically(_place(out, question, name, seed), json.dumps(told, indent=1))
            done += 1
            if on_update is not None:
                on_update(BenchUpdate(done, total, f"{question} {name} seed {seed}: {used:g} s"))
            began = time.process_time()
    return read_real_results(plan, out)


def read_real_results(plan: RealPlan, out: Path) -> list[dict[str, Any]]:
    """The results of the plan that are there, in its order."""
    places = (_place(out, *cell) for cell in plan.cells())
    return [json.loads(place.read_text()) for place in places if place.exists()]


def _place(out: Path, question: str, memory: str, seed: int) -> Path:
    return out / f"{question}-{memory}-{seed}.json"
