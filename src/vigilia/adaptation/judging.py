"""What adaptation changed, on clips that it did not learn from, and when it is refused.

Without labels nobody knows whether a model got better. What can be seen is how its answers moved,
whether it fell into one class, and whether what its backbone makes of the new recordings moved
towards what it made of the training's.

Letters: S clips, C classes, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch

from vigilia.evaluation.familiarity import Familiarity, distances, doubt
from vigilia.stream import StreamClassifier
from vigilia.stream.telling import TellingState, telling
from vigilia.training.recordings import Recording

__all__ = ["HELD_OUT", "Change", "Seen", "judge_change", "look"]

HELD_OUT = 0.25
"""The last part of each recording is judged and not learned from."""
FURTHER = 1.05
"""Embeddings may move away from the training's by so much: that is chance."""
NEARER = 0.9
"""They came nearer if no more than this is left of the distance. On recordings of the camera that a
model was trained on no method leaves less than all of it; where the light was wrong, putting it
right leaves 0.70 to 0.85 (`benchmarks/results/adaptation`)."""
COLLAPSED = 0.5
"""Of as many classes as before, in effect, this share must be left."""


@dataclass(frozen=True)
class Seen:
    """What a model says of the held-out clips of all recordings.

    Attributes:
        said: (S,) int64 the answers.
        probabilities: (S, C).
        distance: median distance of the embeddings from the training's, in units of the limit;
            None where the card does not say.
    """

    said: np.ndarray
    probabilities: np.ndarray
    distance: float | None

    @property
    def shares(self) -> np.ndarray:
        """(C,) of the answers."""
        counts = np.bincount(self.said, minlength=self.probabilities.shape[1])
        return np.asarray(counts / max(1, counts.sum()))

    @property
    def doubt(self) -> float:
        """Mean entropy, 0 to 1."""
        return float(doubt(self.probabilities).mean())

    @property
    def classes_in_effect(self) -> float:
        """Exponential of the entropy of the shares: 1 if all is one class."""
        shares = self.shares[self.shares > 0]
        return math.exp(-float((shares * np.log(shares)).sum()))


@dataclass(frozen=True)
class Change:
    """What adaptation did.

    Attributes:
        before: of the model as it was.
        after: of the adapted one.
        refused: why it should not be used; empty if nothing speaks against it.
    """

    before: Seen
    after: Seen
    refused: tuple[str, ...]

    @property
    def changed(self) -> float:
        """Share of the held-out clips that are named otherwise."""
        return float((self.before.said != self.after.said).mean())

    @property
    def nearer(self) -> bool:
        """Whether embeddings came nearer to the training's by more than chance."""
        before, after = self.before.distance, self.after.distance
        return before is not None and after is not None and after <= NEARER * before


@torch.inference_mode()
def look(
    model: StreamClassifier, recordings: Sequence[Recording], embeddings: Familiarity | None
) -> Seen:
    """Streams through whole recordings; what is said of the last part of each is kept."""
    told = telling(model)
    chances, pooled = [], []
    for one in recordings:
        state = told.init_state(1)
        for clip, (frames, end) in enumerate(_clips(one)):
            device = model.head.weight.device
            pixels = model.preprocessing.to_clip(torch.from_numpy(frames)[None].to(device))
            seconds = torch.tensor([end], dtype=torch.float64, device=device)
            logits, after = told.step(pixels, state, seconds=seconds)
            state = cast(TellingState, after)
            if clip >= first_held_out(one):
                chances.append(logits[0].float().softmax(dim=0).cpu().numpy())
                pooled.append(state.pooled[0].double().cpu().numpy())
    probabilities = np.stack(chances)
    distance = None
    if embeddings is not None:
        far = distances(embeddings, np.stack(pooled))
        distance = float(np.median(far) / embeddings.limit)
    return Seen(probabilities.argmax(axis=1), probabilities, distance)


def first_held_out(one: Recording) -> int:
    """The first clip that is judged and not learned from; at least one is."""
    return min(len(one) - 1, round((1 - HELD_OUT) * len(one)))


def _clips(one: Recording) -> Iterator[tuple[np.ndarray, float]]:
    for numbers, end in zip(one.clips, one.end_seconds, strict=True):
        yield one.frames[numbers], float(end)


def judge_change(before: Seen, after: Seen) -> Change:
    """Compares; says why the adapted model should not be used, if so.

    Refused is a model that fell into fewer classes, one whose embeddings moved away from the
    training's, and one that is what it was.
    """
    reasons = []
    left = after.classes_in_effect / before.classes_in_effect
    if left < COLLAPSED or (after.shares.max() > 0.98 and before.shares.max() < 0.9):
        reasons.append(
            f"its answers fell into one class: {before.classes_in_effect:.1f} classes in effect "
            f"before, {after.classes_in_effect:.1f} after"
        )
    known = before.distance is not None and after.distance is not None
    if known and after.distance > FURTHER * before.distance:  # type: ignore[operator]
        reasons.append(
            "what the backbone makes of the recordings moved away from the training's: "
            f"{before.distance:.2f} times the limit before, {after.distance:.2f} after"
        )
    if np.array_equal(before.probabilities, after.probabilities):
        reasons.append("nothing changed")
    return Change(before, after, tuple(reasons))
