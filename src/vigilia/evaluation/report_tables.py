"""The tables of the report."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vigilia.evaluation.page import table
from vigilia.evaluation.results import Evaluation, SleepEvaluation
from vigilia.evaluation.scorers import ScorerAgreement
from vigilia.evaluation.sleep import SleepFigures
from vigilia.evaluation.text import figure, short_duration, span

__all__ = [
    "bland_altman_table",
    "bouts_table",
    "class_table",
    "delay_table",
    "recordings_table",
    "scorers_table",
    "sleep_table",
    "state_table",
    "transition_table",
]


def class_table(result: Evaluation) -> str:
    """Precision, recall and F1 of each class that either side names."""
    rows = []
    for one in result.agreement.per_class:
        if one.support or one.predicted:
            rows.append(
                [
                    one.label,
                    *(figure(value) for value in (one.precision, one.recall, one.f1)),
                    span(result, f"f1 of {one.label}") or "-",
                    short_duration(one.support * result.agreement.step_seconds),
                    short_duration(one.predicted * result.agreement.step_seconds),
                ]
            )
    header = ["class", "precision", "recall", "F1", "95 % interval of F1", "truth", "prediction"]
    return table("Cell by cell, all recordings together", header, rows)


def bouts_table(result: Evaluation) -> str:
    """Edit score and F1@k, as the mean over recordings and pooled."""
    found = result.segmental
    if found is None:
        return ""
    pairs = [("edit score", "edit", found.edit_mean_over_recordings, found.edit_pooled)]
    pairs += [
        (
            f"F1@{100 * one.overlap:.0f}",
            f"f1@{100 * one.overlap:.0f}",
            one.mean_over_recordings,
            one.pooled,
        )
        for one in found.f1
    ]
    rows = [
        [
            name,
            figure(mean),
            span(result, f"{key}_mean_over_recordings") or "-",
            figure(pooled),
            span(result, f"{key}_pooled") or "-",
        ]
        for name, key, mean, pooled in pairs
    ]
    header = ["", "mean over recordings", "95 % interval", "pooled", "95 % interval"]
    return table("Whole bouts", header, rows)


def delay_table(result: Evaluation) -> str:
    """How late bouts are noticed."""
    rows = [
        [
            "all" if one.label is None else one.label,
            f"{one.bouts}",
            f"{one.missed}",
            *(
                short_duration(value)
                for value in (one.median_seconds, one.mean_seconds, one.p90_seconds)
            ),
        ]
        for one in result.delays
    ]
    header = ["class", "true bouts", "missed", "median delay", "mean", "90 % within"]
    return table("Detection delay", header, rows)


def recordings_table(result: Evaluation) -> str:
    """The figures of each recording alone."""
    has_animals = any(one.animal for one in result.recordings)
    rows = []
    for one in result.recordings:
        f1 = None if one.segmental is None else one.segmental.f1[-1].pooled
        edit = None if one.segmental is None else one.segmental.edit_pooled
        rows.append(
            [
                one.name,
                *([one.animal] if has_animals else []),
                figure(one.agreement.accuracy),
                figure(one.agreement.balanced_accuracy),
                figure(one.agreement.kappa),
                figure(one.agreement.macro_f1),
                figure(edit),
                figure(f1),
                figure(one.mean_average_precision),
                figure(one.expected_calibration_error),
                short_duration(one.agreement.seconds_scored),
            ]
        )
    header = ["recording", *(["animal"] if has_animals else []), "accuracy", "balanced", "kappa"]
    header += ["macro F1", "edit", "F1@50", "mAP", "ECE", "scored"]
    return table("Each recording alone", header, rows)


def sleep_table(sleep: SleepEvaluation) -> str:
    """Sleep by truth and by prediction, the mean over recordings where there are several."""
    figures: list[tuple[str, Callable[[SleepFigures], float | None], Callable[[float], str]]] = [
        ("total sleep time", lambda one: one.total_sleep_seconds, _minutes),
        ("sleep efficiency", lambda one: one.sleep_efficiency, _percent),
        ("sleep latency", lambda one: one.sleep_latency_seconds, _minutes),
        ("REM latency after sleep onset", lambda one: one.rem_latency_seconds, _minutes),
        ("WASO", lambda one: one.waso_seconds, _minutes),
        ("WASO inside sleep", lambda one: one.waso_inside_sleep_seconds, _minutes),
        ("awakenings", lambda one: one.awakenings, _count),
    ]
    rows = [[name, *_both(sleep, value_of, say)] for name, value_of, say in figures]
    return table(f"Sleep{_several(sleep)}", ["", "truth", "prediction"], rows)


def state_table(sleep: SleepEvaluation) -> str:
    """Share and bouts of each state and stage, truth before prediction."""
    first = sleep.recordings[0].truth
    columns: list[tuple[str, str, Callable[[float], str]]] = [
        ("share", "share_of_scored", _percent),
        ("bouts", "bouts", _count),
        ("mean bout", "mean_bout_seconds", _minutes),
        ("median bout", "median_bout_seconds", _minutes),
    ]
    rows = []
    for state in (*first.states, *first.stages):
        cells = [
            " | ".join(_both(sleep, _of(state.state, field), say)) for _, field, say in columns
        ]
        rows.append([state.state, *cells])
    header = ["", *(name for name, _, _ in columns)]
    return table(f"States, truth | prediction{_several(sleep)}", header, rows)


def transition_table(sleep: SleepEvaluation) -> str:
    """How often each state is followed by which, in percent of its epochs."""
    states = [one.state for one in sleep.recordings[0].truth.states]
    sides = [
        np.sum([one.truth.transitions for one in sleep.recordings], axis=0),
        np.sum([one.prediction.transitions for one in sleep.recordings], axis=0),
    ]
    rows = []
    for row, state in enumerate(states):
        cells = [state]
        for counts in sides:
            total = counts[row].sum()
            cells += [f"{100 * one / total:.2f}" if total else "-" for one in counts[row].tolist()]
        rows.append(cells)
    header = ["from", *(f"truth: to {one}" for one in states)]
    header += [f"prediction: to {one}" for one in states]
    return table("Transitions from epoch to epoch, percent", header, rows)


def bland_altman_table(sleep: SleepEvaluation) -> str:
    """Bias and limits of agreement of each quantity."""
    rows = [
        [
            one.quantity,
            f"{np.mean(one.truths):.1f}",
            f"{np.mean(one.predictions):.1f}",
            f"{one.bias:+.2f}",
            *(
                "-" if limit is None else f"{limit:+.2f}"
                for limit in (one.lower_limit, one.upper_limit)
            ),
            f"{len(one.names)}",
        ]
        for one in sleep.bland_altman
    ]
    header = ["", "truth", "prediction", "bias", "lower limit", "upper limit", "animals"]
    if not any(one.animal for one in sleep.recordings):
        header[-1] = "recordings"
    return table("Bland-Altman: prediction minus truth", header, rows)


def scorers_table(scorers: ScorerAgreement) -> str:
    """Each scorer with the consensus of the others, and with the model."""
    model = scorers.model
    rows = []
    for index, name in enumerate(scorers.scorers):
        row = [name, figure(scorers.kappa_with_others[index])]
        row.append(figure(scorers.accuracy_with_others[index]))
        rows.append(row + ([figure(model.kappa_with_each[index])] if model else []))
    mean = ["mean", figure(scorers.human_ceiling_kappa), figure(scorers.human_ceiling_accuracy)]
    rows.append(mean + (["-"] if model else []))
    if model:
        rows.append(
            ["model", figure(model.kappa_with_others), figure(model.accuracy_with_others), "-"]
        )
        rows.append(
            [
                "model, consensus of all",
                figure(model.kappa_with_consensus),
                figure(model.accuracy_with_consensus),
                "-",
            ]
        )
    header = ["", "kappa with the others' consensus", "accuracy"]
    return table("Scorers", header + (["kappa of the model with them"] if model else []), rows)


def _several(sleep: SleepEvaluation) -> str:
    count = len(sleep.recordings)
    return f", mean over {count} recordings" if count > 1 else ""


def _both(
    sleep: SleepEvaluation,
    value_of: Callable[[SleepFigures], float | None],
    say: Callable[[float], str],
) -> list[str]:
    """A figure by truth and by prediction, the mean over the recordings that have it."""
    said = []
    for sides in (
        [one.truth for one in sleep.recordings],
        [one.prediction for one in sleep.recordings],
    ):
        known = [value for one in sides if (value := value_of(one)) is not None]
        said.append(say(float(np.mean(known))) if known else "-")
    return said


def _of(state: str, field: str) -> Callable[[SleepFigures], float | None]:
    def value(figures: SleepFigures) -> float | None:
        found = figures.state(state)
        return None if found is None else getattr(found, field)

    return value


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} min"


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _count(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
