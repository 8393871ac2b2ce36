"""Surprise over a whole recording: a curve to plot, and alarms where it is high.

    surprise = surprise_of(pooled, end_seconds)                    # (S,)
    found = alarms(start_seconds, end_seconds, surprise)
    plot_timeline(timeline, "night.png", extra={"surprise": (end_seconds, surprise)})

Letters: S clips, D features, E features of the memory's embedding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vigilia.errors import InputError, OptionError
from vigilia.relevance.predictive import TokenPredictor

__all__ = ["Alarm", "alarms", "surprise_of"]


@dataclass(frozen=True)
class Alarm:
    """A stretch of surprise, half-open.

    Attributes:
        start_seconds: of the first clip that passed the threshold.
        end_seconds: of the last one before the surprise was over.
        peak: the greatest surprise in it, 1 is usual.
    """

    start_seconds: float
    end_seconds: float
    peak: float


@torch.inference_mode()
def surprise_of(
    pooled: Tensor,
    end_seconds: NDArray[np.float64],
    *,
    memory: Tensor | None = None,
    predictor: TokenPredictor | None = None,
) -> NDArray[np.float64]:
    """The surprise of every clip of a recording; each looks at nothing later.

    Args:
        pooled: (S, D) what the backbone made of each clip.
        end_seconds: (S,) when each ended.
        memory: (S, E) the memory's embedding behind each clip, if the predictor wants it.
        predictor: a trained one; None expects each clip to be as the one before.

    Returns:
        (S,) about 1 where all is as usual, 0 for the first two clips.

    Raises:
        InputError: shapes that do not fit.
    """
    if pooled.ndim != 2 or len(pooled) != len(end_seconds):
        raise InputError(
            f"pooled must be (S, D) with S={len(end_seconds)} as end_seconds, "
            f"got {tuple(pooled.shape)}"
        )
    predictor = predictor or TokenPredictor(pooled.shape[1], hidden=1)
    predictor = predictor.to(pooled.device)
    state = predictor.init_state(1, 1, device=pooled.device)
    times = torch.from_numpy(np.asarray(end_seconds, np.float64)).to(pooled.device)
    found = []
    for clip in range(len(pooled)):
        told = None if memory is None else memory[clip : clip + 1]
        seen, state = predictor(
            pooled[clip : clip + 1, None].float(), state, seconds=times[clip, None], memory=told
        )
        found.append(seen.surprise)
    return torch.cat(found).double().cpu().numpy() if found else np.zeros(0)


def alarms(
    start_seconds: NDArray[np.float64],
    end_seconds: NDArray[np.float64],
    surprise: NDArray[np.float64],
    *,
    threshold: float = 6.0,
    release: float = 2.0,
    hold_seconds: float = 0.0,
) -> tuple[Alarm, ...]:
    """Where surprise passes a threshold; an alarm lasts until it has been low for a while.

    Surprise of 1, 9, 3, 1, 1 with a threshold of 6 and a release of 2 is one alarm of two clips.

    Args:
        start_seconds: (S,) where each clip's labelled time begins.
        end_seconds: (S,) where it ends.
        surprise: (S,) from `surprise_of`.
        threshold: an alarm begins at it or above.
        release: and ends below this.
        hold_seconds: only if it stays below for so long.

    Raises:
        OptionError: the release lies above the threshold, or hold_seconds is negative.
        InputError: the three do not have one length.
    """
    if not 0 < release <= threshold:
        raise OptionError(f"release must lie above 0, up to threshold={threshold}, got {release}")
    if hold_seconds < 0:
        raise OptionError(f"hold_seconds must not be negative, got {hold_seconds}")
    if not len(start_seconds) == len(end_seconds) == len(surprise):
        raise InputError(
            "start_seconds, end_seconds and surprise must have one length, "
            f"got {len(start_seconds)}, {len(end_seconds)} and {len(surprise)}"
        )
    found: list[Alarm] = []
    ringing: Alarm | None = None
    for start, end, value in zip(
        start_seconds.tolist(), end_seconds.tolist(), surprise.tolist(), strict=True
    ):
        if ringing is None:
            ringing = Alarm(start, end, value) if value >= threshold else None
        elif value >= release:
            ringing = Alarm(ringing.start_seconds, end, max(ringing.peak, value))
        elif end - ringing.end_seconds > hold_seconds:
            found.append(ringing)
            ringing = None
    return (*found, *([ringing] if ringing else []))
