"""The benchmark as a whole: every contender learns both tasks from every seed, and is examined.

Each result is a file of its own, and weights are kept beside them, so a run that was killed goes on
where it was, and a run that is asked for more adds what is missing.

Letters: O objects.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from vigilia.bench.memory import BenchUpdate
from vigilia.bench.permanence.contenders import CONTENDERS, Contender
from vigilia.bench.permanence.digits import digits
from vigilia.bench.permanence.exam import (
    GAPS,
    LOOK,
    LOOK_GAPS,
    LOOK_SCENES,
    Exam,
    Said,
    examine,
    grade,
    set_exam,
    told,
)
from vigilia.bench.permanence.observer import observed
from vigilia.bench.permanence.scenes import Setting, draw_scenes
from vigilia.errors import CheckpointError, OptionError
from vigilia.files import write_atomically
from vigilia.spiking import NeuroSvt
from vigilia.spiking.training import EventBatch, Progress, SpikingTraining, train_on_events

__all__ = [
    "TASKS",
    "PermanencePlan",
    "bench_permanence",
    "read_results",
    "scene_batch",
    "trained_model",
]

TASKS = {"one": Setting(objects=1), "two": Setting(objects=2)}
"""One digit: which, where, and is it the same that comes back? Two: which is where by now?"""

RECIPE = SpikingTraining(updates=2000, glimpses=0.4, learning_rate=4e-3, weight_decay=1e-2)
"""How every contender learns: scans that change are never learned by heart, so longer pays."""

GLIMPSE = 3
"""Bins of a scene at a glimpse."""

GLIMPSES = 4
"""Times as many scenes as in a batch of whole ones: half as many bins, and half the work."""

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class PermanencePlan:
    """What is to be run.

    Attributes:
        tasks: keys of `TASKS`.
        contenders: keys of `CONTENDERS`.
        seeds: one training from each.
        gaps: bins that all has been hidden for, when asked; 0 is before.
        training: of every contender alike; its seed is replaced.
        changed: whether scans are changed a little while they are learned from.
        scenes: of an exam, at most; there are 497 test digits.
        split: "test", or "tune" for the digits that choices are made by.
    """

    tasks: tuple[str, ...] = tuple(TASKS)
    contenders: tuple[str, ...] = tuple(CONTENDERS)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    gaps: tuple[int, ...] = GAPS
    training: SpikingTraining = field(default_factory=lambda: RECIPE)
    scenes: int = 497
    changed: bool = True
    split: str = "test"

    def __post_init__(self) -> None:
        for kind, names, known in (
            ("task", self.tasks, TASKS),
            ("contender", self.contenders, CONTENDERS),
        ):
            for name in names:
                if name not in known:
                    raise OptionError(f"no {kind} named {name!r}; there are {', '.join(known)}")
        if not self.tasks or not self.contenders or not self.seeds or min(self.seeds) < 0:
            raise OptionError("name at least one task, one contender and one seed from 0")
        if 0 not in self.gaps or min(self.gaps) < 0:
            raise OptionError(f"gaps must have 0 among them and none below, got {self.gaps}")
        if self.scenes < 2:
            raise OptionError(f"scenes must be at least 2, got {self.scenes}")


def bench_permanence(
    plan: PermanencePlan,
    out: Path,
    *,
    on_update: Callable[[BenchUpdate], None] | None = None,
    on_training: Callable[[str, Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """Runs what of the plan is not there yet, and returns all results of the plan.

    Args:
        plan: what to run.
        out: folder; results go to TASK-CONTENDER-SEED.json in it.
        on_update: called after every cell.
        on_training: called after every update of a training, with the cell's name.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        OutputError: a result cannot be written.
    """
    digits("test")  # fails now or never
    out.mkdir(parents=True, exist_ok=True)
    cells = [
        (seed, task, name) for seed in plan.seeds for task in plan.tasks for name in plan.contenders
    ]
    done = len(read_results(plan, out))
    for seed, task, name in cells:
        place = _place(plan, out, task, name, seed)
        if place.exists():
            continue
        result = _cell(plan, out, task, CONTENDERS[name], seed, on_training)
        write_atomically(place, json.dumps(result, indent=1))
        done += 1
        if on_update is not None:
            shares = [row["identity"] for row in result["dtypes"]["float32"]]
            said = " ".join(f"{share['right'] / share['of']:.3f}" for share in shares)
            on_update(BenchUpdate(done, len(cells), f"{task} {name} seed {seed}: {said}"))
    return read_results(plan, out)


def read_results(plan: PermanencePlan, out: Path) -> list[dict[str, Any]]:
    """The results of the plan that are there, in its order."""
    places = (
        _place(plan, out, task, name, seed)
        for task in plan.tasks
        for name in plan.contenders
        for seed in plan.seeds
    )
    return [json.loads(place.read_text(encoding="utf-8")) for place in places if place.exists()]


def trained_model(out: Path, *, seed: int = 0) -> NeuroSvt:
    """The `event` model that a run has left in its folder.

    Raises:
        CheckpointError: there is none.
    """
    weights = out / f"one-event-{seed}.safetensors"
    if not weights.exists():
        raise CheckpointError(
            f"{weights} is not there; make it with "
            f"`vigilia bench permanence --task one --contender event --out {out}`"
        )
    build = CONTENDERS["event"].build
    assert build is not None
    model = build(1)
    _load(model, weights)
    assert isinstance(model, NeuroSvt)
    return model.eval()


def scene_batch(
    rows: int,
    gap: int,
    generator: torch.Generator,
    setting: Setting,
    *,
    changed: bool = False,
) -> EventBatch:
    """Training scenes: something is to be seen until the curtain comes.

    Args:
        rows: B.
        gap: bins in which all is hidden.
        generator: of everything that chance decides.
        setting: how scenes are.
        changed: change every scan a little.
    """
    scenes = draw_scenes(rows, gap, generator, setting=setting, changed=changed)
    present = scenes.visible.float()[:, None].expand(-1, rows)
    return EventBatch(scenes.bins, scenes.classes, scenes.places, present)


def glimpse_batch(
    rows: int, generator: torch.Generator, setting: Setting, *, changed: bool = False
) -> EventBatch:
    """The first `GLIMPSE` bins of many scenes; arguments as of `scene_batch`."""
    short = replace(setting, visible=GLIMPSE)
    whole = scene_batch(rows, 0, generator, short, changed=changed)
    assert whole.places is not None
    shown = slice(GLIMPSE)
    return EventBatch(whole.bins[shown], whole.classes, whole.places[shown], whole.present[shown])


def _load(model: nn.Module, weights: Path) -> None:
    try:
        model.load_state_dict(load(weights.read_bytes()))
    except RuntimeError as error:
        raise CheckpointError(
            f"{weights}: weights of a contender of another size, from an earlier version; "
            "name another folder with --out"
        ) from error


def _place(plan: PermanencePlan, out: Path, task: str, name: str, seed: int) -> Path:
    return out / f"{'' if plan.split == 'test' else f'{plan.split}-'}{task}-{name}-{seed}.json"


def _cell(
    plan: PermanencePlan,
    out: Path,
    task: str,
    contender: Contender,
    seed: int,
    on_training: Callable[[str, Progress], None] | None,
) -> dict[str, Any]:
    setting = TASKS[task]
    model: nn.Module | None = None
    card: dict[str, Any] = {}
    if contender.build is not None:
        model, card = _trained(plan, out, task, contender, seed, on_training)
    began = time.monotonic()
    result: dict[str, Any] = {
        "task": task,
        "contender": contender.name,
        "title": contender.title,
        "must": contender.must,
        "seed": seed,
        "split": plan.split,
        **card,
        "dtypes": {},
    }
    scenes = min(plan.scenes, len(digits(plan.split)[1]))
    exams = _exams(plan, setting, plan.gaps, seed, scenes)
    for kind, dtype in DTYPES.items():
        answers = _answers(model, contender, exams, dtype)
        result["dtypes"][kind] = grade(exams, answers)
        if kind == "float32":
            for name in ("gate_visible", "gate_hidden"):
                value = sum(getattr(said, name) for said in answers) / len(answers)
                result[name] = None if math.isnan(value) else value
    long = replace(setting, visible=LOOK)
    looks = _exams(plan, long, LOOK_GAPS, seed, min(scenes, LOOK_SCENES))
    graded = grade(looks, _answers(model, contender, looks, torch.float32))
    result["long_look"] = [{key: row[key] for key in ("gap", "position_pixels")} for row in graded]
    result["test_seconds"] = round(time.monotonic() - began, 1)
    return result


def _exams(
    plan: PermanencePlan, setting: Setting, gaps: tuple[int, ...], seed: int, scenes: int
) -> list[Exam]:
    return [
        set_exam(
            setting,
            seed=seed,
            gaps=gaps,
            first=first,
            rows=min(71, scenes - first),
            split=plan.split,
        )
        for first in range(0, scenes, 71)
    ]


def _answers(
    model: nn.Module | None, contender: Contender, exams: list[Exam], dtype: torch.dtype
) -> list[Said]:
    if model is None:
        answer = observed if contender.treatment == "observed" else told
        return [answer(one) for one in exams]
    asked = copy.deepcopy(model).to(dtype).eval()
    return [examine(asked, one, contender.treatment) for one in exams]


def _trained(
    plan: PermanencePlan,
    out: Path,
    task: str,
    contender: Contender,
    seed: int,
    on_training: Callable[[str, Progress], None] | None,
) -> tuple[nn.Module, dict[str, Any]]:
    """The network with the weights of whom it was trained as, and what is known of the training."""
    assert contender.build is not None
    torch.manual_seed(seed)
    model = contender.build(TASKS[task].objects)
    who = contender.trained_as
    weights, card_at = (out / f"{task}-{who}-{seed}.{end}" for end in ("safetensors", "card.json"))
    if weights.exists() and card_at.exists():
        _load(model, weights)
        return model.eval(), json.loads(card_at.read_text(encoding="utf-8"))
    rate = contender.rate * plan.training.learning_rate
    options = replace(plan.training, seed=seed, learning_rate=rate)
    generator = torch.Generator().manual_seed(seed)

    def on_update(progress: Progress) -> None:
        if on_training is not None:
            on_training(f"{task} {who} seed {seed}", progress)

    began, cpu_began = time.monotonic(), time.process_time()
    train_on_events(
        model,
        lambda gap: scene_batch(options.rows, gap, generator, TASKS[task], changed=plan.changed),
        options,
        glimpse=lambda: glimpse_batch(
            GLIMPSES * options.rows, generator, TASKS[task], changed=plan.changed
        ),
        on_update=on_update,
    )
    any_model: Any = model
    state: Any = any_model.init_state(1)
    card = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "state_bytes": state.nbytes,
        "updates": options.updates,
        "learning_rate": rate,
        "changed_scans": plan.changed,
        "longest_training_gap": options.longest_gap,
        "training_seconds": round(time.monotonic() - began, 1),
        "training_cpu_seconds": round(time.process_time() - cpu_began, 1),
    }
    tensors: dict[str, Tensor] = {
        name: tensor.contiguous() for name, tensor in model.state_dict().items()
    }
    write_atomically(weights, save(tensors))
    write_atomically(card_at, json.dumps(card, indent=1))
    return model, card
