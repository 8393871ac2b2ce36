"""A picture of a recording of events: where they are, the busiest moment, and how many when."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.errors import OptionError
from vigilia.events.reader import open_events
from vigilia.events.summary import Activity, Summary
from vigilia.files import write_atomically

__all__ = ["plot_events", "snapshot"]

ON_COLOR, OFF_COLOR = "#c8501e", "#1f5fa8"
SNAPSHOT_US = 50_000
MOST_POINTS = 1_000_000
"""A picture has no more pixels than this; a burst of noise must not fill the memory."""


def snapshot(summary: Summary, activity: Activity) -> tuple[np.ndarray, int]:
    """The events of the busiest 50 ms, found by a second reading.

    Returns:
        (2, H, W) int64 OFF and ON events, and where they begin, in microseconds.
    """
    peak = int(activity.rates.sum(axis=0).argmax())
    start = activity.start_us + peak * activity.bucket_us
    counts = np.zeros_like(activity.counts)
    size = (summary.width, summary.height)
    with open_events(summary.file, format=summary.format, width=size[0], height=size[1]) as reader:
        for events in reader:
            low, high = np.searchsorted(events["t"], [start, start + SNAPSHOT_US])
            part = events[low:high]
            np.add.at(counts, (part["p"], part["y"], part["x"]), 1)
            if high < len(events):
                break
    return counts, start


def plot_events(summary: Summary, activity: Activity, path: str | Path) -> None:
    """Draws a recording into a .png, .svg or .pdf.

    Raises:
        OptionError: the ending is another one.
        OutputError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in ("png", "svg", "pdf"):
        raise OptionError(f"{path}: pictures are .png, .svg or .pdf")
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    counts, start = snapshot(summary, activity)
    shown = f"busiest {SNAPSHOT_US // 1000} ms, from {(start - activity.start_us) / 1e6:.3f} s"
    _draw_pixels(figure.add_subplot(grid[0, 0]), counts, shown)
    _draw_pixels(figure.add_subplot(grid[0, 1]), activity.counts, "all events, logarithmic")
    axes = figure.add_subplot(grid[1, :])
    used = int(summary.duration_seconds * 1e6) // activity.bucket_us + 1
    seconds = np.arange(used) * activity.bucket_us / 1e6
    for row, name, color in ((1, "ON", ON_COLOR), (0, "OFF", OFF_COLOR)):
        rate = activity.rates[row, :used] / (activity.bucket_us / 1e6)
        axes.step(seconds, rate / 1e3, where="post", color=color, label=name, linewidth=0.8)
    axes.set_xlabel("seconds from the first event")
    axes.set_ylabel("thousand events/s")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right")
    figure.suptitle(
        f"{Path(summary.file).name}: {summary.events:,} events, {summary.width}x{summary.height}"
    )
    data = io.BytesIO()
    figure.savefig(data, format=ending, dpi=120)
    write_atomically(path, data.getvalue())


def _draw_pixels(axes: Any, counts: np.ndarray, title: str) -> None:
    """ON in one color and OFF in another on white. counts: (2, H, W)."""
    from matplotlib.colors import to_rgb

    step = int(np.ceil(np.sqrt(counts[0].size / MOST_POINTS)))
    counts = counts[:, ::step, ::step]
    strength = np.log1p(counts)
    strength = strength / max(float(np.quantile(strength, 0.999)), 1e-9)
    total = np.clip(strength.sum(axis=0), 0, 1)[..., None]  # (H, W, 1)
    share = (counts[1] / np.maximum(counts.sum(axis=0), 1))[..., None]
    color = share * np.array(to_rgb(ON_COLOR)) + (1 - share) * np.array(to_rgb(OFF_COLOR))
    axes.imshow(1 - total * (1 - color), interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
