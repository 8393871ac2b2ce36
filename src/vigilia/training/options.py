"""The options of training, saved with every checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from vigilia.errors import OptionError

__all__ = ["METRICS", "PRECISIONS", "TrainOptions"]

PRECISIONS = ("32", "bf16")
METRICS = ("balanced_accuracy", "accuracy", "kappa")


@dataclass(frozen=True)
class TrainOptions:
    """How a model is trained.

    Attributes:
        epochs: passes over all clips of all recordings.
        rows: B, recordings that run side by side, each with its own memory. An update is made of
            all rows, however many processes share them and however many times `accumulate`
            divides them.
        chunk_clips: K, clips through which gradient flows back (truncated backpropagation); the
            state itself is carried on from chunk to chunk.
        carry_probability: chance that a row plays on at the start of a chunk and keeps its state;
            otherwise it jumps elsewhere and starts empty (random state passing: TransformerFAM,
            2024, section 3.4). 0.8 makes stretches of 5 chunks on average.
        curriculum: values of K for equal parts of the epochs, such as (8, 16, 32, 64); empty for
            `chunk_clips` throughout. A recurrent memory that is asked at once for what lies far
            back learns it late or not at all; one that holds eight clips soon holds sixteen.
        curriculum_recent: before the last part of the curriculum, clips whose state began more
            than K clips ago carry no loss: what they depend on may lie beyond the gradient.
        burn_in_clips: clips without loss after a jump into the middle of a recording, where the
            memory is emptier than it will be in use. The true beginning of a recording counts.
        freeze_backbone: train memory and head alone: the backbone costs a third, and cannot
            forget what it knows.
        frozen_stages: leave the backbone's first stages as they are, and train the rest of it.
        backbone_rate: factor on the learning rate of the backbone's weights; 0.1 is usual where
            they come from Kinetics.
        learning_rate: AdamW's, at its peak.
        weight_decay: on weight matrices only.
        warmup: share of all updates over which the learning rate rises; it then falls to zero
            along a cosine.
        clip_norm: the gradient is scaled down to this norm.
        label_smoothing: share of the target spread over all classes.
        coherence: weight of a loss that wants the answers to neighbouring clips close together,
            except where the labels change; taken over the clips of each part of an update. See
            `vigilia.relevance.coherence`.
        slow_features: the same in units of how much each answer varies: slowness.
        label_weight: weight of the loss of labels, beside what is added to it.
        teach: with a teacher, weight of the divergence from its softened probabilities.
        teach_memory: with a teacher, weight of how unlike the similarities of memory's reads are.
        teach_temperature: both models' logits are divided by it before they are compared.
        balance: weight of a class in the loss: 0 counts every clip the same, 1 every class the
            same, between them a compromise.
        balanced_sampling: where rows jump to: 0 everywhere alike, 1 to every class equally often.
            What it makes frequent needs less weight in the loss: lower `balance` with it.
        precision: "32", or "bf16": the backbone computes in bfloat16; weights, memory and head stay
            in float32.
        accumulate: parts into which the rows are divided; the parts run one after another and
            their gradients add up to those of all rows at once, for a part of the memory.
        checkpoint_activations: keep only the state between clips and compute the rest again for
            the gradient: up to half more time, for less than half of the memory.
        mirror: flip a stretch left to right with probability one half.
        quarter_turns: turn a stretch by 0, 90, 180 or 270 degrees: suits a camera that looks
            straight down on a square picture.
        zoom: greatest relative change of size, and greatest shift as a share of half the picture.
        brightness: greatest relative change of brightness and contrast.
        temporal_jitter: a frame may be shown up to so many samples late.
        frame_drop: share of frames that are lost; the one before is shown in their place.
        tube_mask: share of the picture that is hidden, in squares that stay for a whole stretch.
        sound_drop: of a model that hears: share of stretches in which nothing is heard, so that
            it learns to do without.
        feature_noise: on features that are kept: their noise, in standard deviations of each within
            a recording. What a memory holds by a hair over a stretch it loses after an hour;
            noise makes it hold more firmly.
        mixup: shape of the Beta distribution from which the share of a second recording is drawn
            that shines through; 0 for none. Partner and share stay for a whole stretch.
        cutmix: the same for a box cut out of a second recording. With both, each is as frequent.
        mix_probability: share of stretches that are mixed, if any.
        patience: epochs without a better figure on the validation recordings after which training
            stops; 0 for never.
        metric: the figure that names the best epoch: "balanced_accuracy", "accuracy" or "kappa".
        seed: of everything random.
    """

    epochs: int = 20
    rows: int = 4
    chunk_clips: int = 8
    carry_probability: float = 0.8
    curriculum: tuple[int, ...] = ()
    curriculum_recent: bool = False
    burn_in_clips: int = 0
    freeze_backbone: bool = False
    frozen_stages: int = 0
    backbone_rate: float = 1.0
    learning_rate: float = 3e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0
    label_smoothing: float = 0.0
    coherence: float = 0.0
    slow_features: float = 0.0
    label_weight: float = 1.0
    teach: float = 1.0
    teach_memory: float = 1.0
    teach_temperature: float = 2.0
    balance: float = 0.5
    balanced_sampling: float = 0.0
    precision: str = "32"
    accumulate: int = 1
    checkpoint_activations: bool = False
    mirror: bool = True
    quarter_turns: bool = False
    zoom: float = 0.0
    brightness: float = 0.1
    temporal_jitter: int = 0
    frame_drop: float = 0.0
    tube_mask: float = 0.0
    sound_drop: float = 0.1
    feature_noise: float = 0.0
    mixup: float = 0.0
    cutmix: float = 0.0
    mix_probability: float = 0.5
    patience: int = 0
    metric: str = "balanced_accuracy"
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "curriculum", tuple(self.curriculum))
        for name in ("epochs", "rows", "chunk_clips", "accumulate"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("burn_in_clips", "frozen_stages", "temporal_jitter", "patience"):
            if getattr(self, name) < 0:
                raise OptionError(f"{name} must be at least 0, got {getattr(self, name)}")
        for name in (
            "carry_probability",
            "warmup",
            "label_smoothing",
            "balance",
            "balanced_sampling",
            "mix_probability",
        ):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        for name in ("zoom", "brightness", "frame_drop", "tube_mask", "sound_drop"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} must lie in 0..1, below 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm", "teach_temperature"):
            if not getattr(self, name) > 0:
                raise OptionError(f"{name} must be positive, got {getattr(self, name)}")
        for name in (
            "mixup",
            "cutmix",
            "backbone_rate",
            "weight_decay",
            "feature_noise",
            "coherence",
            "slow_features",
            "label_weight",
            "teach",
            "teach_memory",
        ):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OptionError(f"{name} must be 0 or more, got {getattr(self, name)}")
        for name, known in (("precision", PRECISIONS), ("metric", METRICS)):
            if getattr(self, name) not in known:
                raise OptionError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )
        self._check_course()

    def _check_course(self) -> None:
        if any(clips < 1 for clips in self.curriculum):
            raise OptionError(f"curriculum must hold numbers from 1 on, got {self.curriculum}")
        if len(self.curriculum) > self.epochs:
            raise OptionError(
                f"curriculum must not have more parts than there are epochs, got "
                f"{len(self.curriculum)} parts and {self.epochs} epochs"
            )
        shortest = min(self.curriculum or (self.chunk_clips,))
        if self.carry_probability == 0 and self.burn_in_clips >= shortest:
            raise OptionError(
                f"burn_in_clips must be below the {shortest} clips of a chunk where "
                f"carry_probability is 0, got {self.burn_in_clips}; nothing would be learned"
            )
        if self.rows % self.accumulate:
            raise OptionError(
                f"accumulate must divide the rows, got {self.accumulate} and {self.rows} rows"
            )
