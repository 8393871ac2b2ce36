"""Reliability, expected calibration error, Brier score."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.errors import OptionError
from vigilia.evaluation.calibration import (
    are_probabilities,
    bin_sums,
    calibration,
    calibration_of,
)


def test_figures_worked_by_hand() -> None:
    # Confidence 0.9 right, 0.9 wrong; 0.6 right.
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]]
    found = calibration(probabilities, [0, 1, 1], bins=2)
    assert found is not None
    assert found.cells == 3
    assert found.mean_confidence == pytest.approx(0.8)
    assert found.accuracy == pytest.approx(2 / 3)
    assert [one.cells for one in found.bins] == [0, 3]
    assert found.expected_calibration_error == pytest.approx(0.8 - 2 / 3)
    finer = calibration(probabilities, [0, 1, 1], bins=10)
    assert finer is not None
    # Bin of 0.6: |0.6 - 1| over one cell; bin of 0.9: |0.9 - 0.5| over two.
    assert finer.expected_calibration_error == pytest.approx((0.4 + 2 * 0.4) / 3)
    assert finer.maximum_calibration_error == pytest.approx(0.4)
    assert [one.cells for one in finer.bins] == [0, 0, 0, 0, 0, 1, 0, 0, 2, 0]
    assert found.brier_score == pytest.approx((0.02 + 1.62 + 0.32) / 3)


def test_it_agrees_with_torchmetrics() -> None:
    from vigilia.backbones._torchvision import import_torchvision

    import_torchvision()
    import torch
    from torchmetrics.functional.classification import multiclass_calibration_error

    random = np.random.default_rng(0)
    truth = random.integers(0, 4, 2000)
    probabilities = random.dirichlet(np.ones(4), 2000) + 0.5 * np.eye(4)[truth]
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    found = calibration(probabilities, truth)
    assert found is not None
    pair = torch.tensor(probabilities), torch.tensor(truth)
    for norm, figure in [
        ("l1", found.expected_calibration_error),
        ("max", found.maximum_calibration_error),
    ]:
        expected = multiclass_calibration_error(*pair, num_classes=4, n_bins=15, norm=norm)
        assert figure == pytest.approx(expected.item(), abs=1e-5)


def test_a_calibrated_source_has_almost_no_error_and_a_boasting_one_has() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(3), 50_000)
    truth = (random.random(50_000)[:, None] > probabilities.cumsum(axis=1)).sum(axis=1)
    honest, boasting = calibration(probabilities, truth), calibration(np.eye(3)[truth - 1], truth)
    assert honest is not None
    assert boasting is not None
    assert honest.expected_calibration_error < 0.01
    assert boasting.expected_calibration_error == 1.0
    assert boasting.brier_score == 2.0
    assert boasting.bins[-1].cells == 50_000


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_sums_of_recordings_add_up(seed: int, bins: int) -> None:
    random = np.random.default_rng(seed)
    probabilities, truth = random.dirichlet(np.ones(3), 40), random.integers(-1, 3, 40)
    parts = bin_sums(probabilities[:15], truth[:15], bins) + bin_sums(
        probabilities[15:], truth[15:], bins
    )
    whole, added = calibration(probabilities, truth, bins), calibration_of(parts)
    if whole is None:
        assert added is None
        return
    assert added is not None
    assert added.expected_calibration_error == pytest.approx(whole.expected_calibration_error)
    assert added.brier_score == pytest.approx(whole.brier_score)
    assert 0 <= whole.expected_calibration_error <= whole.maximum_calibration_error + 1e-9 <= 1.1
    assert sum(one.cells for one in whole.bins) == (truth >= 0).sum()


def test_unscored_and_unobserved_cells_are_left_out() -> None:
    rows = [[1.0, 0.0], [np.nan, np.nan], [0.5, 0.5]]
    found = calibration(rows, [0, 1, -1])
    assert found is not None
    assert (found.cells, found.expected_calibration_error) == (1, 0.0)
    assert calibration(rows, [-1, 0, -1]) is None


def test_scores_that_are_no_probabilities_are_refused() -> None:
    assert not are_probabilities([[2.0, -1.0]])
    assert not are_probabilities([[0.5, 0.6]])
    assert not are_probabilities([[np.nan, np.nan]])
    assert are_probabilities([[0.25, 0.75], [np.nan, 0.0]])
    with pytest.raises(OptionError, match="no probabilities"):
        calibration([[1.5, -0.5]], [0])
    with pytest.raises(OptionError, match="bins"):
        calibration([[1.0, 0.0]], [0], bins=0)
    with pytest.raises(OptionError, match=r"\(N, K\)"):
        calibration([[1.0, 0.0]], [0, 1])
