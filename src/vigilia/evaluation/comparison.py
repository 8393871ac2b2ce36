"""One recording with its truth, its prediction and its scorers on one grid of cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import LabelError, OptionError
from vigilia.evaluation.scorers import consensus
from vigilia.evaluation.segments import bouts_of
from vigilia.timeline import Labels, Scores, Timeline, labels_for
from vigilia.timeline.intervals import grid_starts, majority

__all__ = ["Comparison", "compare", "in_epochs", "mean_scores", "unify_classes", "with_consensus"]

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Comparison:
    """One recording, cell by cell.

    Attributes:
        name: of the recording.
        classes: K names.
        truth: (N,) numbers of classes, -1 where nobody scored.
        predicted: (N,) numbers of classes, -1 where nothing was observed.
        scores: (N, K) probabilities, logits or margins; rows of nan where nothing was observed;
            None if the prediction came without.
        scorers: name to (N,) numbers of classes, for everybody who scored it.
        step_seconds: length of a cell.
        start_seconds: where the first cell begins.
        lead_cells: cells before the recording's own start; epochs are counted from there.
        animal: whom it shows; recordings of one animal are resampled together.

    Raises:
        OptionError: lengths or numbers do not fit, or scores are not finite where the prediction
            is there.
    """

    name: str
    classes: tuple[str, ...]
    truth: Codes
    predicted: Codes
    scores: NDArray[np.float64] | None = None
    scorers: Mapping[str, Codes] = field(default_factory=dict)
    step_seconds: float = 1.0
    start_seconds: float = 0.0
    lead_cells: int = 0
    animal: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "truth", self._codes("truth", self.truth))
        object.__setattr__(self, "predicted", self._codes("predicted", self.predicted))
        scorers = {name: self._codes(name, one) for name, one in self.scorers.items()}
        object.__setattr__(self, "scorers", scorers)
        if not (np.isfinite(self.step_seconds) and self.step_seconds > 0):
            raise OptionError(f"step_seconds must be a positive number, got {self.step_seconds}")
        if self.scores is None:
            return
        scores = np.asarray(self.scores, np.float64)
        if scores.shape != (len(self.truth), len(self.classes)):
            raise OptionError(
                f"{self.name}: scores must be (N, K) = ({len(self.truth)}, {len(self.classes)}), "
                f"got {scores.shape}"
            )
        bad = np.logical_and(~np.isfinite(scores).all(axis=1), self.predicted >= 0)
        if bad.any():
            raise OptionError(
                f"{self.name}: scores of cell {int(bad.argmax())} are not finite; give nan only "
                "where the prediction is -1"
            )
        object.__setattr__(self, "scores", scores)

    @property
    def unit(self) -> str:
        """What is resampled as a whole: the animal, if known, else the recording."""
        return self.animal or self.name

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(N,) where both sides say something."""
        return (self.truth >= 0) & (self.predicted >= 0)

    def _codes(self, what: str, codes: ArrayLike) -> Codes:
        numbers = np.asarray(codes)
        whole = np.asarray(numbers, np.int64)
        if numbers.shape != (len(np.asarray(self.truth)),) or not np.array_equal(whole, numbers):
            raise OptionError(
                f"{self.name}: {what} must be (N,) whole numbers with N = "
                f"{len(np.asarray(self.truth))}, got {numbers.shape} {numbers.dtype}"
            )
        if whole.size and not -1 <= whole.min() <= whole.max() < len(self.classes):
            raise OptionError(
                f"{self.name}: {what} must be -1 to {len(self.classes) - 1} for "
                f"{len(self.classes)} classes, got {whole.min()} to {whole.max()}"
            )
        return whole


def compare(
    timeline: Timeline,
    truth: Labels,
    *,
    scorers: Mapping[str, Labels] | None = None,
    name: str = "",
    animal: str = "",
    step_seconds: float = 1.0,
) -> Comparison:
    """Puts a timeline and labels on one grid that begins with the timeline.

    In each cell both sides say what covers most of it, or nothing if it covers less than half.
    Labelled classes that the model does not know are added behind its own.

    Raises:
        LabelError: no cell is both labelled and observed.
        OptionError: `step_seconds` is not a positive number.
    """
    everybody = [truth, *(scorers or {}).values()]
    extra = dict.fromkeys(label for one in everybody for label in one.classes)
    classes = (*timeline.classes, *(one for one in extra if one not in timeline.classes))
    starts, lead = _grid(timeline, everybody, step_seconds)
    ends = starts + step_seconds
    index = {label: code for code, label in enumerate(classes)}
    seen = [(s, index[s.label]) for s in timeline.segments if s.label is not None]
    predicted = majority(
        [segment.start_seconds for segment, _ in seen],
        [segment.end_seconds for segment, _ in seen],
        [code for _, code in seen],
        starts,
        ends,
    )
    codes = labels_for(truth, starts, ends, classes)
    if not np.any((codes >= 0) & (predicted >= 0)):
        raise LabelError(
            f"{truth.path} labels no second that the timeline of "
            f"{name or timeline.source or 'the recording'} observed; do they belong together?"
        )
    scores = None
    if timeline.scores is not None and len(timeline.scores):
        known = mean_scores(timeline.scores, starts, ends)
        scores = np.zeros((len(starts), len(classes)))
        scores[:, : len(timeline.classes)] = known
        scores[np.isnan(known.sum(axis=1))] = np.nan
        # A label where scores are missing is no reason to refuse the recording.
        if np.isnan(scores[predicted >= 0]).any():
            scores = None
    return Comparison(
        name=name or timeline.source or str(truth.path),
        classes=classes,
        truth=codes,
        predicted=predicted,
        scores=scores,
        scorers={
            who: labels_for(one, starts, ends, classes) for who, one in (scorers or {}).items()
        },
        step_seconds=step_seconds,
        start_seconds=float(starts[0]) if len(starts) else 0.0,
        lead_cells=lead,
        animal=animal,
    )


def mean_scores(scores: Scores, starts: ArrayLike, ends: ArrayLike) -> NDArray[np.float64]:
    """Scores of N cells, the mean over the time they cover: (N, K), nan if less than half is."""
    starts, ends = np.asarray(starts, np.float64), np.asarray(ends, np.float64)
    lengths = scores.end_seconds - scores.start_seconds
    # What has accumulated at the edges of the rows; it grows inside rows and rests in holes.
    edges = np.stack([scores.start_seconds, scores.end_seconds], axis=1).ravel()
    edges = np.maximum.accumulate(edges)

    def until(amounts: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.cumsum(amounts)
        return np.interp(times, edges, np.stack([total - amounts, total], axis=1).ravel())

    covered = until(lengths, ends) - until(lengths, starts)
    enough = covered >= (ends - starts) / 2 - 1e-6
    result = np.full((len(starts), scores.probabilities.shape[1]), np.nan)
    for column in range(result.shape[1]):
        amounts = scores.probabilities[:, column].astype(np.float64) * lengths
        summed = until(amounts, ends) - until(amounts, starts)
        result[enough, column] = summed[enough] / covered[enough]
    return result


def in_epochs(comparison: Comparison, epoch_seconds: float) -> Comparison:
    """The same recording in longer cells: what fills most of an epoch, nothing if less than half.

    Raises:
        OptionError: `epoch_seconds` is not a multiple of the cells.
    """
    step = comparison.step_seconds
    per_epoch = round(epoch_seconds / step) if np.isfinite(epoch_seconds) else 0
    if per_epoch < 1 or abs(per_epoch * step - epoch_seconds) > 1e-6:
        raise OptionError(
            f"epoch_seconds must be a multiple of the cells of {step:g} s, got {epoch_seconds:g}"
        )
    if per_epoch == 1:
        return comparison
    before = -comparison.lead_cells % per_epoch
    starts = np.arange(-before, len(comparison.truth), per_epoch)

    def epochs(codes: Codes) -> Codes:
        bouts = bouts_of(codes)
        return majority(bouts.starts, bouts.ends, bouts.codes, starts, starts + per_epoch)

    scores = comparison.scores
    predicted = epochs(comparison.predicted)
    if scores is not None:
        behind = -(before + len(scores)) % per_epoch
        padded = np.pad(scores, ((before, behind), (0, 0)), constant_values=np.nan)
        padded = padded.reshape(len(starts), per_epoch, -1)  # (E, cells of an epoch, K)
        known = np.isfinite(padded.sum(axis=2))
        counts = known.sum(axis=1)
        sums = np.where(known[:, :, None], padded, 0).sum(axis=1)
        enough = counts[:, None] >= per_epoch / 2
        scores = np.where(enough, sums / np.maximum(counts, 1)[:, None], np.nan)
    return dataclasses.replace(
        comparison,
        truth=epochs(comparison.truth),
        predicted=predicted,
        scores=scores,
        scorers={name: epochs(codes) for name, codes in comparison.scorers.items()},
        step_seconds=float(epoch_seconds),
        start_seconds=comparison.start_seconds - before * step,
        lead_cells=(comparison.lead_cells + before) // per_epoch,
    )


def unify_classes(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same recordings with one list of classes, in the order in which they are first named.

    Raises:
        OptionError: there is no recording, two have one name, or their grids differ.
    """
    if not comparisons:
        raise OptionError("there is no recording to evaluate")
    names = [one.name for one in comparisons]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise OptionError(f"two recordings are called '{twice}'; give each a name of its own")
    steps = sorted({one.step_seconds for one in comparisons})
    if len(steps) > 1:
        raise OptionError(f"recordings must have cells of one length, got {steps} s")
    classes = tuple(dict.fromkeys(label for one in comparisons for label in one.classes))
    return [_with_classes(one, classes) for one in comparisons]


def with_consensus(comparisons: Sequence[Comparison], scorers: Sequence[str]) -> list[Comparison]:
    """The same recordings with the consensus of some scorers as their truth.

    Who decides ties is settled over all recordings together; see `vigilia.evaluation.scorers`.

    Raises:
        OptionError: see `unify_classes`.
    """
    comparisons = unify_classes(comparisons)
    rows = [
        np.concatenate([one.scorers.get(name, np.full(len(one.truth), -1)) for one in comparisons])
        for name in scorers
    ]
    truth, _ = consensus(np.stack(rows), len(comparisons[0].classes))
    parts = np.split(truth, np.cumsum([len(one.truth) for one in comparisons])[:-1])
    return [
        dataclasses.replace(one, truth=part) for one, part in zip(comparisons, parts, strict=True)
    ]


def _with_classes(comparison: Comparison, classes: tuple[str, ...]) -> Comparison:
    if comparison.classes == classes:
        return comparison
    places = np.array([*(classes.index(label) for label in comparison.classes), -1])
    scores = comparison.scores
    if scores is not None:
        # A class that a model does not know ranks below everything that it does know.
        lowest = 0.0 if np.nanmin(scores, initial=0.0) >= 0 else float(np.nanmin(scores))
        wide = np.full((len(scores), len(classes)), lowest)
        wide[:, places[:-1]] = scores
        wide[np.isnan(scores.sum(axis=1))] = np.nan
        scores = wide
    return dataclasses.replace(
        comparison,
        classes=classes,
        truth=places[comparison.truth],
        predicted=places[comparison.predicted],
        scores=scores,
        scorers={name: places[codes] for name, codes in comparison.scorers.items()},
    )


def _grid(
    timeline: Timeline, labels: Sequence[Labels], step_seconds: float
) -> tuple[NDArray[np.float64], int]:
    """Cells in step with the timeline's start that cover it and all labels; how many lie before."""
    anchor = timeline.start_seconds
    intervals = [
        one for source in labels for one in (*source.intervals[:1], *source.intervals[-1:])
    ]
    start = min([anchor, *(one.start_seconds for one in intervals)])
    end = max([timeline.end_seconds, *(one.end_seconds for one in intervals)])
    grid_starts(0, 0, step_seconds)
    before = int(np.ceil((anchor - start) / step_seconds))
    return grid_starts(anchor - before * step_seconds, end, step_seconds), before
