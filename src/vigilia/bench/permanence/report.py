"""The benchmark's results as tables, a page of Markdown and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.bench.permanence.contenders import CONTENDERS
from vigilia.bench.permanence.exam import CHANCE, LOOK
from vigilia.bench.permanence.scores import difference, retention, wilson
from vigilia.files import write_atomically

__all__ = [
    "QUESTIONS",
    "difference_table",
    "look_table",
    "markdown",
    "plot_gaps",
    "question_table",
    "write_report",
]

Result = dict[str, Any]

QUESTIONS = {
    ("one", "identity"): "permanence score: which digit is hidden, %",
    ("one", "position_pixels"): "where it is by now: mean distance, pixels",
    ("one", "same"): "is what comes back the same, %",
    ("two", "crossing"): "which of two is on the left by now, %",
}
"""What is shown, by task and figure."""


def question_table(
    results: Sequence[Result], task: str, figure: str, *, dtype: str = "float32"
) -> list[list[str]]:
    """Rows of a table, the head first: a contender a row, a gap a column, then retention.

    Shares are of all seeds together, with Wilson's 95 % interval; distances are means over seeds.
    Retention at the longest gap is what is left above chance of what was above it before hiding.

    Args:
        results: of `bench_permanence`.
        task: of `QUESTIONS`.
        figure: likewise.
        dtype: what was computed in.
    """
    mine = [one for one in results if one["task"] == task]
    gaps = [row["gap"] for row in mine[0]["dtypes"][dtype]] if mine else []
    head = ["contender", *("visible" if gap == 0 else str(gap) for gap in gaps)]
    rows = [head if figure == "position_pixels" else [*head, f"kept at {gaps[-1]}" if gaps else ""]]
    for name in (name for name in CONTENDERS if any(one["contender"] == name for one in mine)):
        of_name = [one["dtypes"][dtype] for one in mine if one["contender"] == name]
        if figure == "position_pixels":
            means = np.mean([[row[figure] for row in one] for one in of_name], axis=0)
            rows.append([name, *(f"{mean:.2f}" for mean in means)])
            continue
        shares = [
            wilson(
                sum(one[index][figure]["right"] for one in of_name),
                sum(one[index][figure]["of"] for one in of_name),
            )
            for index in range(len(gaps))
        ]
        kept = retention(shares[-1].value, shares[0].value, CHANCE[figure])
        rows.append(
            [
                name,
                *(
                    f"{100 * one.value:.1f} ({100 * one.low95:.1f}-{100 * one.high95:.1f})"
                    for one in shares
                ),
                "" if np.isnan(kept) else f"{100 * kept:.0f} %",
            ]
        )
    return rows


def difference_table(
    results: Sequence[Result], task: str, *, mine: str = "event"
) -> list[list[str]]:
    """Rows of a table, the head first: points by which a contender's identity is above another's.

    Of the seeds that both learned from, whose scenes are the same. Intervals are of a paired
    bootstrap over digits.

    Args:
        results: of `bench_permanence`.
        task: key of `TASKS`.
        mine: whose points they are; the rows are the others who learned.
    """
    of_task = [
        one
        for one in results
        if one["task"] == task and "updates" in one and "scenes" in one["dtypes"]["float32"][0]
    ]  # an earlier version kept no scenes
    marks = {
        name: {
            one["seed"]: np.array([list(row["scenes"]) for row in one["dtypes"]["float32"]]) == "1"
            for one in of_task
            if one["contender"] == name
        }  # by seed: (gaps, N)
        for name in CONTENDERS
    }
    if not marks[mine]:
        return []
    gaps = [row["gap"] for row in of_task[0]["dtypes"]["float32"]]
    rows = [[f"{mine} less", *("visible" if gap == 0 else str(gap) for gap in gaps)]]
    for name, theirs in marks.items():
        both = sorted(marks[mine].keys() & theirs.keys())
        if name == mine or not both:
            continue
        found = [
            difference(*(np.array([of[seed][at] for seed in both]) for of in (marks[mine], theirs)))
            for at in range(len(gaps))
        ]
        rows.append(
            [
                name,
                *(
                    f"{100 * one.value:+.1f} ({100 * one.low95:+.1f} to {100 * one.high95:+.1f})"
                    for one in found
                ),
            ]
        )
    return rows if len(rows) > 1 else []


def look_table(results: Sequence[Result], task: str) -> list[list[str]]:
    """Rows of a table, the head first: how far off places are whose objects were seen for long.

    The last column is the distance at the longest gap in terms of that while visible.
    """
    mine = [one for one in results if one["task"] == task]
    gaps = [row["gap"] for row in mine[0]["long_look"]]
    head = ["contender", *("visible" if gap == 0 else str(gap) for gap in gaps)]
    rows = [[*head, f"{gaps[-1]} / visible"]]
    for name in (name for name in CONTENDERS if any(one["contender"] == name for one in mine)):
        of_name = [one["long_look"] for one in mine if one["contender"] == name]
        means = np.mean([[row["position_pixels"] for row in one] for one in of_name], axis=0)
        more = f"{means[-1] / means[0]:.1f}" if means[0] > 0 else ""
        rows.append([name, *(f"{mean:.2f}" for mean in means), more])
    return rows


def markdown(results: Sequence[Result]) -> str:
    """All questions in float32, and the permanence score in bfloat16."""
    seeds = sorted({one["seed"] for one in results})
    trained = next((one for one in results if "updates" in one), None)
    parts = ["# Permanence benchmark", ""]
    if trained is not None:
        parts += [
            f"{len(seeds)} seed(s); {trained['updates']} updates on gaps of at most "
            f"{trained['longest_training_gap']} bins. In brackets Wilson's 95 % interval. A gap is "
            "the number of bins for which everything has been hidden.",
            "",
        ]
    for (task, figure), title in QUESTIONS.items():
        if any(one["task"] == task for one in results):
            parts += [f"## {title}", "", _table(question_table(results, task, figure)), ""]
    for task in dict.fromkeys(one["task"] for one in results):
        if compared := difference_table(results, task):
            parts += [f"## task {task}: points of identity above others, on the same digits", ""]
            parts += [_table(compared), ""]
        parts += [f"## task {task}: where it is by now, seen for {LOOK} bins: pixels", ""]
        parts += [_table(look_table(results, task)), ""]
    if any(one["task"] == "one" for one in results):
        half = question_table(results, "one", "identity", dtype="bfloat16")
        parts += ["## permanence score in bfloat16, %", "", _table(half), ""]
    parts += ["## contenders", "", _table(_contenders(results))]
    return "\n".join(parts) + "\n"


def plot_gaps(results: Sequence[Result], path: Path) -> None:
    """Each question's figure against the gap, a panel each; bands are Wilson's intervals."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = [key for key in QUESTIONS if any(one["task"] == key[0] for one in results)]
    figure, axes = plt.subplots(
        1, len(shown), figsize=(4.4 * len(shown), 3.6), squeeze=False, layout="constrained"
    )
    colours = plt.get_cmap("tab10")
    for panel, (task, what) in zip(axes[0], shown, strict=True):
        for number, name in enumerate(CONTENDERS):
            of_name = [
                one["dtypes"]["float32"]
                for one in results
                if one["task"] == task and one["contender"] == name
            ]
            if not of_name:
                continue
            gaps = [row["gap"] for row in of_name[0]]
            style = {
                "color": colours(number),
                "label": name,
                "marker": "o",
                "markersize": 3,
                "linewidth": 2.2 if name == "event" else 1.2,
                "linestyle": "--" if CONTENDERS[name].must == "forget" else "-",
            }
            if what == "position_pixels":
                means = np.mean([[row[what] for row in one] for one in of_name], axis=0)
                panel.plot(gaps, means, **style)
                continue
            shares = [
                wilson(
                    sum(one[index][what]["right"] for one in of_name),
                    sum(one[index][what]["of"] for one in of_name),
                )
                for index in range(len(gaps))
            ]
            panel.plot(gaps, [100 * share.value for share in shares], **style)
            panel.fill_between(
                gaps,
                [100 * share.low95 for share in shares],
                [100 * share.high95 for share in shares],
                color=colours(number),
                alpha=0.12,
                linewidth=0,
            )
        if what in CHANCE:
            panel.axhline(100 * CHANCE[what], color="0.4", linestyle=":", linewidth=1)
            panel.set_ylim(0, 103)
        panel.set_xscale("symlog", linthresh=10)
        panel.set_xlim(left=-1)
        panel.set(title=QUESTIONS[task, what], xlabel="bins hidden")
        panel.title.set_fontsize(9)
        panel.spines[["top", "right"]].set_visible(False)
    handles, names = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_report(results: Sequence[Result], out: Path) -> None:
    """Writes table.md and gaps.png into a folder."""
    write_atomically(out / "table.md", markdown(results))
    plot_gaps(results, out / "gaps.png")


def _contenders(results: Sequence[Result]) -> list[list[str]]:
    head = ["contender", "what it is", "parameters", "state, bytes", "gate visible", "gate hidden"]
    rows = [[*head, "training, CPU s"]]
    for name, contender in CONTENDERS.items():
        mine = [one for one in results if one["contender"] == name]
        if not mine:
            continue
        first = mine[0]
        gates = [first.get("gate_visible"), first.get("gate_hidden")]
        rows.append(
            [
                name,
                contender.title,
                *(
                    f"{first[key]:,}" if key in first else ""
                    for key in ("parameters", "state_bytes")
                ),
                *("" if gate is None else f"{gate:.3f}" for gate in gates),
                f"{first['training_cpu_seconds']:.0f}" if "training_cpu_seconds" in first else "",
            ]
        )
    return rows


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
