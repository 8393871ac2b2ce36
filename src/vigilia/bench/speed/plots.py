"""The speed benchmarks as pictures."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vigilia.bench.speed.decode import DecodeRow
from vigilia.bench.speed.live import LiveTrial
from vigilia.bench.speed.soak import SoakReport
from vigilia.bench.speed.speed import SpeedReport
from vigilia.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_decoding", "plot_live", "plot_soak", "plot_speed"]


def plot_decoding(rows: Sequence[DecodeRow], path: Path) -> None:
    """Samples a second of each reader, in units of ours."""
    figure, axes = _figure(height=0.8 + 0.4 * len(rows))
    names = [f"{row.reader}{f' x {row.recordings}' if row.recordings > 1 else ''}" for row in rows]
    axes.barh(names[::-1], [row.ratio for row in rows][::-1], color="#4477aa")
    axes.axvline(1, color="#444444", linewidth=0.8)
    axes.set_xlabel("samples a second, in units of our reader with one recording")
    _write(figure, path)


def plot_speed(report: SpeedReport, path: Path) -> None:
    """Updates a second of each row, in units of the first."""
    figure, axes = _figure(height=0.8 + 0.3 * len(report.rows))
    names = [f"{row.name}, {row.precision}" for row in report.rows]
    bars = axes.barh(names[::-1], [row.times for row in report.rows][::-1], color="#4477aa")
    axes.bar_label(bars, fmt="%.1f", padding=2)
    axes.set_xlabel(f"updates a second, in units of {report.rows[0].name}")
    _write(figure, path)


def plot_live(trials: Sequence[LiveTrial], interval_seconds: float, path: Path) -> None:
    """The lag against the number of streams; endless lags at the upper edge."""
    figure, axes = _figure()
    top = 2.5 * interval_seconds
    for field, label, colour in (
        ("lag_p95_seconds", "95th percentile", "#cc3311"),
        ("lag_p50_seconds", "median", "#4477aa"),
    ):
        lags = [min(top, getattr(trial, field)) for trial in trials]
        axes.plot([trial.streams for trial in trials], lags, "o-", label=label, color=colour)
    axes.axhline(interval_seconds, color="#444444", linewidth=0.8, label="update interval")
    axes.set_ylim(0, 1.05 * top)
    axes.set_xlabel("live streams")
    axes.set_ylabel("lag, s")
    axes.legend()
    _write(figure, path)


def plot_soak(report: SoakReport, path: Path) -> None:
    """Resident memory and bytes of state over simulated hours."""
    figure, axes = _figure()
    hours = [one.hours for one in report.samples]
    for field, label, colour in (
        ("resident_bytes", "resident memory", "#4477aa"),
        ("state_bytes", "states", "#cc3311"),
    ):
        axes.plot(
            hours,
            [getattr(one, field) / 1e6 for one in report.samples],
            label=label,
            color=colour,
        )
    axes.set_ylim(bottom=0)
    axes.set_xlabel("simulated hours of each stream")
    axes.set_ylabel("MB")
    axes.legend()
    _write(figure, path)


def _figure(height: float = 3.5) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def _write(figure: Figure, path: Path) -> None:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    write_atomically(path, data.getvalue())
