"""An exported step beside the model it was made from, on a recording.

Letters: K classes.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vigilia.evaluation import agreement
from vigilia.export.step import ExportedStep
from vigilia.running.classify import Step, classify, start
from vigilia.stream import StreamClassifier
from vigilia.timeline import Labels, SegmenterOptions
from vigilia.timeline.builder import TimelineBuilder
from vigilia.video import open_video

__all__ = ["Check", "check_export"]


@dataclass(frozen=True)
class Check:
    """How an exported step compares with its model.

    Attributes:
        steps: that both were asked for.
        same_label: share of steps with the same most probable class.
        probability_difference: greatest difference of a probability.
        mean_probability_difference: mean over steps and classes.
        model_seconds: of processor time a step, the model.
        exported_seconds: likewise, the exported step.
        model_accuracy: agreement with the labels; None without any.
        exported_accuracy: likewise.
        model_kappa: Cohen's, likewise.
        exported_kappa: likewise.
    """

    steps: int
    same_label: float
    probability_difference: float
    mean_probability_difference: float
    model_seconds: float
    exported_seconds: float
    model_accuracy: float | None = None
    exported_accuracy: float | None = None
    model_kappa: float | None = None
    exported_kappa: float | None = None


def check_export(
    model: StreamClassifier,
    exported: ExportedStep,
    video: str | Path,
    *,
    labels: Labels | None = None,
    max_steps: int | None = None,
) -> Check:
    """Runs both over a recording, each with its own state.

    Args:
        model: in evaluation mode.
        exported: made from it, one stream a step.
        video: file, folder of recorder chunks or glob.
        labels: the truth, to compare both with.
        max_steps: stop after so many; None for the whole recording.

    Raises:
        VideoError: the video cannot be read.
    """
    pre = model.preprocessing
    with open_video(video, width=pre.width, height=pre.height) as reader:
        both = itertools.tee(reader.samples(fps=pre.fps))
        timed = [
            _Timed(classify(samples, one, start(one)))  # type: ignore[arg-type]
            for samples, one in zip(both, (model, exported), strict=True)
        ]
        began = reader.start_seconds
        with closing(timed[0]), closing(timed[1]):
            pairs = [
                pair
                for pair in itertools.islice(zip(*timed, strict=True), max_steps)
                if pair[0].probabilities is not None
            ]
    sides = list(zip(*pairs, strict=True))
    probabilities = [np.stack([step.probabilities for step in side]) for side in sides]  # (S, K)
    apart = np.abs(probabilities[0] - probabilities[1])
    same = probabilities[0].argmax(1) == probabilities[1].argmax(1)
    scores = [_scores(side, model, began, labels) for side in sides]
    return Check(
        steps=len(pairs),
        same_label=float(same.mean()),
        probability_difference=float(apart.max()),
        mean_probability_difference=float(apart.mean()),
        model_seconds=timed[0].seconds / len(pairs),
        exported_seconds=timed[1].seconds / len(pairs),
        model_accuracy=scores[0][0],
        exported_accuracy=scores[1][0],
        model_kappa=scores[0][1],
        exported_kappa=scores[1][1],
    )


class _Timed:
    """Steps one by one; `seconds` is the processor time that they took, decoding with the first."""

    def __init__(self, steps: Iterator[Step]) -> None:
        self._steps = steps
        self.seconds = 0.0

    def __iter__(self) -> _Timed:
        return self

    def __next__(self) -> Step:
        began = time.process_time()
        try:
            return next(self._steps)
        finally:
            self.seconds += time.process_time() - began

    def close(self) -> None:
        self._steps.close()  # type: ignore[attr-defined]


def _scores(
    steps: tuple[Step, ...], model: StreamClassifier, began: float, labels: Labels | None
) -> tuple[float | None, float | None]:
    if labels is None:
        return None, None
    builder = TimelineBuilder(
        model.classes, SegmenterOptions(), began, min(1.0, model.preprocessing.stride_seconds)
    )
    for step in steps:
        builder.add(step.start_seconds, step.end_seconds, step.probabilities)
    found = agreement(builder.finish(source="", assumptions={}), labels)
    return found.accuracy, found.kappa
