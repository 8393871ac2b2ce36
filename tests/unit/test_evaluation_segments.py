"""Whole bouts: edit score and F1 at an overlap, against an independent plain implementation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigilia.errors import OptionError
from vigilia.evaluation.segments import bouts_of, count_segments, edit_distance, segmental

CODES = st.lists(st.integers(-1, 3), min_size=1, max_size=30)
PAIRS = st.integers(1, 30).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
        st.lists(st.integers(-1, 3), min_size=n, max_size=n),
    )
)


def plain_runs(codes: list[int], background: set[int]) -> list[tuple[int, int, int]]:
    runs, place = [], 0
    for code, group in itertools.groupby(codes):
        length = len(list(group))
        if code >= 0 and code not in background:
            runs.append((code, place, place + length))
        place += length
    return runs


def plain_distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i, j in itertools.product(range(1, len(a) + 1), range(1, len(b) + 1)):
        table[i, j] = min(
            table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
        )
    return table[len(a), len(b)]


def plain_counts(
    truth: list[int], said: list[int], overlap: float, background: set[int]
) -> tuple[int, int, int]:
    """True positives, false positives, false negatives, by sets of cells."""
    both = [t >= 0 and p >= 0 for t, p in zip(truth, said, strict=True)]
    true = plain_runs([t if b else -1 for t, b in zip(truth, both, strict=True)], background)
    found = plain_runs([p if b else -1 for p, b in zip(said, both, strict=True)], background)
    taken: set[int] = set()
    right = 0
    for code, start, end in found:
        cells = set(range(start, end))
        overlaps = [
            len(cells & set(range(s, e))) / len(cells | set(range(s, e))) if c == code else 0.0
            for c, s, e in true
        ]
        best = max(range(len(true)), key=overlaps.__getitem__, default=-1)
        if best >= 0 and overlaps[best] >= overlap and best not in taken:
            taken.add(best)
            right += 1
    return right, len(found) - right, len(true) - len(taken)


def test_runs_of_equal_cells() -> None:
    bouts = bouts_of([1, 1, -1, 1, 0, 0, 2], background=[2])
    assert bouts.codes.tolist() == [1, 1, 0]
    assert bouts.starts.tolist() == [0, 3, 4]
    assert bouts.ends.tolist() == [2, 4, 6]
    assert len(bouts_of([])) == 0


def test_figures_worked_by_hand() -> None:
    # Truth a 0-4, b 4-8. Said a 0-2, b 2-3, a 3-4, b 4-8.
    truth, said = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 0, 1, 1, 1, 1]
    counts = count_segments(truth, said)
    assert (counts.distance, counts.longest, counts.edit) == (2, 4, 0.5)
    # a 0-2 overlaps by 2/4, b 2-3 by 0, a 3-4 by 1/4 a true bout that is taken, b 4-8 by 1.
    assert counts.right == (2, 2, 2)
    assert counts.wrong == (2, 2, 2)
    assert counts.missed == (0, 0, 0)
    assert counts.f1(0) == pytest.approx(4 / 6)
    assert edit_distance([1, 2, 3], [2, 3, 4]) == 2
    assert edit_distance([], [2, 3]) == 2


def test_a_bout_just_long_enough_counts() -> None:
    truth, said = [0] * 4 + [1] * 4, [0] * 6 + [1] * 2
    assert count_segments(truth, said, overlaps=(0.5,)).right == (2,)
    assert count_segments(truth, said, overlaps=(0.51,)).right == (1,)


def test_the_mean_over_recordings_is_not_the_pooled_figure() -> None:
    good = count_segments([0, 1], [0, 1])
    bad = count_segments([0, 1, 0, 1, 0, 1, 0, 1], [2] * 8)
    found = segmental([good, bad])
    assert found is not None
    assert found.edit_mean_over_recordings == 0.5
    assert found.edit_pooled == pytest.approx(1 - 8 / 10)
    assert found.f1[0].mean_over_recordings == 0.5
    assert found.f1[0].pooled == pytest.approx(2 * 2 / (2 * 2 + 1 + 8))
    alone = segmental([good])
    assert alone is not None
    assert alone.f1[0].mean_over_recordings == alone.f1[0].pooled == 1.0


def test_recordings_without_a_bout_are_left_out() -> None:
    nothing = count_segments([0, 0], [0, 0], background=[0])
    assert nothing.edit is None
    assert nothing.f1(0) is None
    assert segmental([nothing]) is None
    found = segmental([nothing, count_segments([1], [1])])
    assert found is not None
    assert (found.recordings, found.edit_mean_over_recordings) == (1, 1.0)


@settings(max_examples=150, deadline=None)
@given(PAIRS, st.sets(st.integers(0, 3), max_size=2), st.sampled_from([0.1, 0.25, 0.5, 1.0]))
def test_it_agrees_with_a_plain_implementation(
    pair: tuple[list[int], list[int]], background: set[int], overlap: float
) -> None:
    truth, said = pair
    counts = count_segments(truth, said, overlaps=(overlap,), background=background)
    expected = plain_counts(truth, said, overlap, background)
    assert (counts.right[0], counts.wrong[0], counts.missed[0]) == expected
    both = [t >= 0 and p >= 0 for t, p in zip(truth, said, strict=True)]
    true, found = (
        tuple(
            code
            for code, _, _ in plain_runs(
                [x if b else -1 for x, b in zip(side, both, strict=True)], background
            )
        )
        for side in (truth, said)
    )
    assert counts.distance == plain_distance(true, found)
    assert counts.longest == max(len(true), len(found))


@settings(max_examples=80, deadline=None)
@given(PAIRS, st.permutations(range(4)), st.integers(2, 3))
def test_names_and_the_length_of_cells_do_not_matter(
    pair: tuple[list[int], list[int]], names: list[int], times: int
) -> None:
    truth, said = (np.array(side) for side in pair)
    renamed = np.array([*names, -1])
    counts = count_segments(truth, said)
    assert count_segments(renamed[truth], renamed[said]) == counts
    # A bout cut into pieces of its own label is the same bout.
    assert count_segments(truth.repeat(times), said.repeat(times)) == counts
    edit = counts.edit
    assert edit is None or 0 <= edit <= 1


@settings(max_examples=60, deadline=None)
@given(CODES)
def test_perfect_agreement_is_one(codes: list[int]) -> None:
    found = segmental([count_segments(codes, codes)])
    if found is not None:
        assert found.edit_mean_over_recordings == found.edit_pooled == 1.0
        assert all(one.pooled == one.mean_over_recordings == 1.0 for one in found.f1)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match=r"\(N,\)"):
        count_segments([0, 1], [0])
    with pytest.raises(OptionError, match="overlaps"):
        count_segments([0], [0], overlaps=(0.0,))
