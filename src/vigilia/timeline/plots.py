"""Draws a timeline as a scientist prints it: one strip a source, what the model said below."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError
from vigilia.files import write_atomically
from vigilia.timeline.labels import Labels
from vigilia.timeline.timeline import UNOBSERVED, Scores, Timeline

__all__ = ["plot_timeline"]

FEW = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442")
"""Colours that colour-blind readers tell apart (Color Universal Design, Okabe and Ito 2008)."""
MANY = (*FEW, "#332288", "#999933", "#882255")
"""With three more of Paul Tol's muted scheme (Colour Schemes, 2021)."""
OTHER_COLOUR = "#B8B8B8"
UNLABELLED_COLOUR = "#F4F4F4"
INK, FAINT = "#222222", "#777777"

SUFFIXES = ("png", "svg", "pdf")
LONGEST_NAME = 30
MOST_POINTS = 1200
"""More points than a print at 10 inches can show are averaged."""
TICK_STEPS = (
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200),
    *(10800, 14400, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000),
)


@dataclass(frozen=True)
class _Strip:
    """One row: name, stretches of time, and how much of the labelled time each label fills."""

    name: str
    stretches: tuple[tuple[float, float, str | None], ...]
    hatched: bool
    shares: Mapping[str, float]


def plot_timeline(
    timeline: Timeline,
    path: str | Path,
    *,
    truth: Timeline | Labels | None = None,
    title: str | None = None,
    extra: Mapping[str, Timeline | Labels | tuple[ArrayLike, ArrayLike]] | None = None,
) -> None:
    """Draws a timeline into a PNG, SVG or PDF file of 10 by 4 inches, higher with `extra`.

    Strips show the states, truth above prediction, holes in the recording hatched; below them are
    the probabilities of the classes, or the confidence of the segments where the timeline keeps no
    scores. Classes that do not occur are not shown; of many the longest are, the others as one.

    Args:
        timeline: the prediction.
        path: where to, the ending decides the format.
        truth: what it is compared with.
        title: above the picture; the name of the recording if not given, "" for none.
        extra: more to draw, by name: another scorer's timeline or labels becomes a strip, a pair of
            seconds (N,) and values (N,) a curve.

    Raises:
        OptionError: the ending is unknown, or there is nothing to draw.
        OutputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    suffix = Path(path).suffix.lower().removeprefix(".")
    if suffix not in SUFFIXES:
        raise OptionError(f"{path} must end in {', '.join('.' + one for one in SUFFIXES)}")
    if not timeline.segments:
        raise OptionError(f"the timeline of {timeline.source or 'no source'} is empty")
    strips, curves = _strips(timeline, truth, extra or {})
    colours = _colours(timeline.classes, strips)

    heights = [0.46 * len(strips) + 0.1, 1.7, *(0.9 for _ in curves)]
    # Constrained layout keeps axes, legend and caption apart whatever the names' lengths.
    inches = 4 + 0.5 * max(len(strips) - 2, 0) + 0.9 * len(curves)
    figure = Figure(figsize=(10, inches), dpi=200, layout="constrained")
    panels = figure.subplots(len(heights), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    _draw_strips(panels[0], strips, colours)
    if timeline.scores is not None and len(timeline.scores):
        _draw_probabilities(panels[1], timeline, colours)
    else:
        _draw_confidence(panels[1], timeline)
    for panel, (name, (seconds, values)) in zip(panels[2:], curves.items(), strict=True):
        panel.plot(seconds, values, color=INK, linewidth=0.8)
        panel.set_ylabel(_printable(name), fontsize=8)
    for panel in panels:
        panel.tick_params(labelsize=8, length=3, color=FAINT)
        panel.spines[["top", "right"]].set_visible(False)
        panel.spines[["left", "bottom"]].set_color(FAINT)
    _draw_time_axis(panels[-1], strips)
    figure.align_ylabels(list(panels[1:]))
    _draw_legend(figure, strips, colours)
    heading = timeline.source if title is None else title
    if heading:
        figure.suptitle(_printable(heading, 110), fontsize=11, x=0.01, ha="left", color=INK)
    if timeline.assumptions:
        stated = "; ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in timeline.assumptions.items()
        )
        caption = "\n".join(textwrap.wrap(stated, 185, max_lines=2, placeholder=" …"))
        figure.supxlabel(_printable(caption, 400), fontsize=6.5, x=0.01, ha="left", color=FAINT)

    data = io.BytesIO()
    # The day it was drawn says nothing about the picture.
    dated = {"svg": "Date", "pdf": "CreationDate"}
    metadata = {dated[suffix]: None} if suffix in dated else None
    figure.savefig(data, format=suffix, metadata=metadata)
    write_atomically(path, data.getvalue())


def _strips(
    timeline: Timeline,
    truth: Timeline | Labels | None,
    extra: Mapping[str, Timeline | Labels | tuple[ArrayLike, ArrayLike]],
) -> tuple[list[_Strip], dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]]:
    sources: list[tuple[str, Timeline | Labels]] = []
    if truth is not None:
        sources.append(("truth", truth))
    sources.append(("prediction", timeline))
    curves = {}
    for name, one in extra.items():
        if isinstance(one, (Timeline, Labels)):
            sources.append((name, one))
        else:
            seconds, values = (np.asarray(part, np.float64) for part in one)
            if seconds.ndim != 1 or seconds.shape != values.shape:
                raise OptionError(
                    f"extra '{name}' must be seconds (N,) and values (N,), "
                    f"got {seconds.shape} and {values.shape}"
                )
            curves[name] = (seconds, values)
    return [_strip(name, one) for name, one in sources], curves


def _strip(name: str, source: Timeline | Labels) -> _Strip:
    entries = source.segments if isinstance(source, Timeline) else source.intervals
    stretches = tuple((one.start_seconds, one.end_seconds, one.label) for one in entries)
    seconds: dict[str, float] = {}
    for start, end, label in stretches:
        if label is not None:
            seconds[label] = seconds.get(label, 0.0) + end - start
    total = sum(seconds.values())
    shares = {label: part / total for label, part in seconds.items()}
    return _Strip(name, stretches, isinstance(source, Timeline), shares)


def _colours(classes: Sequence[str], strips: Sequence[_Strip]) -> dict[str, str]:
    """Colour of each label that gets one of its own, in the order of the classes.

    Few classes keep their colours from recording to recording, whichever of them occur.
    """
    everywhere = [*classes, *sorted({label for s in strips for label in s.shares} - {*classes})]
    occurring = [label for label in everywhere if any(label in s.shares for s in strips)]
    if len(everywhere) <= len(MANY):
        palette = dict(zip(everywhere, MANY, strict=False))
        return {label: palette[label] for label in occurring}
    longest = sorted(occurring, key=lambda label: -max(s.shares.get(label, 0) for s in strips))
    shown = set(longest[: len(MANY)])
    return dict(zip((label for label in occurring if label in shown), MANY, strict=False))


def _extent(strips: Sequence[_Strip]) -> tuple[float, float]:
    drawn = [strip.stretches for strip in strips if strip.stretches]
    return min(one[0][0] for one in drawn), max(one[-1][1] for one in drawn)


def _draw_strips(panel: Any, strips: Sequence[_Strip], colours: Mapping[str, str]) -> None:
    start, end = _extent(strips)
    for row, strip in enumerate(strips):
        box = (row - 0.4, 0.8)
        if not strip.hatched:
            panel.broken_barh([(start, end - start)], box, color=UNLABELLED_COLOUR, linewidth=0)
        of_colour: dict[str | None, list[tuple[float, float]]] = {}
        for begin, stop, label in strip.stretches:
            colour = None if label is None else colours.get(label, OTHER_COLOUR)
            of_colour.setdefault(colour, []).append((begin, stop - begin))
        for colour, spans in of_colour.items():
            if colour is None:
                panel.broken_barh(
                    spans,
                    box,
                    facecolor="white",
                    edgecolor=OTHER_COLOUR,
                    hatch="/////",
                    linewidth=0,
                )
            else:
                # Smoothed edges would show as white seams between neighbours.
                panel.broken_barh(
                    spans,
                    box,
                    facecolor=colour,
                    linewidth=0,
                    antialiased=False,
                    rasterized=len(spans) > MOST_POINTS,
                )
    panel.set_ylim(len(strips) - 0.5, -0.5)
    panel.set_yticks(range(len(strips)), [_printable(strip.name, 18) for strip in strips])
    panel.tick_params(axis="y", left=False)
    panel.tick_params(axis="x", bottom=False)
    panel.spines[["left", "bottom"]].set_visible(False)


def _draw_probabilities(panel: Any, timeline: Timeline, colours: Mapping[str, str]) -> None:
    assert timeline.scores is not None
    starts, ends, probabilities = _thin(timeline.scores)
    shown = [label for label in timeline.classes if label in colours]
    layers = [probabilities[:, timeline.classes.index(label)] for label in shown]
    paints = [colours[label] for label in shown]
    if len(shown) < len(timeline.classes):
        layers.append(np.maximum(probabilities.sum(axis=1) - np.sum(layers, axis=0), 0))
        paints.append(OTHER_COLOUR)
    seconds, rows = _steps(starts, ends)
    bottom = np.zeros(len(rows))
    for layer, paint in zip(layers, paints, strict=True):
        values = np.where(rows >= 0, layer[rows], np.nan)
        panel.fill_between(seconds, bottom, bottom + values, color=paint, linewidth=0)
        bottom = bottom + values
    panel.set_ylim(0, 1)
    panel.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    panel.set_ylabel("probability", fontsize=8)


def _draw_confidence(panel: Any, timeline: Timeline) -> None:
    seen = [segment for segment in timeline.segments if segment.label is not None]
    seconds, rows = _steps(
        np.array([segment.start_seconds for segment in seen]),
        np.array([segment.end_seconds for segment in seen]),
    )
    confidence = np.array([*(segment.confidence for segment in seen), np.nan])[rows]
    panel.fill_between(seconds, 0, confidence, color="#D8DEE6", linewidth=0)
    panel.plot(seconds, confidence, color=INK, linewidth=0.8)
    panel.set_ylim(0, 1)
    panel.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    panel.set_ylabel("confidence", fontsize=8)


def _thin(
    scores: Scores,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rows of scores, averaged over equal stretches of time if a print cannot show them all."""
    starts, ends = scores.start_seconds, scores.end_seconds
    probabilities = scores.probabilities.astype(np.float64)
    if len(scores) <= MOST_POINTS:
        return starts, ends, probabilities
    edges = np.linspace(starts[0], ends[-1], MOST_POINTS + 1)
    bins = np.clip(np.searchsorted(edges, starts, side="right") - 1, 0, MOST_POINTS - 1)
    filled, first = np.unique(bins, return_index=True)
    last = np.append(first[1:], len(scores)) - 1
    durations = (ends - starts)[:, None]
    sums = np.add.reduceat(probabilities * durations, first, axis=0)
    means = sums / np.add.reduceat(durations, first, axis=0)
    return starts[first], ends[last], means[: len(filled)]


def _steps(
    starts: NDArray[np.float64], ends: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Corners of a step curve: times, and the row each takes its value from, -1 in a hole."""
    seconds: list[float] = []
    rows: list[int] = []
    for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        if seconds and start > seconds[-1] + 1e-3:
            seconds.append(seconds[-1])
            rows.append(-1)
        seconds += [start, end]
        rows += [row, row]
    return np.array(seconds), np.array(rows, np.int64)


def _draw_time_axis(panel: Any, strips: Sequence[_Strip]) -> None:
    start, end = _extent(strips)
    duration = end - start
    step = next((one for one in TICK_STEPS if duration / one <= 9), TICK_STEPS[-1])
    first = int(np.ceil(start / step - 1e-9))
    ticks = step * np.arange(first, int(np.floor(end / step + 1e-9)) + 1)
    panel.set_xlim(start, end)
    if duration <= 180:
        names, unit = [f"{tick:g}" for tick in np.round(ticks, 3)], "time (s)"
    elif duration <= 3 * 3600:
        names, unit = [f"{tick / 60:g}" for tick in ticks], "time (min)"
    elif duration <= 7 * 86400:
        names = [f"{int(tick // 3600)}:{int(tick % 3600 // 60):02d}" for tick in ticks]
        unit = "time (h:mm)"
    else:
        names, unit = [f"{tick / 86400:g}" for tick in ticks], "time (days)"
    panel.set_xticks(ticks, names)
    panel.set_xlabel(unit, fontsize=9)


def _draw_legend(figure: Any, strips: Sequence[_Strip], colours: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    start, end = _extent(strips)
    compared = strips if len(strips) == 2 else [s for s in strips if s.name == "prediction"]

    def entry(name: str, labels: Sequence[str]) -> str:
        shares = [sum(strip.shares.get(label, 0.0) for label in labels) for strip in compared]
        return f"{name}  " + " | ".join(_percent(share) for share in shares)

    handles = [
        Patch(facecolor=colour, label=entry(_printable(label), [label]))
        for label, colour in colours.items()
    ]
    others = sorted({label for s in strips for label in s.shares} - set(colours))
    if others:
        handles.append(
            Patch(facecolor=OTHER_COLOUR, label=entry(f"{len(others)} other classes", others))
        )
    if any(label is None for s in strips for _, _, label in s.stretches):
        handles.append(
            Patch(facecolor="white", edgecolor=OTHER_COLOUR, hatch="/////", label=UNOBSERVED)
        )
    if any(not strip.hatched and _covered(strip) < end - start - 1e-3 for strip in strips):
        blank = Patch(facecolor=UNLABELLED_COLOUR, edgecolor=OTHER_COLOUR, label="not labelled")
        handles.append(blank)
    figure.legend(
        handles=handles,
        loc="outside right upper",
        title="share of time\n" + " | ".join(_printable(strip.name, 18) for strip in compared),
        fontsize=8,
        title_fontsize=8,
        alignment="left",
        frameon=False,
        handlelength=1.2,
        handleheight=1.0,
    )


def _covered(strip: _Strip) -> float:
    return sum(end - start for start, end, _ in strip.stretches)


def _percent(share: float) -> str:
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "<1%"


def _printable(text: str, longest: int = LONGEST_NAME) -> str:
    """Shortens, and keeps matplotlib from reading `$` as mathematics and `_` as "hide this"."""
    short = text if len(text) <= longest else text[: longest - 1] + "…"
    return (" " if short.startswith("_") else "") + short.replace("$", r"\$")
