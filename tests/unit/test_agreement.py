"""Agreement: figures by hand, and against counting pair by pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import LabelError, OptionError
from vigilia.evaluation import agreement, format_agreement, pool_agreements
from vigilia.evaluation.agreement import (
    agreement_of,
    balanced_accuracy,
    cohen_kappa,
    confusion_matrix,
)
from vigilia.timeline import Interval, Labels, Segment, Timeline

TIMELINE = Timeline(
    ("a", "b", "c"),
    (
        Segment(0, 4, "a", 0.9),
        Segment(4, 6, None, 0.0),
        Segment(6, 9, "b", 0.9),
        Segment(9, 10.3, "a", 0.9),
    ),
    source="pen.mp4",
)
LABELS = Labels((Interval(0, 3, "a"), Interval(3, 8, "b"), Interval(8.5, 12, "d")), Path("pen.csv"))


def test_kappa_of_a_textbook_table() -> None:
    # 50 cases, 20 and 15 agree: observed 0.7, expected 0.5.
    assert cohen_kappa([[20, 5], [10, 15]]) == pytest.approx(0.4)
    assert balanced_accuracy([[20, 5], [10, 15]]) == pytest.approx((0.8 + 0.6) / 2)
    assert cohen_kappa([[5, 0], [0, 5]]) == pytest.approx(1.0)
    assert cohen_kappa([[0, 5], [5, 0]]) == pytest.approx(-1.0)


def test_undefined_cases_are_zero() -> None:
    assert cohen_kappa([[7, 0], [0, 0]]) == 0.0
    assert cohen_kappa(np.zeros((2, 2))) == 0.0
    assert cohen_kappa([[0, 7], [0, 0]]) == 0.0
    assert balanced_accuracy(np.zeros((2, 2))) == 0.0
    assert balanced_accuracy([[3, 1, 0], [0, 0, 0], [0, 0, 0]]) == 0.75
    empty = agreement_of(np.zeros((2, 2)), "ab")
    assert (empty.accuracy, empty.kappa, empty.weakest) == (0.0, 0.0, None)


def test_a_matrix_has_the_truth_down_and_leaves_out_what_is_negative() -> None:
    matrix = confusion_matrix([0, 0, 1, -1, 2, 2], [0, 1, 1, 0, -1, 0], 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert confusion_matrix([], [], 2).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(OptionError, match="below 2"):
        confusion_matrix([0], [2], 2)
    with pytest.raises(OptionError, match=r"\(N,\)"):
        confusion_matrix([0, 1], [0], 2)


def test_figures_agree_with_counting_pair_by_pair() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        classes = int(random.integers(2, 7))
        truth = random.integers(-1, classes, 300)
        predicted = np.where(random.random(300) < 0.5, truth, random.integers(-1, classes, 300))
        pairs = [(t, p) for t, p in zip(truth, predicted, strict=True) if t >= 0 and p >= 0]
        result = agreement_of(confusion_matrix(truth, predicted, classes), "abcdefg"[:classes])
        accuracy = sum(t == p for t, p in pairs) / len(pairs)
        assert result.accuracy == pytest.approx(accuracy)
        chance = sum(t == p for t, _ in pairs for _, p in pairs) / len(pairs) ** 2
        assert result.kappa == pytest.approx((accuracy - chance) / (1 - chance))
        recalls = []
        for code, one in enumerate(result.per_class):
            right = sum(t == p == code for t, p in pairs)
            said = sum(p == code for _, p in pairs)
            there = sum(t == code for t, _ in pairs)
            assert (one.support, one.predicted) == (there, said)
            assert one.precision == pytest.approx(right / said if said else 0)
            assert one.recall == pytest.approx(right / there if there else 0)
            both = one.precision + one.recall
            assert one.f1 == pytest.approx(2 * one.precision * one.recall / both if both else 0)
            recalls += [right / there] if there else []
        assert result.balanced_accuracy == pytest.approx(np.mean(recalls))


def test_a_timeline_is_compared_second_by_second() -> None:
    result = agreement(TIMELINE, LABELS)
    # By second: truth aaabbbbb(d: half of 8..9)ddd, prediction aaaa--bbba--.
    assert result.classes == ("a", "b", "c", "d")
    assert result.matrix == ((3, 0, 0, 0), (1, 2, 0, 0), (0, 0, 0, 0), (1, 1, 0, 0))
    assert result.seconds_scored == 8
    assert result.seconds_unobserved == 4
    assert result.seconds_unlabelled == 0
    assert result.accuracy == 5 / 8
    assert result.balanced_accuracy == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert result.weakest is not None
    assert result.weakest.label == "d"


def test_what_nobody_labelled_is_left_out_and_counted() -> None:
    labels = Labels((Interval(-2, 2, "a"),), Path("x.csv"))
    result = agreement(TIMELINE, labels)
    assert result.accuracy == 1.0
    assert result.kappa == 0.0
    assert (result.seconds_scored, result.seconds_unobserved) == (2, 2)
    assert result.seconds_unlabelled == 6
    assert result.seconds_left_out == 8


def test_a_finer_grid_counts_the_same_time() -> None:
    result = agreement(TIMELINE, LABELS, step_seconds=0.1)
    assert result.seconds_scored == pytest.approx(4 + 2 + 0.5 + 1.3)
    assert sum(map(sum, result.matrix)) == 78
    with pytest.raises(OptionError, match="positive"):
        agreement(TIMELINE, LABELS, step_seconds=0)


def test_labels_of_another_time_are_refused() -> None:
    with pytest.raises(LabelError, match=r"x\.csv labels no second"):
        agreement(TIMELINE, Labels((Interval(50, 60, "a"),), Path("x.csv")))


def test_pooling_adds_seconds_by_the_name_of_the_class() -> None:
    first = agreement_of([[1, 2], [3, 4]], "ab", seconds_unlabelled=1)
    second = agreement_of([[5, 6], [7, 8]], "bc", seconds_unlabelled=2)
    pooled = pool_agreements([first, second])
    assert pooled.classes == ("a", "b", "c")
    assert pooled.matrix == ((1, 2, 0), (3, 9, 6), (0, 7, 8))
    assert pooled.seconds_unlabelled == 3
    for wrong in ([], [first, agreement_of([[1]], "a", step_seconds=2)]):
        with pytest.raises(OptionError):
            pool_agreements(wrong)


def test_the_table_says_the_figures_and_leaves_out_classes_nobody_names() -> None:
    text = format_agreement(agreement(TIMELINE, LABELS))
    assert "accuracy 0.625" in text
    assert "4 s unobserved" in text
    rows = text.splitlines()[4:]
    assert [row.split()[0] for row in rows] == ["a", "b", "d"]
    assert rows[1].split()[1:] == ["0.667", "0.667", "0.667", "3"]
    assert len({len(row) for row in rows}) == 1
