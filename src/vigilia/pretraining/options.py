"""The options of pre-training, saved with every result."""

from __future__ import annotations

from dataclasses import dataclass

from vigilia.errors import OptionError

__all__ = ["METHODS", "PretrainOptions"]

METHODS = ("mae", "contrastive")


@dataclass(frozen=True)
class PretrainOptions:
    """How a backbone learns without labels.

    Attributes:
        method: "mae", a masked autoencoder, or "contrastive".
        epochs: passes over as many clips as there are.
        rows: B, clips (contrastive: pairs of clips) of an update.
        steps: of a streaming backbone, so many steps in a row make one clip.
        learning_rate: AdamW's, at its peak.
        weight_decay: on weight matrices only.
        warmup: share of all updates over which the learning rate rises; it then falls to zero
            along a cosine.
        clip_norm: the gradient is scaled down to this norm.
        mask: mae: share of the tubes that is hidden.
        side: mae: side of a tube in pixels; 0 for an eighth of the picture, or for the backbone's
            own patch where only the visible patches are encoded.
        cube_frames: mae: frames that are predicted together.
        targets: mae: hidden cubes of a clip that are predicted, at most, drawn anew each time.
        decoder_dim: mae: width of the decoder.
        decoder_depth: mae: its blocks.
        near_seconds: contrastive: the two clips of a pair end at most this far apart.
        far_seconds: contrastive: clips of one recording that end at least this far apart count as
            different, too; 0 for never.
        temperature: contrastive: of the softmax over similarities.
        projection: contrastive: width of the space in which they are compared.
        mirror: clips are flipped left to right with probability one half.
        quarter_turns: clips are turned by 0, 90, 180 or 270 degrees.
        zoom: greatest relative change of size, and greatest shift as a share of half the picture.
        brightness: greatest relative change of brightness and contrast.
        colour: greatest relative change of each colour by itself.
        seed: of everything random.
    """

    method: str = "mae"
    epochs: int = 50
    rows: int = 16
    steps: int = 4
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    clip_norm: float = 1.0
    mask: float = 0.75
    side: int = 0
    cube_frames: int = 2
    targets: int = 128
    decoder_dim: int = 96
    decoder_depth: int = 2
    near_seconds: float = 10.0
    far_seconds: float = 0.0
    temperature: float = 0.1
    projection: int = 64
    mirror: bool = True
    quarter_turns: bool = False
    zoom: float = 0.3
    brightness: float = 0.3
    colour: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise OptionError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        for name in (
            "epochs",
            "rows",
            "steps",
            "cube_frames",
            "targets",
            "decoder_depth",
            "projection",
        ):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("warmup", "mask"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        if not 0 < self.mask < 1:
            raise OptionError(
                f"mask must lie between 0 and 1, got {self.mask}; something must be hidden and "
                "something seen"
            )
        for name in ("zoom", "brightness", "colour"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} must lie in 0..1, below 1, got {getattr(self, name)}")
        for name in ("learning_rate", "clip_norm", "temperature", "near_seconds"):
            if not 0 < getattr(self, name) < float("inf"):
                raise OptionError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("weight_decay", "far_seconds", "side"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OptionError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if self.decoder_dim < 24 or self.decoder_dim % 24:
            raise OptionError(
                f"decoder_dim must be a multiple of 24 (four heads, six parts of a place), "
                f"got {self.decoder_dim}"
            )
        if self.far_seconds and self.far_seconds <= self.near_seconds:
            raise OptionError(
                f"far_seconds must be above near_seconds {self.near_seconds}, "
                f"got {self.far_seconds}; what is near is alike"
            )
        if self.method == "contrastive" and self.rows < 2:
            raise OptionError("contrastive needs at least 2 rows: pairs are told from others")
        if self.seed < 0:
            raise OptionError(f"seed must not be negative, got {self.seed}")
