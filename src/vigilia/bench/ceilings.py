"""How far an answer can be right: without memory, and with a perfect one.

Letters: S clips of a stream.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["memoryless_accuracy"]


def memoryless_accuracy(
    streams: Sequence[tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.int64]]],
    level_bins: int | None = None,
) -> float:
    """Accuracy of the best function of the present clip: the majority label of what it shows.

    The majority is taken on the very clips that are scored, so nothing that reads a single clip
    can do better on them; with few cues it lies above the chance of fresh streams.

    Args:
        streams: (symbols, levels, labels) of each, all (S,); label -1 is not scored.
        level_bins: with it, a clip shows its symbol and its level (0 to 1), in so many steps.

    Returns:
        0 to 1; NaN when no clip is scored.
    """
    seen: dict[tuple[int, int], Counter[int]] = {}
    for symbols, levels, labels in streams:
        steps = np.zeros(len(symbols), np.int64)
        if level_bins is not None:
            steps = np.clip((levels * level_bins).astype(np.int64), 0, level_bins - 1)
        scored = labels >= 0
        for symbol, step, label in zip(
            symbols[scored].tolist(), steps[scored].tolist(), labels[scored].tolist(), strict=True
        ):
            seen.setdefault((symbol, step), Counter())[label] += 1
    total = sum(sum(counts.values()) for counts in seen.values())
    right = sum(max(counts.values()) for counts in seen.values())
    return right / total if total else float("nan")
