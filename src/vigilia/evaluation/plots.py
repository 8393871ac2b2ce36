"""Pictures of an evaluation, each a matplotlib figure: confusion, reliability, scorers, sleep."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vigilia.evaluation.agreement import Agreement
from vigilia.evaluation.bland_altman import BlandAltman
from vigilia.evaluation.calibration import Calibration
from vigilia.evaluation.scorers import ScorerAgreement

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "plot_bland_altman",
    "plot_confusion",
    "plot_model_among_scorers",
    "plot_reliability",
    "plot_scorers",
    "to_svg",
]

INK, FAINT, BLUE, ORANGE, GREEN = "#222222", "#777777", "#0072B2", "#D55E00", "#009E73"
"""Colours that colour-blind readers tell apart (Color Universal Design, Okabe and Ito 2008)."""
MOST_NUMBERS = 26
"""Above so many classes the cells of a matrix are too small for numbers."""


def to_svg(figure: Figure) -> bytes:
    """The picture as SVG; the same figure gives the same bytes."""
    from matplotlib import rc_context

    data = io.BytesIO()
    with rc_context({"svg.hashsalt": "vigilia"}):
        figure.savefig(data, format="svg", metadata={"Date": None})
    return data.getvalue()


def plot_confusion(agreement: Agreement) -> Figure:
    """Confusion matrix: each cell's share of its row, truth down, prediction across.

    Classes that neither side names are left out.
    """
    shown = [code for code, one in enumerate(agreement.per_class) if one.support or one.predicted]
    names = [agreement.classes[code] for code in shown]
    counts = np.array(agreement.matrix, np.float64).reshape(len(agreement.classes), -1)
    counts = counts[np.ix_(shown, shown)]
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    inches = float(np.clip(1.6 + 0.5 * len(names), 3.6, 9.0))
    figure, panel = _figure(inches + 0.6, inches)
    _draw_matrix(panel, shares, names, names, "Blues", 0.0, 1.0, lambda one: f"{100 * one:.0f}")
    panel.set_xlabel("prediction")
    panel.set_ylabel("truth")
    panel.set_title("percent of each row", fontsize=9, color=FAINT, loc="left")
    return figure


def plot_reliability(calibration: Calibration) -> Figure:
    """Reliability diagram: accuracy over confidence, and how many cells have which confidence."""
    figure, panels = _figure(4.6, 4.8, rows=2, heights=(3, 1), shared=True)
    filled = [one for one in calibration.bins if one.cells]
    width = 1 / len(calibration.bins)
    centres = [(one.low + one.high) / 2 for one in filled]
    panels[0].plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--", label="calibrated")
    panels[0].bar(
        centres,
        [one.accuracy for one in filled],
        width=0.92 * width,
        color=BLUE,
        alpha=0.35,
        linewidth=0,
        label="accuracy",
    )
    panels[0].plot(
        [one.confidence for one in filled],
        [one.accuracy for one in filled],
        color=BLUE,
        marker="o",
        markersize=4,
        linewidth=1.2,
    )
    panels[0].set_ylim(0, 1)
    panels[0].set_ylabel("accuracy")
    panels[0].legend(loc="upper left", frameon=False, fontsize=8)
    panels[0].set_title(
        f"ECE {calibration.expected_calibration_error:.3f} in {len(calibration.bins)} bins",
        fontsize=9,
        color=FAINT,
        loc="left",
    )
    cells = [one.cells / calibration.cells for one in filled]
    panels[1].bar(centres, cells, width=0.92 * width, color=FAINT, linewidth=0)
    panels[1].set_ylabel("share\nof cells")
    panels[1].set_xlabel("confidence")
    panels[1].set_xlim(0, 1)
    return figure


def plot_scorers(scorers: ScorerAgreement) -> Figure:
    """Cohen's kappa of each with each, the model as the last row where there is one."""
    names, rows = list(scorers.scorers), [list(row) for row in scorers.kappa]
    if scorers.model is not None:
        with_each = scorers.model.kappa_with_each
        names = [*names, "model"]
        rows = [[*row, one] for row, one in zip(rows, with_each, strict=True)]
        rows.append([*with_each, 1.0])
    values = np.array([[np.nan if one is None else one for one in row] for row in rows], np.float64)
    np.fill_diagonal(values, np.nan)
    inches = float(np.clip(1.4 + 0.6 * len(names), 3.4, 9.0))
    figure, panel = _figure(inches + 0.6, inches)
    known = values[np.isfinite(values)]
    lowest = min(float(np.floor(10 * known.min()) / 10), 0.9) if len(known) else 0.0
    _draw_matrix(panel, values, names, names, "Greens", lowest, 1.0, lambda one: f"{one:.2f}")
    panel.set_title("Cohen's kappa of each with each", fontsize=9, color=FAINT, loc="left")
    return figure


def plot_model_among_scorers(scorers: ScorerAgreement) -> Figure:
    """Each scorer's kappa with the consensus of the others, the human ceiling, and the model."""
    known = [
        (name, kappa)
        for name, kappa in zip(scorers.scorers, scorers.kappa_with_others, strict=True)
        if kappa is not None
    ]
    rows = len(known) + (scorers.model is not None)
    figure, panel = _figure(6.4, 1.3 + 0.36 * rows)
    low, high = scorers.human_ceiling_range
    panel.axvspan(low, high, color=GREEN, alpha=0.15, linewidth=0)
    panel.axvline(
        scorers.human_ceiling_kappa,
        color=GREEN,
        linewidth=1.5,
        label=f"human ceiling {scorers.human_ceiling_kappa:.2f} ({low:.2f} to {high:.2f})",
    )
    for row, (_, kappa) in enumerate(known):
        panel.plot(kappa, row, "o", color=GREEN, markersize=7)
    names = [_printable(name) for name, _ in known]
    values = [kappa for _, kappa in known]
    if scorers.model is not None:
        model = scorers.model.kappa_with_others
        panel.plot(model, len(known), "D", color=ORANGE, markersize=8, label=f"model {model:.2f}")
        names.append("model")
        values.append(model)
    panel.set_yticks(range(rows), names)
    panel.set_ylim(rows - 0.5, -0.5)
    margin = 0.05 + 0.1 * (max(values) - min(values))
    panel.set_xlim(max(-1.0, min(values) - margin), min(1.0, max(values) + margin))
    panel.grid(axis="x", color="#E4E4E4", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.set_xlabel("Cohen's kappa with the consensus of the other scorers")
    figure.legend(loc="outside upper left", frameon=False, fontsize=8, ncols=2)
    return figure


def plot_bland_altman(compared: Sequence[BlandAltman]) -> Figure:
    """Prediction minus truth over their mean, one panel a quantity, bias and limits as lines."""
    columns = min(3, len(compared))
    rows = -(-len(compared) // columns)
    figure, panels = _figure(3.4 * columns, 2.7 * rows, rows=rows, columns=columns)
    panels = np.asarray(panels, object).ravel()
    for panel in panels[len(compared) :]:
        panel.set_visible(False)
    for panel, one in zip(panels, compared, strict=False):
        panel.axhline(0, color="#CCCCCC", linewidth=0.8)
        panel.plot(one.means, one.differences, "o", color=BLUE, markersize=4.5, alpha=0.8)
        panel.axhline(one.bias, color=ORANGE, linewidth=1.3)
        for limit in (one.lower_limit, one.upper_limit):
            if limit is not None:
                panel.axhline(limit, color=ORANGE, linewidth=1, linestyle="--")
        panel.set_title(f"{one.quantity}: bias {one.bias:+.1f}", fontsize=9, loc="left")
        panel.margins(0.15)
    figure.supxlabel("mean of truth and prediction", fontsize=9)
    figure.supylabel("prediction - truth", fontsize=9)
    return figure


def _figure(
    width: float,
    height: float,
    *,
    rows: int = 1,
    columns: int = 1,
    heights: Sequence[float] | None = None,
    shared: bool = False,
) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=150, layout="constrained")
    panels = figure.subplots(rows, columns, height_ratios=heights, sharex=shared)
    for panel in np.ravel(panels):
        panel.tick_params(labelsize=8, length=3, color=FAINT)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(FAINT)
        panel.xaxis.label.set_fontsize(9)
        panel.yaxis.label.set_fontsize(9)
    return figure, panels


def _draw_matrix(
    panel: Any,
    values: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    low: float,
    high: float,
    say: Any,
) -> None:
    panel.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="equal")
    panel.set_xticks(range(len(columns)), [_printable(one) for one in columns], rotation=45)
    for label in panel.get_xticklabels():
        label.set_horizontalalignment("right")
        label.set_rotation_mode("anchor")
    panel.set_yticks(range(len(rows)), [_printable(one) for one in rows])
    panel.tick_params(length=0)
    panel.spines[:].set_visible(False)
    panel.set_xticks(np.arange(len(columns) + 1) - 0.5, minor=True)
    panel.set_yticks(np.arange(len(rows) + 1) - 0.5, minor=True)
    panel.grid(which="minor", color="white", linewidth=1.5)
    panel.tick_params(which="minor", length=0)
    if len(values) > MOST_NUMBERS:
        return
    size = 9 if len(values) <= 10 else 6.5
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value) and say(value) != "0":
            dark = (value - low) / (high - low) > 0.55
            panel.text(
                column,
                row,
                say(value),
                ha="center",
                va="center",
                fontsize=size,
                color="white" if dark else INK,
            )


def _printable(text: str, longest: int = 24) -> str:
    """Shortens, and keeps matplotlib from reading `$` as mathematics."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return short.replace("$", r"\$")
