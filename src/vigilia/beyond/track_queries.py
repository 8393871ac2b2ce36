"""Tracks as queries that carry on from frame to frame, and are matched to what is detected.

After TransTrack (Sun and others, "TransTrack: Multiple object tracking with transformer", 2020):
the objects of the last frame are queries into the present one; each tells where its object should
be now, and those boxes are matched with the detections by overlap and Hungarian matching. What is
left over on one side are new tracks, on the other tracks that wait a while for their object to come
back. Here a query is the object's running mean of features, and attends to the detections near
where its own motion takes it; there are no learned weights, and detections come from anywhere.

Letters: B streams, M tracks at most, N detections of a frame, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vigilia.beyond.boxes import box_overlap, match_boxes
from vigilia.errors import InputError, OptionError
from vigilia.state import State

__all__ = ["TrackQueries", "TrackState"]

MEAN = 0.9
"""Share of the past in a query's running mean of features."""
SPEED = 0.6
"""Share of the past in a track's speed."""


@dataclass(frozen=True)
class TrackState(State):
    """What is known of every stream's tracks; all zeros when nothing was seen.

    Attributes:
        queries: (B, M, D) running mean of the features, of length 1.
        boxes: (B, M, 4) last box: left, top, right, bottom.
        speeds: (B, M, 2) of its centre, pixels a frame.
        missed: (B, M) int64, frames since it was last matched.
        names: (B, M) int64, from 1; 0 where the place is free.
        named: (B,) int64, the last name that was given.
    """

    queries: Tensor
    boxes: Tensor
    speeds: Tensor
    missed: Tensor
    names: Tensor
    named: Tensor


@dataclass(frozen=True)
class TrackQueries:
    """How tracks are carried on; no weights.

    Attributes:
        tracks: M, places for tracks; where all are taken the longest missed one gives way.
        dim: D.
        patience: frames for which a track waits for its object.
        least_score: a detection below it starts no track.
        least_gain: of a match; the mean of overlap and likeness, 0 to 1.
        appearance: share of likeness in that mean.

    Raises:
        OptionError: a value that cannot work.
    """

    tracks: int = 64
    dim: int = 48
    patience: int = 20
    least_score: float = 0.5
    least_gain: float = 0.35
    appearance: float = 0.4

    def __post_init__(self) -> None:
        if min(self.tracks, self.dim) < 1 or self.patience < 0:
            raise OptionError(
                "tracks and dim must be at least 1, patience 0 or more, got "
                f"{self.tracks}, {self.dim} and {self.patience}"
            )
        if not 0 <= self.appearance <= 1 or not 0 < self.least_gain <= 1:
            raise OptionError(
                "appearance must lie in 0..1 and least_gain above 0, up to 1, got "
                f"{self.appearance} and {self.least_gain}"
            )

    def init_state(self, batch_size: int) -> TrackState:
        """No track: all zeros."""
        places = (batch_size, self.tracks)
        whole = torch.zeros(places, dtype=torch.int64)
        return TrackState(
            queries=torch.zeros(*places, self.dim),
            boxes=torch.zeros(*places, 4),
            speeds=torch.zeros(*places, 2),
            missed=whole,
            names=whole.clone(),
            named=torch.zeros(batch_size, dtype=torch.int64),
        )

    def step(
        self, boxes: Tensor, scores: Tensor, features: Tensor, state: TrackState
    ) -> tuple[Tensor, TrackState]:
        """Names what was detected in the next frame.

        Args:
            boxes: (B, N, 4) in pixels; what is beyond a row's detections has a score of 0.
            scores: (B, N) 0 to 1.
            features: (B, N, D) of what lies in the boxes.
            state: behind the frame before.

        Returns:
            Names (B, N) int64, 0 for a detection that is no track, and the state.

        Raises:
            InputError: shapes that do not fit.
        """
        rows, count = scores.shape[0], scores.shape[-1]
        if boxes.shape != (rows, count, 4) or features.shape != (rows, count, self.dim):
            raise InputError(
                f"boxes, scores and features must be (B, N, 4), (B, N) and (B, N, {self.dim}), got "
                f"{tuple(boxes.shape)}, {tuple(scores.shape)} and {tuple(features.shape)}"
            )
        if rows != len(state.named):
            raise InputError(f"boxes have {rows} rows, the state has {len(state.named)} streams")
        held = {name: tensor.clone() for name, tensor in vars(state).items()}
        names = torch.zeros(rows, count, dtype=torch.int64)
        likeness = F.normalize(features, dim=2)
        for row in range(rows):
            one = {name: tensor[row] for name, tensor in held.items()}
            self._step_row(one, boxes[row], scores[row], likeness[row], names[row])
            held["named"][row] = one["named"]
        return names, TrackState(**held)

    def _step_row(
        self,
        held: dict[str, Tensor],
        boxes: Tensor,
        scores: Tensor,
        features: Tensor,
        names: Tensor,
    ) -> None:
        """One stream; `held` and `names` are changed in place."""
        places = held["names"].nonzero()[:, 0]
        shown = (scores > 0).nonzero()[:, 0]
        speeds = held["speeds"][places]
        expected = held["boxes"][places] + speeds.repeat(1, 2)
        overlap = box_overlap(expected, boxes[shown])
        like = (held["queries"][places] @ features[shown].T).clamp(min=0)
        gain = (1 - self.appearance) * overlap + self.appearance * like
        pairs = match_boxes(gain * (overlap > 0), least=self.least_gain)
        matched = torch.zeros(self.tracks, dtype=torch.bool)
        for track, detection in pairs:
            place, found = places[track], shown[detection]
            matched[place] = True
            names[found] = held["names"][place]
            passed = held["missed"][place] + 1
            moved = _centre(boxes[found]) - _centre(held["boxes"][place])
            held["speeds"][place] = torch.lerp(moved / passed, held["speeds"][place], SPEED)
            held["boxes"][place] = boxes[found]
            mean = torch.lerp(features[found], held["queries"][place], MEAN)
            held["queries"][place] = F.normalize(mean, dim=0)
            held["missed"][place] = 0
        waiting = (held["names"] > 0) & ~matched
        # What nobody sees goes on as it went.
        held["boxes"][waiting] += held["speeds"][waiting].repeat(1, 2)
        held["missed"][waiting] += 1
        gone = waiting & (held["missed"] > self.patience)
        for name in ("names", "missed", "queries", "boxes", "speeds"):
            held[name][gone] = 0
        for found in shown[(names[shown] == 0) & (scores[shown] >= self.least_score)].tolist():
            self._begin(held, boxes[found], features[found], names, found)

    def _begin(
        self, held: dict[str, Tensor], box: Tensor, feature: Tensor, names: Tensor, found: int
    ) -> None:
        """A new track takes a free place, or that of the longest missed one."""
        free = (held["names"] == 0).nonzero()[:, 0]
        place = int(free[0]) if len(free) else int(held["missed"].argmax())
        if not len(free) and not held["missed"][place]:
            return  # everybody is in sight: there is no room
        held["named"] = held["named"] + 1
        names[found] = held["named"]
        held["names"][place] = held["named"]
        held["boxes"][place] = box
        held["queries"][place] = feature
        held["speeds"][place] = 0
        held["missed"][place] = 0


def _centre(box: Tensor) -> Tensor:
    return (box[:2] + box[2:]) / 2
