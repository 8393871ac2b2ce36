"""Which moments mattered: the weights of multi-scale relevance over a recording, to be plotted.

    kept = []
    for clip in clips:
        logits, state = model.step(clip, state, seconds=...)
        kept.append(state.memory)
    moments = moments_of(kept)
    plot_timeline(timeline, "night.png", extra=moments.curves())

Letters: S clips, F frames of a clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vigilia.errors import InputError
from vigilia.relevance.multiscale import RelevanceState

__all__ = ["Moments", "moments_kept", "moments_of"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """How one stream's clips were weighed.

    Attributes:
        end_seconds: (S,) when each clip ended.
        frames: (S, F) weights of each clip's own moments; rows sum to 1.
        clips: (S,) weight of each clip among the recent ones when it had just been seen.
        taken: (S,) share of what was held that came with the clip, averaged over heads.
        kept: (S,) share of what is held at the end that came from the clip; they sum to 1.
        scales: (S, 3) how much frames, clips and sequence counted; rows sum to 1.
    """

    end_seconds: Floats
    frames: Floats
    clips: Floats
    taken: Floats
    kept: Floats
    scales: Floats

    def curves(self) -> dict[str, tuple[Floats, Floats]]:
        """Named pairs of seconds and values, as `plot_timeline(extra=...)` takes them."""
        return {
            "relevance": (self.end_seconds, self.taken),
            "kept at end": (self.end_seconds, self.kept),
        }

    def frame_curve(self, clip_seconds: float) -> tuple[Floats, Floats]:
        """Seconds and weights of single moments: every clip's F, where it saw them.

        Args:
            clip_seconds: how long a clip is; clips that overlap follow each other all the same.
        """
        count = self.frames.shape[1]
        offsets = (np.arange(count) + 0.5) / count * clip_seconds - clip_seconds  # (F,)
        seconds = (self.end_seconds[:, None] + offsets).ravel()
        order = np.argsort(seconds, kind="stable")
        return seconds[order], self.frames.ravel()[order]


def moments_of(states: Sequence[RelevanceState], *, row: int = 0) -> Moments:
    """Collects the weights of one stream.

    Args:
        states: behind every clip, in order.
        row: which stream of the batch.

    Raises:
        InputError: there is no state.
    """
    if not states:
        raise InputError("there is no state to read weights from; step at least one clip")

    def column(name: str) -> torch.Tensor:
        return torch.stack([getattr(state, name)[row] for state in states]).detach().cpu()

    shares = column("sequence_shares").double()  # (S, h)
    return Moments(
        end_seconds=column("recent_seconds")[:, -1].numpy(),
        frames=column("frame_weights").double().numpy(),
        clips=column("clip_weights")[:, -1].double().numpy(),
        taken=shares.mean(dim=1).numpy(),
        kept=moments_kept(shares).mean(dim=1).numpy(),
        scales=column("scale_weights").double().numpy(),
    )


def moments_kept(shares: torch.Tensor) -> torch.Tensor:
    """How much of what is held at the end came from each clip: which moments mattered.

    shares: (S, ...), `RelevanceState.sequence_shares` of S clips -> (S, ...); they sum to 1.

    A clip's share of the mean shrinks with every later clip's: shares 1, 1/2, 1/2 leave 1/4, 1/4,
    1/2.
    """
    left = torch.cumprod((1 - shares.double()).flip(0), dim=0).flip(0)  # what i.. leave of it
    behind = torch.cat([left[1:], torch.ones_like(left[:1])])
    return (shares.double() * behind).to(shares.dtype)
