"""One cell of push-ups: a backbone and its memory learn from pixels, and are tested on others."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from vigilia.bench.eyes import SIZE
from vigilia.bench.family.entrants import contender_for
from vigilia.bench.family.learning import Cost
from vigilia.bench.pushups import (
    CLASSES,
    FRAMES_A_SECOND,
    Outcome,
    Setting,
    held_out,
    mistakes,
    outcome,
    read_frames,
    train_fold,
)
from vigilia.models import describe_model
from vigilia.stream import create_model

__all__ = ["PUSHUPS", "examine_pushups", "pushups_cost", "pushups_folder", "setting_for"]

PUSHUPS = "pushups"
FOLDS = 3
EPOCHS = 4


def pushups_folder(data: Path) -> Path | None:
    """Where the clips lie below a folder of data; None if they are not there."""
    folder = data / "clips" / PUSHUPS
    return folder if (folder / "frames.csv").exists() else None


def setting_for(backbone: str, memory: str, *, epochs: int = EPOCHS) -> Setting:
    """An answer every 0.32 s from everybody.

    A plain backbone looks at clips of 8 frames that span 2.6 s. One that carries a past gets the 8
    new frames of every 0.32 s, for it must not see any twice.
    """
    contender = contender_for(backbone, memory)
    options = dict(contender.options)
    if memory != "none":
        options |= {"slots": 8, "write_every": 4, "hidden": 0}
    streams = create_model(backbone, num_classes=2, memory="none").streams
    fps, frames, stride = (FRAMES_A_SECOND, 8, 8) if streams else (FRAMES_A_SECOND / 8, 8, 1)
    return Setting(backbone, contender.memory, options, fps, frames, stride, SIZE, epochs)


def pushups_cost(setting: Setting) -> Cost:
    """What one of its steps takes."""
    model = create_model(
        setting.model,
        classes=CLASSES,
        memory=setting.memory,
        clip_frames=setting.clip_frames,
        stride_frames=setting.stride_frames,
        height=SIZE,
        width=SIZE,
        **setting.memory_options,
    )
    facts = describe_model(model.eval(), torch.zeros(1, 3, setting.clip_frames, SIZE, SIZE))
    return Cost(facts.gflop_per_step / 2, facts.parameters, facts.state_bytes)


def examine_pushups(
    folder: Path, setting: Setting, *, seed: int, cache: Path, folds: int = FOLDS
) -> Outcome:
    """Trains on some people and tests on others; seeds test other people each.

    Args:
        folder: clips and frames.csv.
        setting: what learns.
        seed: of the training, and which part of the people is tested: `seed` modulo `folds`.
        cache: folder for decoded frames.
        folds: parts into which the groups are divided, the same for all seeds.
    """
    parts = list(held_out(read_frames(folder / "frames.csv"), folds=folds, seed=0))
    learned, tested = parts[seed % folds]
    with tempfile.TemporaryDirectory() as work:
        place = Path(work) / "fold.safetensors"
        said_by, _ = train_fold(folder, learned, setting, out=place, seed=seed, cache=cache)
        return outcome(mistakes(folder, tested, said_by))
