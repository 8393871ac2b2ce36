"""The family benchmark's results as a table, a page of Markdown and a plot against cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.files import write_atomically

__all__ = ["family_markdown", "family_table", "plot_family", "write_family_report"]

Result = dict[str, Any]

COLUMNS = 4
"""Panels side by side, at most."""


def family_table(results: Sequence[Result]) -> list[list[str]]:
    """Rows of the overview, the head first: cost, how well it sees, accuracy task by task.

    Accuracies are means over seeds in per cent, with half the range over seeds behind them.
    """
    tasks = _tasks(results)
    titles = [_title(results, task) for task in tasks]
    rows = [["backbone", "memory", "GMAC", "M params", "state kB", "sees", *titles]]
    for backbone, memory in _models(results):
        mine = [r for r in results if (r["backbone"], r["memory"]) == (backbone, memory)]
        first = mine[0]
        named = [100 * r["named"] for r in mine if r.get("named") is not None]
        rows.append(
            [
                backbone,
                memory,
                f"{first['gmac']:.4f}",
                f"{first['parameters'] / 1e6:.2f}",
                f"{first['state_bytes'] / 1e3:.0f}",
                f"{np.mean(named):.1f}" if named else "",
                *(_spread([100 * r["accuracy"] for r in mine if r["task"] == t]) for t in tasks),
            ]
        )
    for title, key in (("memoryless ceiling", "memoryless_ceiling"), ("oracle", "oracle")):
        cells = []
        for task in tasks:
            by_seed = {r["seed"]: 100 * r[key] for r in results if r["task"] == task and key in r}
            cells.append(_spread(list(by_seed.values())))
        rows.append([title, "", "", "", "", "", *cells])
    return rows


def family_markdown(results: Sequence[Result]) -> str:
    """The overview as a page, with what was the same for all."""
    seeds = sorted({one["seed"] for one in results})
    head, *body = family_table(results)
    table = [head, ["---"] * 2 + ["--:"] * (len(head) - 2), *body]
    lines = [
        "# The family",
        "",
        f"Accuracy in per cent, {len(seeds)} seed(s); ± is half the range over seeds of the "
        "memory, behind the same eyes, on the same test. GMAC, parameters and bytes are of a step "
        "on 8 frames of 32 by 32 pixels (push-ups have clips of their own). sees: share of clips "
        "whose sprite the frozen backbone names right, after the same number of updates for all. "
        "Push-ups: balanced accuracy over the frames of people who were held out; learned from "
        "pixels; each seed tests another part of the people, and ± has that in it.",
        "",
        *("| " + " | ".join(line) + " |" for line in table),
    ]
    return "\n".join(lines) + "\n"


def plot_family(results: Sequence[Result], path: Path) -> None:
    """Accuracy against the operations of a step, a panel for each task.

    Hollow: without memory; filled: with it; a line joins the two of one backbone.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = _tasks(results)
    columns = min(len(tasks), COLUMNS)
    rows = -(-len(tasks) // columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(4.4 * columns, 4.2 * rows),
        squeeze=False,
        layout="constrained",
    )
    for panel in axes.flat[len(tasks) :]:
        panel.set_axis_off()
    backbones = list(dict.fromkeys(one["backbone"] for one in results))
    colours = plt.get_cmap("tab20")
    for panel, task in zip(axes.flat, tasks, strict=False):
        of_task = [one for one in results if one["task"] == task]
        for number, backbone in enumerate(backbones):
            points = []
            for memory in dict.fromkeys(one["memory"] for one in of_task):
                mine = [
                    one for one in of_task if (one["backbone"], one["memory"]) == (backbone, memory)
                ]
                if not mine:
                    continue
                y = [100 * one["accuracy"] for one in mine]
                points.append((mine[0]["gmac"], float(np.mean(y))))
                colour = colours(number % 20)
                panel.errorbar(
                    *points[-1],
                    yerr=[[points[-1][1] - min(y)], [max(y) - points[-1][1]]],
                    fmt="os^D"[number // 20 % 4],
                    color=colour,
                    markerfacecolor="white" if memory == "none" else colour,
                    markersize=6,
                    label=backbone if memory != "none" or len(points) == 1 else None,
                )
            panel.plot(*zip(*points, strict=True), color=colours(number % 20), linewidth=0.8)
        if "memoryless_ceiling" in of_task[0]:
            level = 100 * float(np.mean([one["memoryless_ceiling"] for one in of_task]))
            panel.axhline(level, color="0.4", linestyle=":", linewidth=1)
        panel.set(xscale="log", ylim=(0, 103), title=_title(results, task), xlabel="GMAC a step")
        panel.set_ylabel("accuracy, %")
        panel.spines[["top", "right"]].set_visible(False)
    shown: dict[str, Any] = {}
    for panel in axes.flat:
        for handle, name in zip(*panel.get_legend_handles_labels(), strict=True):
            shown.setdefault(name, handle)
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_family_report(results: Sequence[Result], out: Path) -> None:
    """Writes table.md and cost.png into a folder."""
    write_atomically(out / "table.md", family_markdown(results))
    plot_family(results, out / "cost.png")


def _tasks(results: Sequence[Result]) -> list[str]:
    return sorted({one["task"] for one in results})  # T1 to T8, then push-ups


def _title(results: Sequence[Result], task: str) -> str:
    title = next(one["title"] for one in results if one["task"] == task)
    return title if title == "push-ups" else f"{task} {title}"


def _models(results: Sequence[Result]) -> list[tuple[str, str]]:
    found = dict.fromkeys((one["backbone"], one["memory"]) for one in results)
    backbones = list(dict.fromkeys(backbone for backbone, _ in found))
    return sorted(found, key=lambda one: backbones.index(one[0]))


def _spread(values: Sequence[float]) -> str:
    if not values:
        return ""
    text = f"{np.mean(values):.1f}"
    return text if len(values) < 2 else f"{text} ± {(max(values) - min(values)) / 2:.1f}"
