"""The things that are hidden: handwritten digits, scanned, 8 by 8 pixels.

They come with scikit-learn (Alpaydin and Kaynak, "Optical recognition of handwritten digits", UCI,
1998): 1,797 scans. Digits are split by index, so that no scan that is tested was learned from.

Letters: N scans.
"""

from __future__ import annotations

import importlib
from functools import cache

import torch
from torch import Tensor

from vigilia.errors import MissingExtraError
from vigilia.installation import install_command

__all__ = ["CLASSES", "SIDE", "SPLITS", "digits"]

SIDE = 8
"""Height and width of a scan, in pixels."""

CLASSES = tuple("0123456789")

SPLITS = {"train": (0, 1100), "tune": (1100, 1300), "test": (1300, 1797)}
"""First index and the one behind the last. "tune" is for choices, "test" for figures."""


def digits(split: str) -> tuple[Tensor, Tensor]:
    """Scans (N, 8, 8), from 0 to 1, and their classes (N,) int64.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    first, end = SPLITS[split]
    scans, classes = _all()
    return scans[first:end], classes[first:end]


@cache
def _all() -> tuple[Tensor, Tensor]:
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError as error:
        raise MissingExtraError(
            "the permanence benchmark hides the digits that come with scikit-learn, which is not "
            f"installed: {install_command('bench')}"
        ) from error
    found = datasets.load_digits()
    scans = torch.tensor(found.images, dtype=torch.float32) / 16
    return scans, torch.tensor(found.target, dtype=torch.int64)
