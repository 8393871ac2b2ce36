"""One cell: a backbone, a start, a seed; taught without labels, then probed and fine-tuned.

Only recordings of groups that are not tested are seen before the test, with or without labels. The
probe is a linear model of the frozen backbone's pooled features, fitted to all labels of these
groups. Fine-tuning starts from the same backbone, and learns all of it from the labels of a few
groups.

Letters: S clips, K classes, D features, U units that are drawn again for intervals.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from vigilia.bench.pretraining.material import Material
from vigilia.bench.real.linear import fit_linear
from vigilia.evaluation.agreement import balanced_accuracy, confusion_matrix
from vigilia.pretraining import PretrainOptions, pretrain_model
from vigilia.stream import StreamClassifier, create_model
from vigilia.training import Recording, TrainOptions, train_model
from vigilia.training.seeing import see_recording

__all__ = ["BACKBONES", "PIXELS", "STARTS", "Effort", "Split", "measure", "split"]

STARTS = ("none", "mae", "contrastive")
PIXELS = "pixels"
"""In place of a backbone: the clip itself, averaged over 4 x 8 x 8 cubes, for the linear model."""
BACKBONES = ("swin3d_nano", "timesformer_joint_nano")
"""One whose hidden tubes are covered, one that encodes the visible patches alone."""


@dataclass(frozen=True)
class Effort:
    """How much is done.

    Attributes:
        pretraining: updates of 16 clips, or pairs.
        finetuning: updates of 8 rows of 4 clips.
    """

    pretraining: int = 300
    finetuning: int = 100


@dataclass(frozen=True)
class Split:
    """Numbers of recordings.

    Attributes:
        learned: seen before the test.
        few: of these, those whose labels fine-tuning may use.
        tested: of other groups.
    """

    learned: tuple[int, ...]
    few: tuple[int, ...]
    tested: tuple[int, ...]


def split(material: Material, seed: int) -> Split:
    """What is learned and what is tested: seeds 0 to `folds` - 1 test every group once."""
    groups = sorted(set(material.groups))
    order = np.random.default_rng(0).permutation(len(groups))
    apart = {groups[index] for index in order[seed % material.folds :: material.folds]}
    learned = [index for index, group in enumerate(material.groups) if group not in apart]
    tested = [index for index, group in enumerate(material.groups) if group in apart]
    rest = sorted(set(groups) - apart)
    random = np.random.default_rng([seed, 41])
    held: set[int] = set()
    while len(held) < len(material.classes):  # every class must be among the few
        chosen = set(random.permutation(rest)[: material.few].tolist())
        few = [index for index in learned if material.groups[index] in chosen]
        held = {int(label) for index in few for label in material.recordings[index].labels} - {-1}
    return Split(tuple(learned), tuple(few), tuple(tested))


def measure(
    material: Material, backbone: str, start: str, *, seed: int, effort: Effort | None = None
) -> dict[str, Any]:
    """Teaches, probes, fine-tunes and tests.

    Args:
        material: the recordings.
        backbone: a name, or `PIXELS` with the start "none".
        start: "none", "mae" or "contrastive".
        seed: of everything random, and of the split.
        effort: how much is done.

    Returns:
        JSON values: the confusion of every tested unit, (K, K), truth by row, by "probe" and, but
        for pixels, "few".
    """
    effort = effort or Effort()
    began = time.process_time()
    parts = split(material, seed)
    learned = [material.recordings[index] for index in parts.learned]
    tested = [material.recordings[index] for index in parts.tested]
    units = [material.units[index] for index in parts.tested]
    found: dict[str, Any] = {"loss": None}
    if backbone == PIXELS:
        features = [_cells(material, one) for one in (*learned, *tested)]
        found["probe"] = _probe(material, features, learned, tested, units)
        return {**found, "processor_seconds": round(time.process_time() - began, 1)}
    torch.manual_seed(seed)
    model = _fresh(material, backbone)
    if start != "none":
        history = pretrain_model(
            model, learned, options=_options(material, start, seed, learned, effort)
        )
        found["loss"] = [history[0]["loss"], history[-1]["loss"]]
    model.eval()
    features = [see_recording(model, one).pooled.numpy() for one in (*learned, *tested)]
    found["probe"] = _probe(material, features, learned, tested, units)
    few = [material.recordings[index] for index in parts.few]
    _fine_tune(material, model, few, seed=seed, effort=effort)
    said = [model.head(see_recording(model, one).pooled).argmax(1).numpy() for one in tested]
    found["few"] = _confusions(material, tested, units, said)
    return {**found, "processor_seconds": round(time.process_time() - began, 1)}


def _fresh(material: Material, backbone: str) -> StreamClassifier:
    how = material.preprocessing
    return create_model(
        backbone,
        classes=material.classes,
        memory="none",
        fps=how.fps,
        clip_frames=how.clip_frames,
        stride_frames=how.stride_frames,
        height=how.height,
        width=how.width,
        background=how.background,
    )


def _options(
    material: Material, start: str, seed: int, learned: list[Recording], effort: Effort
) -> PretrainOptions:
    rows = 16
    each = max(1, -(-sum(map(len, learned)) // rows))
    return PretrainOptions(
        method=start,
        epochs=max(1, round(effort.pretraining / each)),
        rows=rows,
        near_seconds=material.near_seconds,
        mirror=material.mirror,
        quarter_turns=material.turns,
        seed=seed,
    )


def _fine_tune(
    material: Material,
    model: StreamClassifier,
    few: list[Recording],
    *,
    seed: int,
    effort: Effort,
) -> None:
    """All of the model learns, in place."""
    rows, chunk = 8, 4
    each = max(1, sum(map(len, few)) // (rows * chunk))
    options = TrainOptions(
        epochs=max(1, round(effort.finetuning / each)),
        rows=rows,
        chunk_clips=chunk,
        learning_rate=1e-3,
        mirror=material.mirror,
        quarter_turns=material.turns,
        zoom=0.15,
        brightness=0.3,
        seed=seed,
    )
    with tempfile.TemporaryDirectory() as work:
        train_model(model, few, options=options, out=Path(work) / "few.safetensors")
    model.eval()


def _cells(material: Material, one: Recording) -> np.ndarray:
    """The clips as a small backbone might see them at best: (S, 3 * 4 * 8 * 8)."""
    clips = torch.from_numpy(one.frames[one.clips])
    pooled = F.adaptive_avg_pool3d(material.preprocessing.to_clip(clips), (4, 8, 8))
    return pooled.flatten(1).numpy()


def _probe(
    material: Material,
    features: list[np.ndarray],
    learned: list[Recording],
    tested: list[Recording],
    units: list[str],
) -> dict[str, Any]:
    """features: (S, D) of the recordings that are learned from, then of those that are tested."""
    x = np.concatenate(features[: len(learned)])
    labels = np.concatenate([one.labels for one in learned])
    said_by = fit_linear(x, labels, len(material.classes))
    said = [said_by(one) for one in features[len(learned) :]]
    return _confusions(material, tested, units, said)


def _confusions(
    material: Material, tested: list[Recording], units: list[str], said: list[np.ndarray]
) -> dict[str, Any]:
    size = len(material.classes)
    found: dict[str, np.ndarray] = {}
    for one, unit, answers in zip(tested, units, said, strict=True):
        scored = one.labels >= 0
        counts = confusion_matrix(one.labels[scored], answers[scored], size)
        found[unit] = found[unit] + counts if unit in found else counts
    total = np.sum(list(found.values()), axis=0)
    return {
        "balanced_accuracy": float(balanced_accuracy(total)),
        "confusions": {unit: counts.tolist() for unit, counts in found.items()},
    }
