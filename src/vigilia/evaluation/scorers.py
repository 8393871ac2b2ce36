"""How far several people who scored the same recordings agree, and the model with them.

- Each with each: Cohen's kappa and accuracy over the cells that both scored.
- Each with the consensus *of the others*, so that nobody is compared with himself. The mean of that
  over the people is the human ceiling: what a model can be asked for.
- The model with each, with the consensus of all, and with the same consensuses that people were
  compared with: this last mean is the one to hold against the human ceiling.
- Fleiss' kappa over the cells that everybody scored (Measuring nominal scale agreement among many
  raters, Fleiss 1971).

The consensus of a cell is the label most of those who scored it gave. Where labels tie, that of the
most reliable scorer counts, the one with the highest mean kappa with the others, as Dreem Open
Datasets: Multi-Scored Sleep Datasets to compare Human and Automated sleep staging (Guillot, Sauvet,
During and Thorey 2020) do it in spirit; dropping ties instead would leave only the easy cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError
from vigilia.evaluation.frames import accuracy, cohen_kappa, confusion_matrix

__all__ = [
    "ModelAmongScorers",
    "ScorerAgreement",
    "agreement_of_scorers",
    "consensus",
    "fleiss_kappa",
    "kappa_matrix",
    "reliability_order",
]


@dataclass(frozen=True)
class ModelAmongScorers:
    """How far the model agrees with the people.

    Attributes:
        kappa_with_each: Cohen's kappa with each scorer; None where they share no cell.
        kappa_with_consensus: with the consensus of all scorers.
        accuracy_with_consensus: share of the cells that agree with it.
        kappa_with_others: mean kappa with the consensuses that leave out one scorer each: the
            figure to hold against the human ceiling.
        accuracy_with_others: the same for accuracy.
    """

    kappa_with_each: tuple[float | None, ...]
    kappa_with_consensus: float
    accuracy_with_consensus: float
    kappa_with_others: float
    accuracy_with_others: float


@dataclass(frozen=True)
class ScorerAgreement:
    """How far scorers agree, over the cells of all recordings.

    Attributes:
        scorers: R names.
        kappa: R rows of R values of Cohen's kappa, None where two share no cell.
        accuracy: R rows of R shares of equal cells, None where two share no cell.
        fleiss_kappa: None where no cell was scored by everybody.
        kappa_with_others: of each scorer with the consensus of the others, None where they share
            no cell.
        accuracy_with_others: the same for accuracy.
        human_ceiling_kappa: mean of `kappa_with_others`.
        human_ceiling_range: its lowest and highest value.
        human_ceiling_accuracy: mean of `accuracy_with_others`.
        cells: that at least two people scored.
        tied_cells: of them, those in which the most frequent labels tie.
        model: how the model does among them; None without one.
    """

    scorers: tuple[str, ...]
    kappa: tuple[tuple[float | None, ...], ...]
    accuracy: tuple[tuple[float | None, ...], ...]
    fleiss_kappa: float | None
    kappa_with_others: tuple[float | None, ...]
    accuracy_with_others: tuple[float | None, ...]
    human_ceiling_kappa: float
    human_ceiling_range: tuple[float, float]
    human_ceiling_accuracy: float
    cells: int
    tied_cells: int
    model: ModelAmongScorers | None


def kappa_matrix(codes: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Cohen's kappa of each with each: codes (R, N), -1 unscored -> (R, R), nan without a cell."""
    return _pairwise(_checked(codes, classes), classes)[0]


def reliability_order(codes: ArrayLike, classes: int) -> tuple[int, ...]:
    """Scorers from the one with the highest mean kappa with the others; ties by their order."""
    kappas = kappa_matrix(codes, classes)
    np.fill_diagonal(kappas, np.nan)
    known = np.isfinite(kappas)
    means = np.where(known, kappas, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    # Rounded, so that two scorers, who agree equally with each other, keep their order.
    return tuple(np.argsort(-np.round(means, 12), kind="stable").tolist())


def consensus(
    codes: ArrayLike, classes: int, order: Sequence[int] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The label that most scorers gave to each cell.

    Args:
        codes: (R, N) numbers of classes, -1 where a scorer said nothing.
        classes: how many there are.
        order: scorers, the one first whose label counts in a tie; by reliability if not given.

    Returns:
        (N,) int64, -1 where nobody said anything, and (N,) whether labels tied.

    Raises:
        OptionError: codes are no (R, N) numbers of classes.
    """
    codes = _checked(codes, classes)
    order = reliability_order(codes, classes) if order is None else order
    cells = codes.shape[1]
    votes = np.zeros((classes, cells), np.int64)
    for row in codes:
        said = np.flatnonzero(row >= 0)
        votes[row[said], said] += 1
    most = votes.max(axis=0, initial=0)
    leaders = (votes == most) & (most > 0)
    tied = leaders.sum(axis=0) > 1
    result = np.where(most > 0, leaders.argmax(axis=0), -1)
    open_cells = tied.copy()
    for scorer in order:
        row = codes[scorer]
        decides = open_cells & (row >= 0)
        decides[decides] = leaders[row[decides], np.flatnonzero(decides)]
        result[decides] = row[decides]
        open_cells &= ~decides
    return result, tied


def fleiss_kappa(codes: ArrayLike, classes: int) -> float | None:
    """Fleiss' kappa of (R, N) codes over the cells that all R scored; None if there are none.

    0 where everybody says one and the same class throughout.
    """
    codes = _checked(codes, classes)
    codes = codes[:, (codes >= 0).all(axis=0)]
    raters, cells = codes.shape
    if raters < 2 or not cells:
        return None
    votes = np.stack([(codes == code).sum(axis=0) for code in range(classes)])  # (K, N)
    observed = float(((votes * (votes - 1)).sum(axis=0) / (raters * (raters - 1))).mean())
    shares = votes.sum(axis=1) / (raters * cells)
    expected = float(shares @ shares)
    return (
        0.0
        if votes.max(axis=0).min() == raters and (shares > 0).sum() == 1
        else ((observed - expected) / (1 - expected))
    )


def agreement_of_scorers(
    scorers: Mapping[str, ArrayLike], classes: int, *, model: ArrayLike | None = None
) -> ScorerAgreement | None:
    """All figures of several scorers.

    Args:
        scorers: name to (N,) numbers of classes, all recordings one behind the other, -1 where that
            person said nothing.
        classes: how many there are.
        model: (N,) the model's.

    Returns:
        None where no two people scored the same cell.

    Raises:
        OptionError: there are fewer than two scorers, or lengths differ.
    """
    if len(scorers) < 2:
        raise OptionError("agreement of scorers needs two or more")
    lengths = {
        len(np.asarray(one)) for one in (*scorers.values(), *([] if model is None else [model]))
    }
    if len(lengths) > 1:
        raise OptionError(f"scorers must have the same number of cells, got {sorted(lengths)}")
    codes = _checked([np.asarray(one) for one in scorers.values()], classes)
    kappas, accuracies = _pairwise(codes, classes)
    shared = (codes >= 0).sum(axis=0) >= 2
    if not shared.any():
        return None
    others = [consensus(np.delete(codes, index, axis=0), classes)[0] for index in range(len(codes))]
    human = [_compare(codes[index], other, classes) for index, other in enumerate(others)]
    known = [one for one in human if one is not None]
    return ScorerAgreement(
        scorers=tuple(scorers),
        kappa=_rows(kappas),
        accuracy=_rows(accuracies),
        fleiss_kappa=fleiss_kappa(codes, classes),
        kappa_with_others=tuple(None if one is None else one[0] for one in human),
        accuracy_with_others=tuple(None if one is None else one[1] for one in human),
        human_ceiling_kappa=float(np.mean([one[0] for one in known])),
        human_ceiling_range=(min(one[0] for one in known), max(one[0] for one in known)),
        human_ceiling_accuracy=float(np.mean([one[1] for one in known])),
        cells=int(shared.sum()),
        tied_cells=int((consensus(codes, classes)[1] & shared).sum()),
        model=None
        if model is None
        else _model(np.asarray(model, np.int64), codes, others, classes),
    )


def _model(
    model: NDArray[np.int64],
    codes: NDArray[np.int64],
    others: Sequence[NDArray[np.int64]],
    classes: int,
) -> ModelAmongScorers | None:
    each = [_compare(row, model, classes) for row in codes]
    whole = _compare(consensus(codes, classes)[0], model, classes)
    apart = [one for other in others if (one := _compare(other, model, classes)) is not None]
    if whole is None or not apart:
        return None
    return ModelAmongScorers(
        kappa_with_each=tuple(None if one is None else one[0] for one in each),
        kappa_with_consensus=whole[0],
        accuracy_with_consensus=whole[1],
        kappa_with_others=float(np.mean([one[0] for one in apart])),
        accuracy_with_others=float(np.mean([one[1] for one in apart])),
    )


def _compare(
    first: NDArray[np.int64], second: NDArray[np.int64], classes: int
) -> tuple[float, float] | None:
    """Kappa and accuracy over the cells that both have; None if there are none."""
    matrix = confusion_matrix(first, second, classes)
    return (cohen_kappa(matrix), accuracy(matrix)) if matrix.sum() else None


def _pairwise(
    codes: NDArray[np.int64], classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    kappas, accuracies = np.full((2, len(codes), len(codes)), np.nan)
    for row in range(len(codes)):
        for column in range(row, len(codes)):
            found = _compare(codes[row], codes[column], classes)
            if found is not None:
                # With himself everybody agrees, also one who said the same throughout.
                pair = (1.0, 1.0) if row == column else found
                kappas[row, column] = kappas[column, row] = pair[0]
                accuracies[row, column] = accuracies[column, row] = pair[1]
    return kappas, accuracies


def _rows(matrix: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if np.isnan(one) else one for one in row) for row in matrix.tolist())


def _checked(codes: ArrayLike, classes: int) -> NDArray[np.int64]:
    checked = np.asarray(codes, np.int64)
    if checked.ndim != 2 or (checked.size and not -1 <= checked.min() <= checked.max() < classes):
        raise OptionError(f"codes must be (R, N), from -1 to {classes - 1}, got {checked.shape}")
    return checked
