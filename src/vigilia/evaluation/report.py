"""One HTML file that says and shows everything about an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from vigilia.evaluation.comparison import Comparison, in_epochs, unify_classes
from vigilia.evaluation.ethograms import class_colours, plot_ethogram, plot_hypnogram
from vigilia.evaluation.page import (
    card,
    link_list,
    page,
    pair,
    paragraph,
    picture,
    section,
    table,
)
from vigilia.evaluation.plots import (
    plot_bland_altman,
    plot_confusion,
    plot_model_among_scorers,
    plot_reliability,
    plot_scorers,
    to_svg,
)
from vigilia.evaluation.report_tables import (
    bland_altman_table,
    bouts_table,
    class_table,
    delay_table,
    recordings_table,
    scorers_table,
    sleep_table,
    state_table,
    transition_table,
)
from vigilia.evaluation.results import Evaluation
from vigilia.evaluation.text import figure, short_duration, span
from vigilia.files import write_atomically

__all__ = ["MOST_PICTURES", "write_report"]

MOST_PICTURES = 40
"""Of more recordings only the first ones are drawn; the page says so."""

DEFINITIONS = {
    "Balanced accuracy": "mean recall over the classes that occur in the truth.",
    "Cohen's kappa": "agreement beyond what the shares of the classes give by chance; 0 is chance, "
    "1 is perfect.",
    "Macro F1": "mean F1 over the classes that occur in the truth.",
    "Edit score, F1@k": "of whole bouts: their order, and bouts whose intersection over union with "
    "a true bout of their class is at least k percent. Papers report the mean over recordings or "
    "the pooled figure; they differ.",
    "mAP, calibrated mAP": "precision averaged at the positives, mean over classes, all recordings "
    "together; calibrated as if positives and negatives were equally many.",
    "ECE": "expected calibration error: how far confidence lies from accuracy.",
    "Detection delay": "from the start of a true bout to its first cell predicted so; bouts "
    "without one are missed and not in the mean.",
    "Human ceiling": "mean kappa of each scorer with the consensus of the others; the model is "
    "compared with the same consensuses.",
    "95 % interval": "the middle 95 % of the figure over resampled recordings or animals. With few "
    "of them it is too narrow rather than too wide.",
}


def write_report(
    result: Evaluation,
    comparisons: Sequence[Comparison],
    path: str | Path,
    *,
    title: str = "Evaluation",
) -> None:
    """Writes a page that needs no other file and no network.

    Args:
        result: what `evaluate` returned.
        comparisons: the recordings it was made from.
        path: where to.
        title: on top of the page.

    Raises:
        OutputError: the file cannot be written.
    """
    recordings = unify_classes(comparisons)
    parts = [
        ("classes", "Classes", _classes(result)),
        ("bouts", "Bouts", _bouts(result)),
        ("scores", "Scores", _scores(result)),
        ("sleep", "Sleep", _sleep(result)),
        ("scorers", "Scorers", _scorers(result)),
        ("recordings", "Recordings", [recordings_table(result)]),
        ("time", "Truth and prediction over time", _rows(result, recordings)),
        ("words", "What the words mean", [_definitions()]),
    ]
    shown = [part for part in parts if any(part[2])]
    body = [_cards(result), paragraph(_basis(result), note=True)]
    body.append(link_list([(name, heading) for name, heading, _ in shown]))
    body += [section(*part) for part in shown]
    write_atomically(path, page(title, _subtitle(result), body))


def _subtitle(result: Evaluation) -> str:
    count = len(result.recordings)
    scored = short_duration(result.agreement.seconds_scored)
    left = result.agreement.seconds_left_out
    return (
        f"{count} recording{'s' if count > 1 else ''}, {scored} scored in cells of "
        f"{result.agreement.step_seconds:g} s"
        + (f", {short_duration(left)} left out as unlabelled or unobserved" if left else "")
    )


def _basis(result: Evaluation) -> str:
    if result.resamples:
        return (
            f"Below each figure: 95 % interval from {result.resamples} resamples of "
            f"{result.resampled}."
        )
    return "One recording or animal says nothing about others: there are no intervals."


def _cards(result: Evaluation) -> str:
    figures = [
        ("Accuracy", result.agreement.accuracy, "accuracy"),
        ("Balanced accuracy", result.agreement.balanced_accuracy, "balanced_accuracy"),
        ("Cohen's kappa", result.agreement.kappa, "kappa"),
        ("Macro F1", result.agreement.macro_f1, "macro_f1"),
    ]
    if result.ranking is not None:
        figures.append(("mAP", result.ranking.mean_average_precision, "mean_average_precision"))
    if result.calibration is not None:
        error = result.calibration.expected_calibration_error
        figures.append(("ECE", error, "expected_calibration_error"))
    cards = [card(name, figure(value), span(result, key)) for name, value, key in figures]
    if result.scorers is not None:
        low, high = result.scorers.human_ceiling_range
        cards.append(
            card(
                "Human ceiling, kappa",
                figure(result.scorers.human_ceiling_kappa),
                f"scorers {low:.3f} to {high:.3f}",
            )
        )
    return f'<ul class="cards">{"".join(cards)}</ul>'


def _classes(result: Evaluation) -> list[str]:
    weakest = result.agreement.weakest
    says = f"Confusion matrix of {len(result.classes)} classes; kappa {result.agreement.kappa:.3f}"
    return [
        paragraph(f"The weakest class is {weakest.label}, F1 {weakest.f1:.3f}.") if weakest else "",
        class_table(result),
        picture(to_svg(plot_confusion(result.agreement)), says),
    ]


def _bouts(result: Evaluation) -> list[str]:
    parts = [bouts_table(result), delay_table(result)]
    if result.background and any(parts):
        parts.insert(0, paragraph(f"Without the background: {', '.join(result.background)}."))
    return parts


def _scores(result: Evaluation) -> list[str]:
    parts: list[str] = []
    ranks = ""
    if result.ranking is not None:
        ranking = result.ranking
        rows = [
            [
                one.label + (" (background)" if one.background else ""),
                figure(one.average_precision),
                figure(one.calibrated_average_precision),
                f"{one.positives}",
            ]
            for one in ranking.per_class
        ]
        rows.append(
            [
                "mean",
                figure(ranking.mean_average_precision),
                figure(ranking.mean_calibrated_average_precision),
                f"{ranking.cells}",
            ]
        )
        header = ["class", "average precision", "calibrated", "cells"]
        ranks = table("How well scores rank the cells", header, rows)
    if result.calibration is not None:
        found = result.calibration
        says = (
            f"Reliability diagram: expected calibration error "
            f"{found.expected_calibration_error:.3f}, mean confidence {found.mean_confidence:.3f}, "
            f"accuracy {found.accuracy:.3f}"
        )
        parts.append(
            paragraph(
                f"ECE {found.expected_calibration_error:.3f}, worst bin "
                f"{found.maximum_calibration_error:.3f}, Brier score {found.brier_score:.3f}; mean "
                f"confidence {found.mean_confidence:.3f}, accuracy {found.accuracy:.3f}."
            )
        )
        return [*parts, pair(picture(to_svg(plot_reliability(found)), says), ranks)]
    return [ranks]


def _sleep(result: Evaluation) -> list[str]:
    if result.sleep is None:
        return []
    kinds = "; ".join(f"{label} is {kind}" for label, kind in result.sleep.kinds.items())
    parts = [
        paragraph(
            f"In epochs of {result.sleep.epoch_seconds:g} s that both sides scored: kappa "
            f"{result.sleep.agreement.kappa:.3f}, accuracy {result.sleep.agreement.accuracy:.3f}."
        ),
        paragraph(f"{kinds}.", note=True),
        pair(sleep_table(result.sleep), state_table(result.sleep)),
        transition_table(result.sleep),
    ]
    if len(result.sleep.recordings) > 1 and result.sleep.bland_altman:
        parts += [
            bland_altman_table(result.sleep),
            picture(
                to_svg(plot_bland_altman(result.sleep.bland_altman)),
                "Bland-Altman plots of the quantities in the table above",
                "Bland-Altman: a point is an animal or recording; solid the bias, dashed the "
                "limits of agreement.",
            ),
        ]
    return parts


def _scorers(result: Evaluation) -> list[str]:
    found = result.scorers
    if found is None:
        return []
    low, high = found.human_ceiling_range
    ties = f" In {found.tied_cells} of {found.cells} cells the most frequent labels tie; there the "
    ties += "most reliable scorer decides."
    says = f"Kappa of each scorer with the others' consensus, mean {found.human_ceiling_kappa:.3f}"
    if found.model is not None:
        says += f"; the model's {found.model.kappa_with_others:.3f}"
    return [
        paragraph(
            f"Human ceiling: kappa {found.human_ceiling_kappa:.3f} ({low:.3f} to {high:.3f}), "
            f"accuracy {found.human_ceiling_accuracy:.3f}; Fleiss' kappa "
            f"{figure(found.fleiss_kappa)}." + ties
        ),
        scorers_table(found),
        pair(
            picture(to_svg(plot_model_among_scorers(found)), says),
            picture(to_svg(plot_scorers(found)), "Cohen's kappa of each scorer with each"),
        ),
    ]


def _rows(result: Evaluation, recordings: Sequence[Comparison]) -> list[str]:
    seconds = np.zeros(len(result.classes) + 1)
    for one in recordings:
        for codes in (one.truth, one.predicted):
            # The last place collects what is -1.
            seconds += np.bincount(codes % len(seconds), minlength=len(seconds))
    order = np.argsort(-seconds[:-1], kind="stable")
    occurring = [result.classes[code] for code in order.tolist() if seconds[code]]
    colours = class_colours(result.classes, occurring)
    entries = "".join(
        f'<li><span style="background:{colour}"></span>{escape(label)}</li>'
        for label, colour in colours.items()
    )
    parts = [f'<ul class="legend">{entries}</ul>']
    if len(recordings) > MOST_PICTURES:
        parts.append(
            paragraph(f"The first {MOST_PICTURES} of {len(recordings)} recordings are drawn.")
        )
    kappas = {one.name: one.agreement.kappa for one in result.recordings}
    for one in recordings[:MOST_PICTURES]:
        kappa = f"kappa {kappas[one.name]:.3f}"
        says = f"Truth above prediction of {one.name} over time, {kappa}"
        parts.append(f"<h3>{escape(one.name)}</h3>")
        parts.append(picture(to_svg(plot_ethogram(one, colours)), says, kappa))
        if result.sleep is not None:
            epochs = in_epochs(one, result.sleep.epoch_seconds)
            drawn = to_svg(plot_hypnogram(epochs, result.sleep.kinds))
            parts.append(picture(drawn, f"Hypnogram of {one.name}, truth above prediction"))
    return parts


def _definitions() -> str:
    entries = [
        f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>"
        for word, meaning in DEFINITIONS.items()
    ]
    return f"<dl>{''.join(entries)}</dl>"
