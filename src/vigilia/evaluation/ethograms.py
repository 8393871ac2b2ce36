"""Rows over time: what truth, prediction and scorers say of one recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vigilia.evaluation.comparison import Comparison
from vigilia.evaluation.plots import FAINT, INK, ORANGE, _figure, _printable
from vigilia.evaluation.segments import bouts_of
from vigilia.evaluation.sleep_states import KINDS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["class_colours", "plot_ethogram", "plot_hypnogram"]

PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
    *("#332288", "#999933", "#882255", "#44AA99", "#661100", "#6699CC", "#AA4466", "#888888"),
)
"""Okabe and Ito 2008, then Paul Tol's muted scheme."""
OTHER_COLOUR = "#B8B8B8"
WRONG_COLOUR = "#222222"
HEIGHTS = {"wake": 3, "REM": 2, "sleep": 1, "NREM": 0}
"""Levels of a hypnogram, wake on top."""


def class_colours(classes: Sequence[str], occurring: Sequence[str]) -> dict[str, str]:
    """A colour for each class that occurs; of very many the first ones, the others are grey.

    Args:
        classes: all of them; few keep their colours whichever of them occur.
        occurring: those that are drawn, the most frequent first.
    """
    if len(classes) <= len(PALETTE):
        return {
            one: colour
            for one, colour in zip(classes, PALETTE, strict=False)
            if one in set(occurring)
        }
    return dict(zip(occurring, PALETTE, strict=False))


def plot_ethogram(comparison: Comparison, colours: Mapping[str, str]) -> Figure:
    """Strips of truth and prediction, of every scorer where there are several, and what differs.

    Args:
        comparison: the recording.
        colours: of the classes; others are grey.
    """
    strips = [("truth", comparison.truth), ("prediction", comparison.predicted)]
    if len(comparison.scorers) > 1:
        strips = [*comparison.scorers.items(), *strips]
    strips.append(("differs", np.where(comparison.truth != comparison.predicted, 0, -1)))
    strips[-1] = ("differs", np.where(comparison.scored, strips[-1][1], -1))
    figure, panel = _figure(9.6, 0.62 + 0.24 * len(strips))
    for row, (name, codes) in enumerate(strips):
        bouts = bouts_of(codes)
        starts = comparison.start_seconds + bouts.starts * comparison.step_seconds
        lengths = (bouts.ends - bouts.starts) * comparison.step_seconds
        box = (row - 0.4, 0.8) if name != "differs" else (row - 0.28, 0.5)
        for code in np.unique(bouts.codes).tolist():
            colour = (
                WRONG_COLOUR
                if name == "differs"
                else colours.get(comparison.classes[code], OTHER_COLOUR)
            )
            chosen = bouts.codes == code
            panel.broken_barh(
                list(zip(starts[chosen].tolist(), lengths[chosen].tolist(), strict=True)),
                box,
                color=colour,
                linewidth=0,
                antialiased=False,
                rasterized=True,
            )
    panel.set_ylim(len(strips) - 0.5, -0.5)
    panel.set_yticks(range(len(strips)), [_printable(name, 18) for name, _ in strips])
    panel.tick_params(axis="y", left=False)
    panel.spines[["left", "bottom"]].set_visible(False)
    _draw_time(panel, comparison)
    return figure


def plot_hypnogram(comparison: Comparison, kinds: Mapping[str, str]) -> Figure:
    """Steps of truth and prediction, wake on top.

    Args:
        comparison: the recording, in epochs.
        kinds: class to wake, NREM, REM or sleep.
    """
    present = sorted({*kinds.values()} & {*KINDS}, key=lambda kind: HEIGHTS[kind])
    level = np.array(
        [present.index(kinds[c]) if c in kinds else np.nan for c in comparison.classes] + [np.nan]
    )
    figure, panels = _figure(9.6, 2.3, rows=2, shared=True)
    edges = comparison.start_seconds + comparison.step_seconds * np.arange(
        len(comparison.truth) + 1
    )
    sides = (("truth", comparison.truth, INK), ("prediction", comparison.predicted, ORANGE))
    for panel, (name, codes, colour) in zip(panels, sides, strict=True):
        panel.stairs(level[codes], edges, baseline=None, color=colour, linewidth=1.1)
        if "REM" in present:
            rem = np.where(level[codes] == present.index("REM"), level[codes], np.nan)
            panel.stairs(rem, edges, baseline=None, color=colour, linewidth=3.2)
        panel.set_ylim(-0.5, len(present) - 0.5)
        panel.set_yticks(range(len(present)), present)
        panel.set_ylabel(name)
    _draw_time(panels[-1], comparison)
    return figure


def _draw_time(panel: Any, comparison: Comparison) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    start = comparison.start_seconds
    end = start + len(comparison.truth) * comparison.step_seconds
    panel.set_xlim(start, end)
    unit, name = 1.0, "s"
    if end - start > 3 * 3600:
        unit, name = 3600.0, "h"
    elif end - start > 180:
        unit, name = 60.0, "min"
    # Round numbers of the unit, not of seconds.
    ticks = MaxNLocator(nbins=9, steps=[1, 2, 5, 10]).tick_values(start / unit, end / unit)
    within = [unit * tick for tick in np.asarray(ticks).tolist()]
    panel.set_xticks([tick for tick in within if start - 1e-9 <= tick <= end + 1e-9])
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / unit:g}"))
    panel.set_xlabel(f"time ({name})", color=FAINT)
