"""The exam: scenes whose digits stay hidden, and what a contender says of them after so many bins.

Letters: T bins, B scenes, G gaps, O objects, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from vigilia.bench.permanence.digits import CLASSES, digits
from vigilia.bench.permanence.scenes import RANGE, Scenes, Setting, draw_scenes
from vigilia.bench.permanence.scores import wilson
from vigilia.state import map_tensors, reset

__all__ = [
    "CHANCE",
    "GAPS",
    "LOOK",
    "LOOK_GAPS",
    "LOOK_SCENES",
    "Exam",
    "Said",
    "examine",
    "grade",
    "set_exam",
    "told",
]

GAPS = (0, 10, 30, 60, 120, 300)
"""Bins for which all has been hidden; 0 is the last bin before the curtain comes."""

LOOK, LOOK_GAPS, LOOK_SCENES = 60, (0, 10, 30), 142
"""Bins, gaps and scenes of a second exam, of places alone, whose digits are seen for long: in ten
bins nobody can learn a velocity well enough to know where a digit is after thirty."""

CHANCE = {"identity": 0.1, "same": 0.5, "crossing": 0.5}
APART = 2 / (RANGE / 2 + 4)
"""Digits that are at least two pixels apart, left to right, have a left and a right one."""

CHUNK = 16


@dataclass(frozen=True)
class Exam:
    """Scenes to be asked about.

    Attributes:
        scenes: hidden for the longest gap.
        probes: (G,) the bins that are asked about.
        gaps: (G,) their gaps.
        back: what comes out from behind the curtain, seen alone: the same digit or another one.
        same: (B,) bool, which of the two.
    """

    scenes: Scenes
    probes: tuple[int, ...]
    gaps: tuple[int, ...]
    back: Scenes
    same: Tensor


@dataclass(frozen=True)
class Said:
    """Answers to an exam.

    Attributes:
        classes: (G, B, O, K) probabilities.
        places: (G, B, O, 2).
        back: (B, O, K) probabilities of what came back, by the network started anew.
        gate_visible: share of visible bins in which the memory's gate was open; nan without one.
        gate_hidden: likewise of bins in which all was hidden.
    """

    classes: Tensor
    places: Tensor
    back: Tensor
    gate_visible: float = float("nan")
    gate_hidden: float = float("nan")


def set_exam(
    setting: Setting,
    *,
    seed: int,
    gaps: Sequence[int] = GAPS,
    first: int = 0,
    rows: int = 71,
    split: str = "test",
) -> Exam:
    """Scenes about digits `first` to `first + rows` of a split.

    Args:
        setting: how scenes are.
        seed: of paths, curtains and noise.
        gaps: bins that all has been hidden for.
        first: index of the first digit in the split.
        rows: B.
        split: key of `vigilia.bench.permanence.digits.SPLITS`.
    """
    _, classes = digits(split)
    generator = torch.Generator().manual_seed(1_000_003 * seed + first)
    mine = torch.arange(first, min(first + rows, len(classes)))
    other = torch.randint(len(classes), mine.shape, generator=generator)
    while bool((alike := classes[other] == classes[mine]).any()):
        other[alike] = torch.randint(len(classes), (int(alike.sum()),), generator=generator)
    chosen = torch.stack([mine, other], 1)[:, : setting.objects]
    scenes = draw_scenes(
        len(mine), max(gaps) + 1, generator, split=split, setting=setting, chosen=chosen
    )
    same = torch.rand(len(mine), generator=generator) < 0.5
    returns = torch.where(same, mine, other)
    alone = Setting(**{**vars(setting), "objects": 1})
    back = draw_scenes(len(mine), 0, generator, split=split, setting=alone, chosen=returns[:, None])
    probes = [setting.visible - 1 if gap == 0 else setting.covered + gap - 1 for gap in gaps]
    return Exam(scenes, tuple(probes), tuple(gaps), back, same)


@torch.inference_mode()
def examine(model: Any, exam: Exam, treatment: str = "") -> Said:
    """Plays the scenes to a network, chunk by chunk, and asks it at the probes.

    Args:
        model: in evaluation mode; what it computes in decides what its state is kept in.
        exam: the scenes.
        treatment: "reset" or "shuffled": the state is, in the first bin in which all is hidden.
    """
    scenes = exam.scenes
    rows, objects = scenes.classes.shape
    steps = len(scenes.bins)
    covered = int(scenes.covered.nonzero()[0])
    cuts = sorted({0, covered, steps, *range(CHUNK, steps, CHUNK)})
    state = model.init_state(rows)
    logits, places, gates = [], [], []
    for begin, end in pairwise(cuts):
        if begin == covered and treatment == "reset":
            state = reset(state)
        elif begin == covered and treatment == "shuffled":
            state = map_tensors(lambda x: x.roll(1, dims=0), state)
        out, state = model.sequence(scenes.bins[begin:end], state)
        kept = [probe - begin for probe in exam.probes if begin <= probe < end]
        logits.append(out.logits[kept])
        places.append(out.position[kept])
        if hasattr(out, "gates"):
            gates.append(out.gates.float().mean((1, 2)))
    order = sorted(range(len(exam.probes)), key=lambda index: exam.probes[index])
    back = torch.argsort(torch.tensor(order))
    said = [torch.cat(x).float()[back] for x in (logits, places)]
    shares = [float("nan")] * 2
    if gates:
        opened = torch.cat(gates)
        shares = [float(opened[mask].mean()) for mask in (scenes.visible, scenes.covered)]
    fresh = exam.back.bins[exam.back.visible]
    again, _ = model.sequence(fresh, model.init_state(rows))
    return Said(
        F.softmax(said[0].unflatten(-1, (objects, -1)), -1),
        said[1].unflatten(-1, (objects, 2)),
        F.softmax(again.logits[-1].float().unflatten(-1, (objects, -1)), -1),
        *shares,
    )


def told(exam: Exam) -> Said:
    """What is true: the answers of an oracle, which show that every question has one."""
    classes = F.one_hot(exam.scenes.classes, len(CLASSES)).float()
    places = exam.scenes.places[list(exam.probes)]
    back = F.one_hot(exam.back.classes, len(CLASSES)).float()
    return Said(classes.expand(len(exam.probes), -1, -1, -1), places, back)


def grade(exams: Sequence[Exam], answers: Sequence[Said]) -> list[dict[str, Any]]:
    """Figures for each gap, over all exams together.

    identity: what is hidden (with two objects: of both). position_pixels: mean distance between
    where it is said to be and where it is. same (one object): whether what comes back is what was
    hidden; a contender says so if the class it remembers is the class that it sees when it looks at
    the newcomer alone. crossing (two objects): which of the two is on the left by now. scenes: a
    mark for each scene, 1 where what is hidden is named right; for comparing contenders in pairs.
    """
    rows = []
    for index, gap in enumerate(exams[0].gaps):
        counts = {"identity": [0, 0], "same": [0, 0], "crossing": [0, 0]}
        distance, of, scenes = 0.0, 0, ""
        for exam, said in zip(exams, answers, strict=True):
            classes, places = exam.scenes.classes, exam.scenes.places[exam.probes[index]]
            believed = said.classes[index].argmax(-1)  # (B, O)
            _count(counts["identity"], believed == classes)
            scenes += "".join(str(int(right)) for right in (believed == classes).all(-1))
            far = (said.places[index] - places).norm(dim=-1) * (RANGE / 2 + 4)
            distance, of = distance + float(far.sum()), of + far.numel()
            if classes.shape[1] == 1:
                alike = believed[:, 0] == said.back[:, 0].argmax(-1)
                _count(counts["same"], alike == exam.same)
            else:
                _count(
                    counts["crossing"],
                    *_left(said.classes[index], said.places[index], classes, places),
                )
        rows.append(
            {
                "gap": gap,
                "position_pixels": distance / of,
                "scenes": scenes,
                **{
                    name: vars(wilson(right, asked))
                    for name, (right, asked) in counts.items()
                    if asked
                },
            }
        )
    return rows


def _left(
    said: Tensor, said_places: Tensor, classes: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    """Whether the left one is named right, (B,) bool, and where the question has an answer."""
    rows = torch.arange(len(classes))
    believed = said[rows, said_places[..., 0].argmin(-1)]  # (B, K)
    left = places[..., 0].argmin(-1)
    right_class, wrong_class = classes[rows, left], classes[rows, 1 - left]
    apart = (places[:, 0, 0] - places[:, 1, 0]).abs() >= APART
    return believed[rows, right_class] > believed[rows, wrong_class], apart


def _count(into: list[int], right: Tensor, asked: Tensor | None = None) -> None:
    asked = torch.ones_like(right) if asked is None else asked
    into[0] += int((right & asked).sum())
    into[1] += int(asked.sum())
