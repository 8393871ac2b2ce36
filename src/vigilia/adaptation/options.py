"""The options of adaptation, saved with its result."""

from __future__ import annotations

from dataclasses import dataclass

from vigilia.errors import OptionError

__all__ = ["METHODS", "AdaptOptions"]

METHODS = ("light", "norms", "entropy")


@dataclass(frozen=True)
class AdaptOptions:
    """How a model is adapted.

    Attributes:
        methods: of `METHODS`, in this order.
        updates: entropy: how many.
        rows: entropy: stretches side by side.
        chunk_clips: entropy: clips of a stretch through which gradient flows back.
        learning_rate: entropy: AdamW's, at its peak.
        sure: entropy: only clips whose entropy is below this share of the greatest teach.
        prior: entropy: weight of keeping the shares of the classes near those of the training.
        anchor: entropy: weight of keeping gains and offsets near where they were.
        seed: of which stretches are seen.
    """

    methods: tuple[str, ...] = ("light", "norms")
    updates: int = 60
    rows: int = 4
    chunk_clips: int = 8
    learning_rate: float = 1e-3
    sure: float = 0.4
    prior: float = 1.0
    anchor: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", tuple(self.methods))
        for name in self.methods:
            if name not in METHODS:
                raise OptionError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
        if not self.methods:
            raise OptionError(f"name at least one method of {', '.join(METHODS)}")
        for name in ("updates", "rows", "chunk_clips"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("prior", "anchor"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OptionError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 < self.learning_rate < float("inf"):
            raise OptionError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 < self.sure <= 1:
            raise OptionError(f"sure must lie in 0..1, above 0, got {self.sure}")
