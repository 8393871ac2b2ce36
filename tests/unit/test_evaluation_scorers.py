"""Several scorers: each with each, the consensus, Fleiss' kappa, the human ceiling."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.errors import OptionError
from vigilia.evaluation.frames import cohen_kappa, confusion_matrix
from vigilia.evaluation.scorers import (
    agreement_of_scorers,
    consensus,
    fleiss_kappa,
    kappa_matrix,
    reliability_order,
)


def votes(seed: int, scorers: int = 4, cells: int = 200) -> np.ndarray:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, cells)
    wrong = random.random((scorers, cells)) < np.linspace(0.1, 0.4, scorers)[:, None]
    codes = np.where(wrong, random.integers(0, 3, (scorers, cells)), truth)
    return np.where(random.random((scorers, cells)) < 0.05, -1, codes)


def test_a_consensus_worked_by_hand() -> None:
    codes = [[0, 0, 1, -1, -1, 2], [0, 1, 2, 1, -1, 1], [1, 1, 0, -1, -1, -1]]
    found, tied = consensus(codes, 3, order=[2, 0, 1])
    assert found.tolist() == [0, 1, 0, 1, -1, 2]
    assert tied.tolist() == [False, False, True, False, False, True]
    # Who decides ties first changes only the tied cells.
    assert consensus(codes, 3, order=[1, 0, 2])[0].tolist() == [0, 1, 2, 1, -1, 1]


def test_in_a_tie_only_a_label_that_leads_counts() -> None:
    codes = [[2], [0], [0], [1], [1]]
    assert consensus(codes, 3, order=[0, 3, 1, 2, 4])[0].tolist() == [1]


def test_the_most_reliable_scorer_comes_first() -> None:
    codes = votes(0)
    assert reliability_order(codes, 3) == (0, 1, 2, 3)
    assert reliability_order(codes[::-1], 3) == (3, 2, 1, 0)
    # Two agree with each other as much as with themselves: the order that they came in.
    assert reliability_order(codes[[3, 1]], 3) == (0, 1)


def test_fleiss_kappa_of_the_textbook() -> None:
    # Fourteen raters, ten subjects, five categories: the example of the encyclopaedias, 0.210.
    table = [
        *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
        *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
    ]
    codes = np.array([np.repeat(np.arange(5), row) for row in table]).T
    assert fleiss_kappa(codes, 5) == pytest.approx(0.210, abs=5e-4)
    assert fleiss_kappa([[0, 1], [0, 1], [0, 1]], 2) == 1.0
    assert fleiss_kappa([[1, 1], [1, 1]], 2) == 0.0
    assert fleiss_kappa([[0, -1], [-1, 0]], 2) is None


def test_three_scorers_and_a_model_worked_by_hand() -> None:
    scorers = {
        "anna": [0, 0, 1, 1, 0, 1],
        "ben": [0, 0, 1, 1, 0, 1],
        "cleo": [0, 1, 1, 1, 0, 0],
    }
    found = agreement_of_scorers(scorers, 2, model=[0, 0, 1, 1, 1, 1])
    assert found is not None
    assert found.scorers == ("anna", "ben", "cleo")
    assert [row[row_number] for row_number, row in enumerate(found.kappa)] == [1, 1, 1]
    assert found.kappa[0][1] == 1.0
    # anna and cleo agree in 4 of 6, by chance in 3 of 6.
    assert found.kappa[0][2] == pytest.approx((4 / 6 - 0.5) / 0.5)
    # The others of anna are ben and cleo, who are equally reliable: ben decides.
    assert found.kappa_with_others == pytest.approx((1.0, 1.0, (4 / 6 - 0.5) / 0.5))
    assert found.human_ceiling_kappa == pytest.approx((1 + 1 + 1 / 3) / 3)
    assert found.human_ceiling_range == pytest.approx((1 / 3, 1.0))
    assert (found.cells, found.tied_cells) == (6, 0)
    assert found.model is not None
    with_anna = cohen_kappa(confusion_matrix(scorers["anna"], [0, 0, 1, 1, 1, 1], 2))
    assert found.model.kappa_with_each[0] == pytest.approx(with_anna)
    assert found.model.kappa_with_consensus == pytest.approx(with_anna)
    assert found.model.kappa_with_others == pytest.approx(with_anna)
    assert found.model.accuracy_with_consensus == pytest.approx(5 / 6)


def test_nobody_is_compared_with_himself() -> None:
    # One outvotes nobody: with himself in the consensus he would look better.
    random = np.random.default_rng(0)
    truth, noise = random.integers(0, 2, 500), random.integers(0, 2, 500)
    found = agreement_of_scorers({"a": truth, "b": truth, "noise": noise}, 2)
    assert found is not None
    assert abs(found.kappa_with_others[2] or 1) < 0.1
    assert found.kappa_with_others[0] == 1.0
    # With two the others of each are the other, also for the one who would decide ties.
    pair = agreement_of_scorers({"a": [0, 0, 1, 1], "b": [0, 1, 1, 1]}, 2)
    assert pair is not None
    assert pair.kappa_with_others == (0.5, 0.5) == (pair.kappa[0][1], pair.kappa[1][0])


def test_scorers_who_share_no_cell_have_no_kappa() -> None:
    found = agreement_of_scorers({"a": [0, 1, -1], "b": [-1, -1, 1], "c": [0, 1, 1]}, 2)
    assert found is not None
    assert found.kappa[0][1] is None
    assert found.kappa[0][2] == 1.0
    assert found.fleiss_kappa is None
    assert agreement_of_scorers({"a": [0, -1], "b": [-1, 0]}, 2) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(range(3)))
def test_order_of_scorers_and_names_of_classes_do_not_matter(seed: int, names: list[int]) -> None:
    codes = votes(seed, cells=60)
    found, tied = consensus(codes, 3)
    for cell in range(codes.shape[1]):
        said = Counter(code for code in codes[:, cell].tolist() if code >= 0)
        if not said:
            assert found[cell] == -1
            continue
        most = max(said.values())
        assert said[int(found[cell])] == most
        assert tied[cell] == (list(said.values()).count(most) > 1)
    shuffled, _ = consensus(codes[::-1], 3, order=[3 - one for one in reliability_order(codes, 3)])
    assert np.array_equal(shuffled, found)
    renamed = np.array([*names, -1])
    assert kappa_matrix(renamed[codes], 3) == pytest.approx(kappa_matrix(codes, 3))
    first, other = fleiss_kappa(codes, 3), fleiss_kappa(renamed[codes], 3)
    assert first == pytest.approx(other)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(lambda one: len({*one}) > 1))
def test_scorers_who_agree_reach_one(codes: list[int]) -> None:
    found = agreement_of_scorers(dict.fromkeys("abc", codes), 4, model=codes)
    assert found is not None
    assert found.human_ceiling_kappa == found.fleiss_kappa == 1.0
    assert found.model is not None
    assert found.model.kappa_with_others == found.model.kappa_with_consensus == 1.0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="two or more"):
        agreement_of_scorers({"a": [0]}, 2)
    with pytest.raises(OptionError, match="same number of cells"):
        agreement_of_scorers({"a": [0], "b": [0, 1]}, 2)
    with pytest.raises(OptionError, match="from -1 to 1"):
        consensus([[0, 2]], 2)
