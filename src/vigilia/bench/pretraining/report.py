"""The results of pre-training as a table, and as a page of Markdown.

Letters: U units (people, or recordings), K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vigilia.bench.pretraining.measuring import PIXELS
from vigilia.evaluation.agreement import balanced_accuracy
from vigilia.files import write_atomically

__all__ = ["pretraining_markdown", "pretraining_table", "write_pretraining_report"]

Result = dict[str, Any]
MEASURES = {"probe": "linear probe", "few": "few labels"}
DRAWS = 2000


def pretraining_table(results: Sequence[Result]) -> list[list[str]]:
    """Rows of the overview, the head first.

    Balanced accuracy in per cent over all units that the seeds tested, with its 95 % interval; the
    gain over no pre-training, with the interval of the difference, from the same draws of units.
    """
    rows = [["data", "model", "start", *MEASURES.values(), *(f"gain, {m}" for m in MEASURES)]]
    for key in dict.fromkeys((r["title"], r["backbone"], r["start"]) for r in results):
        title, backbone, start = key
        mine = _confusions(results, key)
        before = _confusions(results, (title, backbone, "none"))
        cells = [_told(mine[m]) if m in mine else "" for m in MEASURES]
        gains = [
            _gain(mine[m], before[m]) if start != "none" and m in before else "" for m in MEASURES
        ]
        shown = "pixels, averaged" if backbone == PIXELS else backbone
        rows.append([title, shown, "" if backbone == PIXELS else start, *cells, *gains])
    return rows


def pretraining_markdown(results: Sequence[Result]) -> str:
    """The overview as a page."""
    seeds = sorted({one["seed"] for one in results})
    head, *body = pretraining_table(results)
    table = [head, ["---"] * 3 + ["--:"] * (len(head) - 3), *body]
    lines = [
        "# Pre-training",
        "",
        f"Balanced accuracy over clips in per cent, {len(seeds)} seed(s), each testing another "
        "part of the groups; 95 % intervals from drawing people (push-ups) or recordings again. "
        "Gains are over no pre-training, on the same units.",
        "",
        *("| " + " | ".join(line) + " |" for line in table),
    ]
    return "\n".join(lines) + "\n"


def write_pretraining_report(results: Sequence[Result], out: Path) -> None:
    """Writes OUT/table.md.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(out / "table.md", pretraining_markdown(results))


def _confusions(
    results: Sequence[Result], key: tuple[str, str, str]
) -> dict[str, dict[str, np.ndarray]]:
    """By measure, of every unit (K, K); seeds test different units, and a unit twice adds up."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for one in results:
        if (one["title"], one["backbone"], one["start"]) != key:
            continue
        for measure in MEASURES:
            for unit, counts in one.get(measure, {}).get("confusions", {}).items():
                units = found.setdefault(measure, {})
                added = np.asarray(counts)
                units[unit] = units[unit] + added if unit in units else added
    return found


def _told(units: dict[str, np.ndarray]) -> str:
    every = np.stack(list(units.values()))
    values = _drawn(every)
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{100 * balanced_accuracy(every.sum(axis=0)):.1f} ({100 * low:.0f}-{100 * high:.0f})"


def _gain(after: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> str:
    both = [unit for unit in after if unit in before]
    if not both:
        return ""
    new, old = (np.stack([one[unit] for unit in both]) for one in (after, before))
    gain = balanced_accuracy(new.sum(axis=0)) - balanced_accuracy(old.sum(axis=0))
    low, high = np.percentile(_drawn(new) - _drawn(old), [2.5, 97.5])
    return f"{100 * gain:+.1f} ({100 * low:+.0f} to {100 * high:+.0f})"


def _drawn(every: np.ndarray) -> np.ndarray:
    """(U, K, K) -> balanced accuracies when units are drawn again; the same draws each time."""
    random = np.random.default_rng(0)
    count = len(every)
    return np.array(
        [
            balanced_accuracy(every[random.integers(count, size=count)].sum(axis=0))
            for _ in range(DRAWS)
        ]
    )
