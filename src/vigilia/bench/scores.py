"""Accuracy against the age of the cue.

Clips that depend on the same cue are right or wrong together, so intervals come from resampling
cues, never clips. Letters: N streams, S clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vigilia.bench.streams import AgeBin, Stream, age_bins

__all__ = ["AgeScore", "Score", "score", "score_from"]

RESAMPLES = 500


@dataclass(frozen=True)
class AgeScore:
    """Accuracy at cue ages of one bin.

    Attributes:
        low: youngest age, in clips.
        label: the bin in seconds.
        accuracy: share of scored clips that are right; nan without any.
        low95: lower end of the 95 % interval over cues.
        high95: its upper end.
        clips: scored clips.
        cues: cues that they depend on.
    """

    low: int
    label: str
    accuracy: float
    low95: float
    high95: float
    clips: int
    cues: int


@dataclass(frozen=True)
class Score:
    """How well a cell's model answers.

    Attributes:
        all: over all scored clips.
        ages: by age of the cue; bins that hold no clip are left out.
    """

    all: AgeScore
    ages: tuple[AgeScore, ...]


def score(streams: Sequence[Stream], said: np.ndarray) -> Score:
    """Scores answers.

    Args:
        streams: N of them.
        said: (N, S) answers.
    """
    right = np.concatenate(
        [answers == stream.labels for stream, answers in zip(streams, said, strict=True)]
    )
    ages = np.concatenate([stream.ages for stream in streams])
    # A cue is a place in a stream: the clip that showed it.
    cues = np.concatenate(
        [
            number * len(stream) + np.arange(len(stream)) - stream.ages
            for number, stream in enumerate(streams)
        ]
    )
    bins = [one for one in age_bins(int(ages.max(initial=0))) if one.holds(ages).any()]
    return Score(
        all=_bin_score(AgeBin(0, np.inf, "all"), right, ages, cues),
        ages=tuple(_bin_score(one, right, ages, cues) for one in bins),
    )


def score_from(score_of: Score, low: int) -> float:
    """Accuracy over all clips whose cue is `low` clips old or older; nan without any.

    Args:
        score_of: bins that start at `low`.
        low: an edge of `age_bins`.
    """
    chosen = [one for one in score_of.ages if one.low >= low]
    clips = sum(one.clips for one in chosen)
    return sum(one.accuracy * one.clips for one in chosen) / clips if clips else float("nan")


def _bin_score(one: AgeBin, right: np.ndarray, ages: np.ndarray, cues: np.ndarray) -> AgeScore:
    held = one.holds(ages)
    _, index = np.unique(cues[held], return_inverse=True)
    clips = np.bincount(index)
    rights = np.bincount(index, weights=right[held].astype(float))
    if len(clips) == 0:
        nan = float("nan")
        return AgeScore(one.low, one.label, nan, nan, nan, 0, 0)
    random = np.random.default_rng(0)
    draws = random.integers(len(clips), size=(RESAMPLES, len(clips)))
    low95, high95 = np.percentile(rights[draws].sum(axis=1) / clips[draws].sum(axis=1), [2.5, 97.5])
    return AgeScore(
        low=one.low,
        label=one.label,
        accuracy=float(rights.sum() / clips.sum()),
        low95=float(low95),
        high95=float(high95),
        clips=int(clips.sum()),
        cues=len(clips),
    )
