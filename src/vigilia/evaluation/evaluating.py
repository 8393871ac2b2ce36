"""From recordings with truth and prediction to every figure: `evaluate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from vigilia.errors import LabelError, OptionError
from vigilia.evaluation.agreement import agreement_on_cells, pool_agreements
from vigilia.evaluation.bland_altman import BlandAltman, bland_altman
from vigilia.evaluation.calibration import BINS, are_probabilities, bin_sums, calibration_of
from vigilia.evaluation.comparison import Comparison, in_epochs, unify_classes
from vigilia.evaluation.delay import detection_delays
from vigilia.evaluation.figures import chief_figures
from vigilia.evaluation.ranking import rank
from vigilia.evaluation.results import (
    Evaluation,
    RecordingResult,
    RecordingSleep,
    SleepEvaluation,
)
from vigilia.evaluation.scorers import ScorerAgreement, agreement_of_scorers
from vigilia.evaluation.segments import count_segments, segmental
from vigilia.evaluation.sleep import SleepFigures, sleep_figures
from vigilia.evaluation.sleep_states import KINDS, check_sleep_states, recognise_sleep_states

__all__ = ["evaluate"]


def evaluate(
    comparisons: Sequence[Comparison],
    *,
    background: Sequence[str] = (),
    sleep: Mapping[str, str] | None = None,
    epoch_seconds: float | None = None,
    bins: int = BINS,
    resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Computes every figure over some recordings.

    Args:
        comparisons: each with truth, prediction and, if there are any, scores and scorers; from
            `compare`, or made from arrays.
        background: classes that are nothing: bouts, delays and mean average precision leave them
            out; the figures of cells do not.
        sleep: class to "wake", "NREM", "REM" or "sleep"; recognised by the names of the classes if
            not given; empty for no figures of sleep.
        epoch_seconds: length of the epochs of sleep and of the comparison of scorers, a multiple of
            the cells; the cells if not given.
        bins: of calibration.
        resamples: how often recordings are resampled for the intervals; 0 for no intervals.
        seed: of the resampling.

    Raises:
        LabelError: a recording has no cell that both sides scored.
        OptionError: recordings or options do not fit each other.
    """
    recordings = unify_classes(comparisons)
    classes, step = recordings[0].classes, recordings[0].step_seconds
    for one in recordings:
        if not one.scored.any():
            raise LabelError(
                f"{one.name}: no cell is both labelled and predicted; do truth and prediction "
                "belong together?"
            )
    for label in background:
        if label not in classes:
            raise OptionError(
                f"background '{label}' is none of the classes ({', '.join(classes[:12])})"
            )
    hidden = [classes.index(label) for label in background]
    agreements = [agreement_on_cells(one.truth, one.predicted, classes, step) for one in recordings]
    counts = [count_segments(one.truth, one.predicted, background=hidden) for one in recordings]
    ranked = [one for one in recordings if one.scores is not None]
    sums = {
        one.name: bin_sums(one.scores, one.truth, bins)
        for one in ranked
        if one.scores is not None and are_probabilities(one.scores)
    }
    ranking = None
    if ranked:
        ranking = rank(
            np.concatenate([one.scores for one in ranked if one.scores is not None]),
            np.concatenate([one.truth for one in ranked]),
            classes,
            background=background,
        )
    coarse = recordings
    if epoch_seconds is not None:
        coarse = [in_epochs(one, epoch_seconds) for one in recordings]
    kinds = recognise_sleep_states(classes) if sleep is None else dict(sleep)
    if kinds:
        kinds = check_sleep_states(kinds, classes)
    units = list(dict.fromkeys(one.unit for one in recordings))
    noun = "animals" if any(one.animal for one in recordings) else "recordings"
    return Evaluation(
        agreement=pool_agreements(agreements),
        segmental=segmental(counts),
        ranking=ranking,
        calibration=calibration_of(np.sum(list(sums.values()), axis=0)) if sums else None,
        delays=detection_delays(
            [(one.truth, one.predicted) for one in recordings],
            classes,
            step_seconds=step,
            background=background,
        ),
        sleep=_sleep(coarse, kinds) if kinds else None,
        scorers=_scorers(coarse),
        scorer_seconds=coarse[0].step_seconds,
        intervals=chief_figures(
            recordings,
            counts,
            sums,
            ranking,
            background=background,
            resamples=resamples,
            seed=seed,
        ),
        recordings=tuple(
            RecordingResult(
                name=one.name,
                animal=one.animal,
                agreement=agreed,
                segmental=segmental([counted]),
                mean_average_precision=_own_precision(one, background),
                expected_calibration_error=_own_error(sums.get(one.name)),
            )
            for one, agreed, counted in zip(recordings, agreements, counts, strict=True)
        ),
        background=tuple(background),
        resampled=f"{len(units)} {noun if len(units) > 1 else noun[:-1]}",
        resamples=resamples if len(units) > 1 else 0,
    )


def _own_precision(one: Comparison, background: Sequence[str]) -> float | None:
    if one.scores is None:
        return None
    ranking = rank(one.scores, one.truth, one.classes, background=background)
    return None if ranking is None else ranking.mean_average_precision


def _own_error(sums: NDArray[np.float64] | None) -> float | None:
    found = None if sums is None else calibration_of(sums)
    return None if found is None else found.expected_calibration_error


def _scorers(recordings: Sequence[Comparison]) -> ScorerAgreement | None:
    names = list(dict.fromkeys(name for one in recordings for name in one.scorers))
    if len(names) < 2:
        return None
    codes = {
        name: np.concatenate(
            [one.scorers.get(name, np.full(len(one.truth), -1)) for one in recordings]
        )
        for name in names
    }
    predicted = np.concatenate([one.predicted for one in recordings])
    return agreement_of_scorers(codes, len(recordings[0].classes), model=predicted)


def _sleep(recordings: Sequence[Comparison], kinds: Mapping[str, str]) -> SleepEvaluation | None:
    present = [kind for kind in KINDS if kind in kinds.values()]
    classes, epoch = recordings[0].classes, recordings[0].step_seconds
    kind_of = np.array([present.index(kinds[c]) if c in kinds else -1 for c in classes] + [-1])
    found = []
    for one in recordings:
        # Of what only one side scored the other cannot be held to account.
        both = (kind_of[one.truth] >= 0) & (kind_of[one.predicted] >= 0)
        sides = [np.where(both, codes, -1) for codes in (one.truth, one.predicted)]
        figures = [sleep_figures(side, classes, kinds, epoch_seconds=epoch) for side in sides]
        if figures[0] is None or figures[1] is None:
            continue
        agreed = agreement_on_cells(kind_of[sides[0]], kind_of[sides[1]], present, epoch)
        found.append(RecordingSleep(one.name, one.animal, figures[0], figures[1], agreed))
    if not found:
        return None
    return SleepEvaluation(
        kinds=dict(kinds),
        epoch_seconds=epoch,
        agreement=pool_agreements([one.agreement for one in found]),
        recordings=tuple(found),
        bland_altman=_bland_altman(found),
    )


def _bland_altman(recordings: Sequence[RecordingSleep]) -> tuple[BlandAltman, ...]:
    """Over animals, or over recordings where nobody said whom they show."""
    units: dict[str, list[RecordingSleep]] = {}
    for one in recordings:
        units.setdefault(one.animal or one.name, []).append(one)
    tables = {
        unit: [(_quantities(one.truth), _quantities(one.prediction)) for one in members]
        for unit, members in units.items()
    }
    compared = []
    for quantity in _quantities(recordings[0].truth):
        truths: list[float | None] = []
        predictions: list[float | None] = []
        for pairs in tables.values():
            known = [
                (a[quantity], b[quantity])
                for a, b in pairs
                if a.get(quantity) is not None and b.get(quantity) is not None
            ]
            truths.append(float(np.mean([a for a, _ in known])) if known else None)
            predictions.append(float(np.mean([b for _, b in known])) if known else None)
        found = bland_altman(quantity, list(tables), truths, predictions)
        if found is not None:
            compared.append(found)
    return tuple(compared)


def _quantities(figures: SleepFigures) -> dict[str, float | None]:
    """What animals are compared by; times in minutes, shares in percent."""

    def minutes(seconds: float | None) -> float | None:
        return None if seconds is None else seconds / 60

    return {
        "total sleep time (min)": minutes(figures.total_sleep_seconds),
        "sleep efficiency (%)": 100 * figures.sleep_efficiency,
        "WASO (min)": minutes(figures.waso_seconds),
        "sleep latency (min)": minutes(figures.sleep_latency_seconds),
        "REM latency (min)": minutes(figures.rem_latency_seconds),
        **{f"{one.state} (%)": 100 * one.share_of_scored for one in figures.states},
        **{f"bouts of {one.state}": float(one.bouts) for one in figures.states},
    }
