"""The options of training, saved with every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from vigilia.errors import OptionError

__all__ = ["TrainOptions"]


@dataclass(frozen=True)
class TrainOptions:
    """How a model is trained.

    Attributes:
        epochs: passes over all clips of all recordings.
        rows: B, recordings that run side by side, each with its own memory.
        chunk_clips: K, clips through which gradient flows back (truncated backpropagation); the
            state itself is carried on from chunk to chunk.
        carry_probability: chance that a row plays on at the start of a chunk and keeps its state;
            otherwise it jumps elsewhere and starts empty (random state passing: TransformerFAM,
            2024, section 3.4). 0.8 makes stretches of 5 chunks on average.
        freeze_backbone: train memory and head alone: the backbone costs a third, and cannot
            forget what it knows.
        learning_rate: AdamW's, at its peak.
        weight_decay: on weight matrices only.
        warmup: share of all updates over which the learning rate rises; it then falls to zero
            along a cosine.
        clip_norm: the gradient is scaled down to this norm.
        label_smoothing: share of the target spread over all classes.
        balance: 0 counts every clip the same, 1 every class the same, between them a compromise.
        mirror: flip a stretch left to right with probability one half.
        quarter_turns: turn a stretch by 0, 90, 180 or 270 degrees: suits a camera that looks
            straight down on a square picture.
        zoom: greatest relative change of size, and greatest shift as a share of half the picture.
        brightness: greatest relative change of brightness and contrast.
        seed: of everything random.
    """

    epochs: int = 20
    rows: int = 4
    chunk_clips: int = 8
    carry_probability: float = 0.8
    freeze_backbone: bool = False
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    balance: float = 0.5
    mirror: bool = True
    quarter_turns: bool = False
    zoom: float = 0.0
    brightness: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "rows", "chunk_clips"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("carry_probability", "warmup", "label_smoothing", "balance"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        for name in ("zoom", "brightness"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} must lie in 0..1, below 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} must be positive, got {getattr(self, name)}")
