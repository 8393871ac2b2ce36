"""The results on real pixels as tables, a page of Markdown and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.bench.real.asking import EYES
from vigilia.bench.real.continuous import BASELINES, RECORDINGS
from vigilia.bench.real.memories import MEMORIES
from vigilia.bench.real.questions import QUESTIONS
from vigilia.bench.real.scores import accuracy, balanced_accuracy
from vigilia.evaluation.intervals import ConfidenceInterval
from vigilia.files import write_atomically

__all__ = ["ELSEWHERE", "continuous_table", "joined_table", "markdown", "plot_ages", "write_report"]

Result = dict[str, Any]
Rows = list[list[str]]

ELSEWHERE_SECONDS = 30.0
ELSEWHERE = "others, to 58 s"


def joined_table(results: Sequence[Result], question: str) -> Rows:
    """Accuracy in per cent by age of what is asked, the head first.

    Each entry is a mean over the recordings asked about, in brackets its 95 % interval. Below the
    memories: the best answers without memory, fitted to these very streams, and a perfect memory of
    what the backbone names. Where some recordings were not learned from, they have a column.
    """
    of_question = _of(results, question)
    ages = _ages(of_question)
    split = "same_recordings" in of_question[0]["eyes"] and bool(of_question[0]["other_recordings"])
    rows = [["memory", *ages.values(), *([ELSEWHERE] if split else [])]]
    names = [name for name in (*MEMORIES, EYES) if _of(of_question, question, name)]
    for memory in names:
        seeds = _of(of_question, question, memory)
        cells = [_shown(accuracy(_units(seeds, low))) for low in ages]
        rows.append([memory, *cells, *([_elsewhere(seeds)] if split else [])])
    ceilings = [f"{100 * _ceiling(of_question, low):.1f}" for low in ages]
    rows.append(["memoryless best", *ceilings, *([""] if split else [])])
    return rows


def continuous_table(results: Sequence[Result]) -> Rows:
    """Balanced accuracy in per cent on the rest of each recording, intervals over its bouts."""
    names = [name for name in RECORDINGS if _of(results, name)]
    rows = [["", *(RECORDINGS[name].title for name in names)]]
    for memory in (*BASELINES, *MEMORIES):
        found = {name: [one["units"] for one in _of(results, name, memory)] for name in names}
        if any(found.values()):
            rows.append([memory, *(_shown(balanced_accuracy(found[name])) for name in names)])
    return rows


def markdown(results: Sequence[Result]) -> str:
    """All tables, with what they rest on."""
    seeds = sorted({one["seed"] for one in results})
    parts = [
        "# Memory on real pixels",
        "",
        f"Accuracy in per cent over {len(seeds)} seed(s); in brackets 95 % intervals.",
    ]
    for name in (name for name in QUESTIONS if _of(results, name)):
        one = _of(results, name)[0]
        eyes = _one_each_seed(_of(results, name))
        sight = "; ".join(
            f"{kind.replace('_', ' ')} {100 * np.mean([seed['eyes'][kind] for seed in eyes]):.1f}"
            for kind in one["eyes"]
        )
        parts += [
            "",
            f"## {name}: {one['title']}",
            "",
            _about_joined(one, sight),
            "",
            _markdown_table(joined_table(results, name)),
        ]
    continuous = [name for name in RECORDINGS if _of(results, name)]
    if continuous:
        parts += [
            "",
            "## Continuous recordings, balanced accuracy",
            "",
            "The first 60 % of each trains, the rest tests; the memory begins the rest empty. "
            "Intervals from resampling the bouts of each class; it is one recording.",
            "",
            *(_about_continuous(_of(results, name)[0]) for name in continuous),
            "",
            _markdown_table(continuous_table(results)),
        ]
    return "\n".join(parts) + "\n"


def plot_ages(results: Sequence[Result], path: Path) -> None:
    """Accuracy against the age of what is asked, a panel for each question on joined streams.

    Bands: intervals over recordings, of `fam` and `gru`. Dotted: the best
    answers without memory; dash-dotted: a perfect memory of what the backbone names.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in QUESTIONS if _of(results, name)]
    if not names:
        return
    figure, axes = plt.subplots(
        1, len(names), figsize=(4.6 * len(names), 3.8), squeeze=False, layout="constrained"
    )
    colours = plt.get_cmap("tab10")
    for panel, name in zip(axes.flat, names, strict=True):
        of_question = _of(results, name)
        lows = list(_ages(of_question))
        x = np.array([max(low, 1.0) for low in lows])
        for number, memory in enumerate(MEMORIES):
            seeds = _of(of_question, name, memory)
            if not seeds:
                continue
            found = [accuracy(_units(seeds, low)) for low in lows]
            panel.plot(
                x,
                [np.nan if one is None else 100 * one.value for one in found],
                color=colours(number),
                linewidth=2.2 if memory in ("fam", "gru") else 1.2,
                linestyle="--" if MEMORIES[memory].history != "own" else "-",
                marker="o",
                markersize=3,
                label=memory,
            )
            if memory in ("fam", "gru"):
                lower, upper = np.array([_limits(one) for one in found]).T
                panel.fill_between(x, lower, upper, color=colours(number), alpha=0.12, linewidth=0)
        eyes = _of(of_question, name, EYES)
        for line, values in (
            (":", [_ceiling(of_question, low) for low in lows]),
            ("-.", [_value(accuracy(_units(eyes, low))) for low in lows]),
        ):
            panel.plot(x, 100 * np.array(values), color="0.4", linestyle=line, linewidth=1)
        panel.set(xscale="log", ylim=(0, 103), title=name, xlabel="age, s", ylabel="accuracy, %")
        panel.spines[["top", "right"]].set_visible(False)
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write_report(results: Sequence[Result], out: Path) -> None:
    """Writes table.md and ages.png into a folder."""
    write_atomically(out / "table.md", markdown(results))
    plot_ages(results, out / "ages.png")


def _of(results: Sequence[Result], question: str, memory: str | None = None) -> list[Result]:
    return [
        one for one in results if one["question"] == question and memory in (None, one["memory"])
    ]


def _one_each_seed(results: Sequence[Result]) -> list[Result]:
    """What depends on the streams and the eyes alone is the same in every row of a seed."""
    return list({one["seed"]: one for one in reversed(results)}.values())


def _ages(results: Sequence[Result]) -> dict[float, str]:
    found = {entry["low_seconds"]: entry["label"] for one in results for entry in one["asked"]}
    return dict(sorted(found.items()))


def _entries(results: Sequence[Result], low: float) -> list[dict[str, Any]]:
    return [entry for one in results for entry in one["asked"] if entry["low_seconds"] == low]


def _units(results: Sequence[Result], low: float) -> list[list[dict[str, Any]]]:
    return [entry["units"] for entry in _entries(results, low)]


def _ceiling(results: Sequence[Result], low: float) -> float:
    entries = _entries(_one_each_seed(results), low)
    return float(np.mean([entry["memoryless_ceiling"] for entry in entries]))


def _elsewhere(seeds: Sequence[Result]) -> str:
    """Accuracy where the recording that is asked about was not learned from.

    Two recordings are too few for an interval.
    """
    found = accuracy(
        [
            [unit for unit in entry["units"] if unit["name"] in one["other_recordings"]]
            for one in seeds
            for entry in one["asked"]
            if 0 < entry["low_seconds"] <= ELSEWHERE_SECONDS
        ]
    )
    return "" if found is None else f"{100 * found.value:.1f}"


def _shown(found: ConfidenceInterval | None) -> str:
    if found is None:
        return ""
    text = f"{100 * found.value:.1f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} ({100 * found.low:.0f}-{100 * found.high:.0f})"


def _value(found: ConfidenceInterval | None) -> float:
    return float("nan") if found is None else found.value


def _limits(found: ConfidenceInterval | None) -> tuple[float, float]:
    """Both ends in per cent, nan without any."""
    if found is None or found.low is None or found.high is None:
        return float("nan"), float("nan")
    return 100 * found.low, 100 * found.high


def _about_joined(one: Result, sight: str) -> str:
    text = (
        f"{one['classes']} classes (chance {100 / one['classes']:.1f}), {one['test_clips']:,} test "
        f"clips of 2 s in joined streams a seed; {one['updates']} updates on stretches of at most "
        f"{one['longest_training_clips']} clips. Labels are derived: the class of a recording. "
        f"Single test clips named right, %: {sight}. Means over the recordings asked about, "
        "intervals from resampling them."
    )
    short = ", ".join(one["left_out"])
    return text + (f" Left out, too short to cut: {short}." if short else "")


def _about_continuous(one: Result) -> str:
    text = (
        f"- {one['title']}: {', '.join(one['classes'])}; labels {one['origin']}; "
        f"{one['training_clips']} training and {one['test_clips']} test steps of 0.25 s"
    )
    missing = ", ".join(one["not_learned"])
    return (
        text + (f"; not scored, since the first part has none: {missing}" if missing else "") + "."
    )


def _markdown_table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
