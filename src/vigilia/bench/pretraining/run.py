"""The benchmark of pre-training as a whole: every material, backbone and start from every seed.

Each result is a file of its own, so a run that was killed goes on where it was, and a run that is
asked for more adds what is missing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vigilia.backbones import NANO
from vigilia.bench.memory import BenchUpdate
from vigilia.bench.pretraining.material import MATERIALS, Material, read_material
from vigilia.bench.pretraining.measuring import BACKBONES, PIXELS, STARTS, Effort, measure
from vigilia.errors import InputError, OptionError
from vigilia.files import write_atomically

__all__ = ["PretrainPlan", "bench_pretraining", "read_pretraining_results"]


@dataclass(frozen=True)
class PretrainPlan:
    """What is to be run.

    Attributes:
        materials: keys of `MATERIALS`.
        backbones: names for small pictures.
        starts: of `STARTS`.
        seeds: one training from each; three test every group once.
        effort: how much is done.
    """

    materials: tuple[str, ...] = tuple(MATERIALS)
    backbones: tuple[str, ...] = BACKBONES
    starts: tuple[str, ...] = STARTS
    seeds: tuple[int, ...] = (0, 1, 2)
    effort: Effort = field(default_factory=Effort)

    def __post_init__(self) -> None:
        for kind, names, known in (
            ("data", self.materials, tuple(MATERIALS)),
            ("model for small pictures", self.backbones, NANO),
            ("start", self.starts, STARTS),
        ):
            for name in names:
                if name not in known:
                    raise OptionError(f"no {kind} named {name!r}; there are {', '.join(known)}")
            if not names:
                raise OptionError(f"name at least one {kind}")
        if not self.seeds or min(self.seeds) < 0:
            raise OptionError(f"seeds must be 0 or more, at least one, got {self.seeds}")

    def cells(self) -> Iterator[tuple[str, str, str, int]]:
        """Material, backbone, start and seed of every result, in the order of the table."""
        for material in self.materials:
            for seed in self.seeds:
                yield material, PIXELS, "none", seed
            for backbone in self.backbones:
                for start in self.starts:
                    for seed in self.seeds:
                        yield material, backbone, start, seed


def bench_pretraining(
    plan: PretrainPlan,
    folder: Path,
    out: Path,
    *,
    on_update: Callable[[BenchUpdate], None] | None = None,
) -> list[dict[str, Any]]:
    """Runs what of the plan is not there yet, and returns all results of the plan.

    Args:
        plan: what to run.
        folder: the shared data: clips/, animals/ and events/.
        out: folder; results go to MATERIAL-BACKBONE-START-SEED.json in it.
        on_update: called after every cell.

    Raises:
        InputError: a recording is not there or cannot be used.
        OutputError: a result cannot be written.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; name the one that holds clips/ and events/")
    cells = list(plan.cells())
    missing = [cell for cell in cells if not _place(out, cell).exists()]
    # Everything is read before anything is learned: a missing file is told at once.
    materials: dict[str, Material] = {
        name: read_material(name, folder, out / "frames")
        for name in dict.fromkeys(cell[0] for cell in missing)
    }
    out.mkdir(parents=True, exist_ok=True)
    # Seed by seed: a run that is broken off has a few of everything.
    for done, cell in enumerate(
        sorted(missing, key=lambda cell: cell[3]), start=len(cells) - len(missing) + 1
    ):
        name, backbone, start, seed = cell
        material = materials[name]
        found = measure(material, backbone, start, seed=seed, effort=plan.effort)
        told = {
            "material": name,
            "title": material.title,
            "classes": list(material.classes),
            "backbone": backbone,
            "start": start,
            "seed": seed,
            **found,
        }
        write_atomically(_place(out, cell), json.dumps(told))
        if on_update is not None:
            used = found["processor_seconds"]
            share = found["probe"]["balanced_accuracy"]
            line = f"{name} {backbone} {start} seed {seed}: probe {share:.3f}, {used:g} s"
            on_update(BenchUpdate(done, len(cells), line))
    return read_pretraining_results(plan, out)


def read_pretraining_results(plan: PretrainPlan, out: Path) -> list[dict[str, Any]]:
    """The results of the plan that are there, in its order."""
    places = (_place(out, cell) for cell in plan.cells())
    return [json.loads(place.read_text()) for place in places if place.exists()]


def _place(out: Path, cell: tuple[str, str, str, int]) -> Path:
    material, backbone, start, seed = cell
    return out / f"{material}-{backbone}-{start}-{seed}.json"
