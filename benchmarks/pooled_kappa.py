"""Kappa over the test recordings of all seeds, with what other recordings might have given.

What benchmarks share whose lines keep the confusion matrix of each test recording.

Letters: R recordings, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vigilia.evaluation.agreement import cohen_kappa

DRAWS = 2000


def pooled(lines: list[dict[str, Any]]) -> np.ndarray:
    """(R, K, K) of all test recordings of all seeds, in the order of the seeds."""
    by_seed = sorted(lines, key=lambda line: line["seed"])
    return np.array([matrix for line in by_seed for matrix in line["confusions"]])


def draws(matrices: np.ndarray) -> np.ndarray:
    """Kappa when recordings are drawn again; the same draws each time, so that they compare."""
    random = np.random.default_rng(0)
    count = len(matrices)
    return np.array(
        [cohen_kappa(matrices[random.integers(count, size=count)].sum(0)) for _ in range(DRAWS)]
    )
