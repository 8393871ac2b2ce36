"""How well a model does on whole recordings, streamed as `vigilia run` would stream them.

Letters: K classes, R recordings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vigilia.evaluation.agreement import balanced_accuracy, cohen_kappa
from vigilia.spiking import NeuroSvt
from vigilia.stream import StreamClassifier
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch
from vigilia.training.stretch import View, pixel_view
from vigilia.training.worker import Worker

__all__ = ["Figures", "alone", "evaluate_clips", "interval_over_recordings"]


@dataclass(frozen=True)
class Figures:
    """How well clips are classified, streaming through whole recordings.

    Attributes:
        accuracy: share of scored clips that are right.
        balanced_accuracy: mean over classes of the share that is right.
        kappa: Cohen's kappa, agreement beyond chance.
        confusion: (K, K) counts, truth by row.
        intervals: by figure, low and high end of the 95 % interval over recordings; None where
            there are fewer than two.
    """

    accuracy: float
    balanced_accuracy: float
    kappa: float
    confusion: np.ndarray
    intervals: dict[str, tuple[float, float]] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        fields = {**dataclasses.asdict(self), "confusion": self.confusion.tolist()}
        if self.intervals is None:
            del fields["intervals"]
        else:
            fields["intervals"] = {name: list(ends) for name, ends in self.intervals.items()}
        return fields


@torch.no_grad()
def evaluate_clips(
    model: StreamClassifier | NeuroSvt,
    recordings: Sequence[Recording],
    *,
    view: View | None = None,
    worker: Worker | None = None,
) -> Figures:
    """Streams through whole recordings, one after another, as `vigilia run` would.

    Args:
        model: is left in the mode in which it came.
        recordings: to be classified.
        view: how the model sees them; by default their pixels.
        worker: shares the recordings with other processes.
    """
    was_training = model.training
    model.eval()
    if view is None:
        assert isinstance(model, StreamClassifier), "a model of events comes with its view"
        view = pixel_view(model, recordings)
    size = len(model.classes)
    confusions = np.zeros((len(recordings), size, size), dtype=np.int64)
    rank, step = (worker.rank, worker.size) if worker else (0, 1)
    for index in range(rank, len(recordings), step):
        state: Any = model.init_state(1)
        for clip, label in enumerate(recordings[index].labels):
            logits, state = view(alone(recordings[index], index, clip), state)
            if label >= 0:
                confusions[index, label, int(logits.argmax())] += 1
    model.train(was_training)
    if worker is not None and worker.size > 1:
        confusions = worker.add(torch.from_numpy(confusions)).cpu().numpy()
    return figures_of(confusions)


def alone(recording: Recording, index: int, clip: int) -> Batch:
    """One clip of one recording as a batch, `index` being the recording's number in the view."""
    return Batch(
        recordings=np.array([index]),
        clips=np.array([clip]),
        labels=recording.labels[clip : clip + 1],
        seconds=recording.end_seconds[clip : clip + 1],
        starts=np.array([clip == 0]),
        plays=np.array([0]),
        partners=np.array([-1]),
        partner_clips=np.array([0]),
        partner_labels=np.array([-1]),
        shares=np.array([1.0]),
    )


FIGURES: dict[str, Callable[[np.ndarray], float]] = {
    "accuracy": lambda counts: float(np.trace(counts) / max(1, counts.sum())),
    "balanced_accuracy": balanced_accuracy,
    "kappa": cohen_kappa,
}


def figures_of(confusions: np.ndarray) -> Figures:
    """(R, K, K) counts -> all figures."""
    total = confusions.sum(axis=0)
    return Figures(
        **{name: figure(total) for name, figure in FIGURES.items()},
        confusion=total,
        intervals=(
            {name: interval_over_recordings(confusions, figure) for name, figure in FIGURES.items()}
            if len(confusions) > 1
            else None
        ),
    )


def interval_over_recordings(
    confusions: np.ndarray, figure: Callable[[np.ndarray], float], *, draws: int = 500
) -> tuple[float, float]:
    """95 % interval of a figure when recordings are drawn again with replacement.

    Clips of one recording are alike, so it is recordings that are drawn, never clips.

    Args:
        confusions: (R, K, K).
        figure: of a (K, K) matrix.
        draws: how often.
    """
    random = np.random.default_rng(0)
    count = len(confusions)
    values = [
        figure(confusions[random.integers(count, size=count)].sum(axis=0)) for _ in range(draws)
    ]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
