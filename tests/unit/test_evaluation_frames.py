"""Cells: F1 over classes, and torchmetrics as an oracle for kappa, F1 and recall."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.evaluation.frames import (
    accuracy,
    balanced_accuracy,
    class_f1,
    cohen_kappa,
    confusion_matrix,
    macro_f1,
    weighted_f1,
)

CODES = st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 3)), min_size=1, max_size=60)


def test_f1_of_a_table_worked_by_hand() -> None:
    # a: 3 right, 1 called b; b: 2 right, 2 called a; c: never true, once said of nothing.
    matrix = [[3, 1, 0], [2, 2, 0], [0, 0, 0]]
    assert class_f1(matrix).tolist() == pytest.approx([6 / 9, 4 / 7, 0])
    assert macro_f1(matrix) == pytest.approx((6 / 9 + 4 / 7) / 2)
    assert weighted_f1(matrix) == pytest.approx((6 / 9 + 4 / 7) / 2)
    assert weighted_f1([[6, 0], [1, 1]]) == pytest.approx((6 * 12 / 13 + 2 * 2 / 3) / 8)
    assert accuracy(matrix) == 5 / 8


def test_nothing_to_compare_is_zero() -> None:
    empty = np.zeros((3, 3))
    for figure in (accuracy, macro_f1, weighted_f1, cohen_kappa, balanced_accuracy):
        assert figure(empty) == 0.0


def test_figures_agree_with_torchmetrics() -> None:
    from vigilia.backbones._torchvision import import_torchvision

    import_torchvision()
    import torch
    from torchmetrics.functional import classification

    random = np.random.default_rng(0)
    for _ in range(5):
        truth = random.integers(0, 4, 400)
        predicted = np.where(random.random(400) < 0.6, truth, random.integers(0, 4, 400))
        pair = (torch.tensor(predicted), torch.tensor(truth))
        matrix = confusion_matrix(truth, predicted, 4)
        expected = {
            cohen_kappa: classification.multiclass_cohen_kappa(*pair, 4),
            macro_f1: classification.multiclass_f1_score(*pair, 4, average="macro"),
            weighted_f1: classification.multiclass_f1_score(*pair, 4, average="weighted"),
            balanced_accuracy: classification.multiclass_recall(*pair, 4, average="macro"),
            accuracy: classification.multiclass_accuracy(*pair, 4, average="micro"),
        }
        for figure, value in expected.items():
            assert figure(matrix) == pytest.approx(value.item(), abs=1e-6), figure
        assert matrix.tolist() == classification.multiclass_confusion_matrix(*pair, 4).tolist()


@settings(max_examples=60, deadline=None)
@given(CODES, st.permutations(range(4)))
def test_names_of_classes_do_not_matter_and_figures_stay_in_bounds(
    pairs: list[tuple[int, int]], names: list[int]
) -> None:
    truth, predicted = np.array(pairs).T
    renamed = np.array([*names, -1])
    matrix = confusion_matrix(truth, predicted, 4)
    other = confusion_matrix(renamed[truth], renamed[predicted], 4)
    for figure in (accuracy, macro_f1, weighted_f1, balanced_accuracy, cohen_kappa):
        assert figure(matrix) == pytest.approx(figure(other))
        assert -1 <= figure(matrix) <= 1
        assert figure is cohen_kappa or figure(matrix) >= 0
    assert cohen_kappa(matrix) == pytest.approx(cohen_kappa(matrix.T))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=40))
def test_perfect_agreement_is_one(codes: list[int]) -> None:
    matrix = confusion_matrix(codes, codes, 4)
    for figure in (accuracy, macro_f1, weighted_f1, balanced_accuracy):
        assert figure(matrix) == 1.0
    assert cohen_kappa(matrix) == (1.0 if len(set(codes)) > 1 else 0.0)
