"""The benchmark's results as a table, a page of Markdown and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.bench.contenders import CONTENDERS
from vigilia.bench.tasks import TASKS
from vigilia.files import write_atomically

__all__ = ["held", "markdown", "mean_by_age", "plot_ages", "table", "write_report"]

Result = dict[str, Any]


def mean_by_age(results: Sequence[Result], task: str, memory: str) -> dict[int, tuple[float, int]]:
    """Accuracy by youngest age of the bin: mean over seeds, and how many seeds had such clips."""
    seeds = _of(results, task, memory)
    lows = sorted({age["low"] for one in seeds for age in one["ages"]})
    found = {
        low: [a["accuracy"] for one in seeds for a in one["ages"] if a["low"] == low]
        for low in lows
    }
    return {low: (float(np.mean(values)), len(values)) for low, values in found.items()}


def table(results: Sequence[Result]) -> list[list[str]]:
    """Rows of the overview, the head first: accuracy on all scored clips, task by task.

    Each entry is the mean over seeds, in per cent, and half the range over seeds behind it.
    """
    tasks = [name for name in TASKS if any(one["task"] == name for one in results)]
    rows = [["memory", *(f"{name} {TASKS[name].title}" for name in tasks)]]
    for memory in (name for name in CONTENDERS if any(one["memory"] == name for one in results)):
        row = [memory]
        for task in tasks:
            values = [100 * one["all"]["accuracy"] for one in _of(results, task, memory)]
            row.append(_spread(values) if values else "")
        rows.append(row)
    for title, key in (
        ("memoryless ceiling", lambda one: one["memoryless_ceiling"]),
        ("oracle", lambda one: one["oracle"]["all"]["accuracy"]),
    ):
        row = [title]
        for task in tasks:
            by_seed = {one["seed"]: 100 * key(one) for one in results if one["task"] == task}
            row.append(_spread(list(by_seed.values())))
        rows.append(row)
    return rows


def held(results: Sequence[Result]) -> list[list[str]]:
    """Rows of the summary, the head first: how young and old cues fare, and what stands apart.

    For each task: accuracy while the cue is inside the queue, and in the bin of ages that begins
    at ten times its reach, for the memories that should hold it and the GRU; how far `none` is from
    the memoryless ceiling and `fam` from the GRU, on all scored clips. Means over seeds, in per
    cent.
    """
    horizon = results[0]["horizon_clips"]
    shown = [name for name in ("feedback", "consolidated", "fam", "gru") if _any(results, name)]
    rows = [
        [
            "task",
            *(f"{name}, inside" for name in shown),
            *(f"{name}, ten times" for name in shown),
            "none - ceiling",
            "fam - gru",
        ]
    ]
    for task in (name for name in TASKS if any(one["task"] == name for one in results)):
        row = [f"{task} {TASKS[task].title}"]
        row += [_percent(_between(_of(results, task, name), 0, horizon - 1)) for name in shown]
        row += [_percent(_between(_of(results, task, name), 10 * horizon)) for name in shown]
        ceiling = [one["memoryless_ceiling"] for one in _of(results, task, "none")]
        row.append(_difference(_overall(results, task, "none"), ceiling))
        row.append(_difference(_overall(results, task, "fam"), _overall(results, task, "gru")))
        rows.append(row)
    return rows


def markdown(results: Sequence[Result]) -> str:
    """The overview, and for each task accuracy against the age of the cue."""
    tasks = [name for name in TASKS if any(one["task"] == name for one in results)]
    seeds = sorted({one["seed"] for one in results})
    first = results[0]
    parts = [
        "# Memory benchmark",
        "",
        f"Accuracy in per cent on {first['test_clips']:,} test clips, after "
        f"at most {first['most_updates']} updates on stretches of at most "
        f"{first['longest_training_clips']} clips of 2 s; {len(seeds)} seed(s). ± is half the "
        f"range over seeds. The queue reaches {first['horizon_clips']} clips.",
        "",
        _markdown_table(table(results)),
    ]
    for task in tasks:
        of_task = [one for one in results if one["task"] == task]
        labels = {age["low"]: age["label"] for one in of_task for age in one["ages"]}
        lows = sorted(labels)
        rows = [["memory", *(labels[low] for low in lows)]]
        for memory in (name for name in CONTENDERS if _of(results, task, name)):
            means = mean_by_age(results, task, memory)
            rows.append(
                [memory, *(f"{100 * means[low][0]:.1f}" if low in means else "" for low in lows)]
            )
        title = f"## {task} {TASKS[task].title}: accuracy by age of the cue"
        parts += ["", title, "", _markdown_table(rows)]
    parts += [
        "",
        "## Inside the queue, and at ten times its reach",
        "",
        _markdown_table(held(results)),
    ]
    return "\n".join(parts) + "\n"


def plot_ages(results: Sequence[Result], path: Path) -> None:
    """Accuracy against the age of the cue, a panel for each task.

    Vertical lines: where the queue ends, and the longest stretch of the training. Bands: the range
    over seeds.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tasks = [name for name in TASKS if any(one["task"] == name for one in results)]
    columns = min(4, len(tasks))
    lines = -(-len(tasks) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.2 * columns, 3.3 * lines), squeeze=False, layout="constrained"
    )
    colours = plt.get_cmap("tab10")
    for panel, task in zip(axes.flat, tasks, strict=False):
        of_task = [one for one in results if one["task"] == task]
        for number, memory in enumerate(CONTENDERS):
            seeds = _of(results, task, memory)
            if not seeds:
                continue
            means = mean_by_age(results, task, memory)
            lows = sorted(means)
            x = np.array([max(low, 0.5) * 2.0 for low in lows])
            by_seed = [{age["low"]: 100 * age["accuracy"] for age in one["ages"]} for one in seeds]
            ends = [
                [choose(one[low] for one in by_seed if low in one) for low in lows]
                for choose in (min, max)
            ]
            heavy = memory in ("fam", "gru")
            panel.plot(
                x,
                [100 * means[low][0] for low in lows],
                color=colours(number),
                linewidth=2.2 if heavy else 1.2,
                marker="o",
                markersize=3,
                linestyle="--" if CONTENDERS[memory].foreign else "-",
                label=memory,
            )
            panel.fill_between(x, *ends, color=colours(number), alpha=0.12, linewidth=0)
        ceiling = 100 * float(np.mean([o["memoryless_ceiling_from_1_clip"] for o in of_task]))
        panel.axhline(ceiling, color="0.4", linestyle=":", linewidth=1)
        for clips in (of_task[0]["horizon_clips"], of_task[0]["longest_training_clips"]):
            panel.axvline(2 * clips, color="0.7", linewidth=1, zorder=0)
        panel.set(xscale="log", ylim=(0, 103), title=f"{task} {TASKS[task].title}", xlabel="age, s")
        panel.set_ylabel("accuracy, %")
        panel.spines[["top", "right"]].set_visible(False)
    for panel in axes.flat[len(tasks) :]:
        panel.axis("off")
    handles, names = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_report(results: Sequence[Result], out: Path) -> None:
    """Writes table.md and ages.png into a folder."""
    write_atomically(out / "table.md", markdown(results))
    plot_ages(results, out / "ages.png")


def _of(results: Sequence[Result], task: str, memory: str) -> list[Result]:
    return [one for one in results if one["task"] == task and one["memory"] == memory]


def _any(results: Sequence[Result], memory: str) -> bool:
    return any(one["memory"] == memory for one in results)


def _between(seeds: Sequence[Result], low: int, high: int | None = None) -> list[float]:
    """Accuracy of each seed over the bins that start from `low` to `high`, or at `low` alone."""
    values = []
    for one in seeds:
        ages = [age for age in one["ages"] if low <= age["low"] <= (low if high is None else high)]
        clips = sum(age["clips"] for age in ages)
        if clips:
            values.append(sum(age["accuracy"] * age["clips"] for age in ages) / clips)
    return values


def _overall(results: Sequence[Result], task: str, memory: str) -> list[float]:
    return [one["all"]["accuracy"] for one in _of(results, task, memory)]


def _percent(values: Sequence[float]) -> str:
    return f"{100 * float(np.mean(values)):.1f}" if values else ""


def _difference(values: Sequence[float], others: Sequence[float]) -> str:
    if not values or not others:
        return ""
    return f"{100 * float(np.mean(values) - np.mean(others)):+.1f}"


def _spread(values: Sequence[float]) -> str:
    text = f"{np.mean(values):.1f}"
    return text if len(values) < 2 else f"{text} ± {(max(values) - min(values)) / 2:.1f}"


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
