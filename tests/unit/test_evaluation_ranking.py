"""Average precision, plain and calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.errors import OptionError
from vigilia.evaluation.ranking import average_precision, calibrated_precision, rank

CELLS = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=40)


def by_thresholds(scores: list[float], positive: list[bool], ratio: float) -> float:
    """Precision at each distinct score, averaged over the positives found there."""
    total = 0.0
    for score, is_so in zip(scores, positive, strict=True):
        if is_so:
            right = sum(p for s, p in zip(scores, positive, strict=True) if s >= score)
            wrong = sum(not p for s, p in zip(scores, positive, strict=True) if s >= score)
            total += right / (right + wrong / ratio)
    return total / sum(positive)


def test_average_precision_worked_by_hand() -> None:
    scores, positive = [0.9, 0.8, 0.7, 0.6], [True, False, True, False]
    assert average_precision(scores, positive) == pytest.approx((1 + 2 / 3) / 2)
    # One negative for each positive: calibration changes nothing.
    assert calibrated_precision(scores, positive) == pytest.approx((1 + 2 / 3) / 2)
    # Three negatives for one positive, one of them ranked before it: 1 / (1 + 1/3).
    assert average_precision([4, 3, 2, 1], [False, True, False, False]) == 0.5
    assert calibrated_precision([4, 3, 2, 1], [False, True, False, False]) == pytest.approx(0.75)


def test_what_cannot_be_ranked_is_none() -> None:
    assert average_precision([1.0, 2.0], [False, False]) is None
    assert average_precision([1.0, 2.0], [True, True]) == 1.0
    assert calibrated_precision([1.0, 2.0], [True, True]) is None
    assert rank([[0.5, 0.5]], [0], "ab") is None


def test_chance_is_the_share_of_positives_and_calibrated_one_half() -> None:
    random = np.random.default_rng(0)
    positive = random.random(20_000) < 0.03
    scores = random.random(20_000)
    assert average_precision(scores, positive) == pytest.approx(0.03, abs=0.01)
    assert calibrated_precision(scores, positive) == pytest.approx(0.5, abs=0.05)


@settings(max_examples=80, deadline=None)
@given(CELLS, st.randoms())
def test_it_is_the_precision_averaged_at_the_positives(
    cells: list[tuple[int, bool]], random: object
) -> None:
    scores, positive = [s for s, _ in cells], [p for _, p in cells]
    if not any(positive):
        return
    found = average_precision(scores, positive)
    assert found == pytest.approx(by_thresholds(scores, positive, 1.0))
    if not all(positive):
        ratio = positive.count(False) / positive.count(True)
        calibrated = calibrated_precision(scores, positive)
        assert calibrated == pytest.approx(by_thresholds(scores, positive, ratio))
    random.shuffle(cells)  # type: ignore[attr-defined]
    shuffled = average_precision([2 * s - 3 for s, _ in cells], [p for _, p in cells])
    assert shuffled == pytest.approx(found)


def test_all_classes_agree_with_torchmetrics() -> None:
    from vigilia.backbones._torchvision import import_torchvision

    import_torchvision()
    import torch
    from torchmetrics.functional.classification import multiclass_average_precision

    random = np.random.default_rng(1)
    truth = random.integers(0, 3, 500)
    scores = random.dirichlet(np.ones(3), 500) + 0.4 * np.eye(3)[truth]
    scores /= scores.sum(axis=1, keepdims=True)
    found = rank(scores, truth, "abc")
    assert found is not None
    expected = multiclass_average_precision(
        torch.tensor(scores), torch.tensor(truth), 3, average="none"
    )
    each = [one.average_precision for one in found.per_class]
    assert each == pytest.approx(expected.tolist(), abs=1e-5)
    assert found.mean_average_precision == pytest.approx(np.mean(each))


def test_background_and_unscored_cells_are_left_out() -> None:
    scores = [[0.9, 0.1, 0], [0.2, 0.8, 0], [0.4, 0.6, 0], [np.nan, 0, 0], [0.1, 0.9, 0]]
    found = rank(scores, [0, 1, 0, 0, -1], ["rest", "walk", "fly"], background=["rest"])
    assert found is not None
    assert [one.label for one in found.per_class] == ["rest", "walk"]
    assert [one.background for one in found.per_class] == [True, False]
    assert found.mean_average_precision == found.per_class[1].average_precision == 1.0
    assert found.cells == 3


def test_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(OptionError, match="not finite"):
        average_precision([0.5, np.nan], [True, False])
    with pytest.raises(OptionError, match=r"\(N,\)"):
        average_precision([0.5], [True, False])
    with pytest.raises(OptionError, match=r"\(N, K\)"):
        rank([[0.5]], [0, 1], "a")
