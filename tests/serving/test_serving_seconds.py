"""The curve of probabilities: the same however long the stream is, in memory that does not grow."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vigilia.serving.cursor import Cursor, Row
from vigilia.serving.journal import Journal
from vigilia.serving.reading import Reader
from vigilia.serving.seconds import in_cells, join, within
from vigilia.timeline import Scores, SegmenterOptions
from vigilia.timeline.seconds import init_seconds, per_second

CLASSES = ("rest", "walk", "eat")


def steps(seed: int, count: int = 400) -> Scores:
    """Strides of all lengths, some parted by holes, some by what only rounding leaves."""
    random = np.random.default_rng(seed)
    lengths = random.choice([0.25, 0.3, 1.0, 1 / 3, 2.0, 4.0, 0.999_999_9, 7.77], count)
    pauses = random.choice([0.0, 0.0, 0.0, 1e-10, -1e-10, 0.4, 1.0, 90.5], count)
    pauses[0] = random.uniform(0, 50)
    ends = np.cumsum(lengths + pauses)
    starts = ends - lengths
    return Scores(starts, ends, random.dirichlet(np.ones(3), count).astype(np.float32))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("cell", [1.0, 0.5])
def test_many_steps_at_once_give_the_rows_of_one_after_the_other(seed: int, cell: float) -> None:
    random = np.random.default_rng(seed + 100)
    whole = steps(seed)
    cuts = [0, *sorted(random.integers(0, len(whole), 9).tolist()), len(whole)]
    pieces = [
        Scores(whole.start_seconds[a:b], whole.end_seconds[a:b], whole.probabilities[a:b])
        for a, b in itertools.pairwise(cuts)
    ]
    anchor = float(whole.start_seconds[0])
    rows = join(list(in_cells(pieces, anchor_seconds=anchor, cell_seconds=cell)))
    expected = per_second(whole, anchor_seconds=anchor, step_seconds=cell)
    assert rows == expected
    some = within(rows, 20.0, 60.0)
    chosen = (expected.end_seconds > 20.0) & (expected.start_seconds < 60.0)
    assert some.start_seconds.tolist() == expected.start_seconds[chosen].tolist()


def test_rows_of_steps_that_end_where_cells_do() -> None:
    whole = Scores([0.0, 2.0, 5.0], [2.0, 3.5, 6.0], [[1.0], [0.5], [0.25]])
    rows = join(list(in_cells([whole], anchor_seconds=0.0, cell_seconds=1.0)))
    assert rows.start_seconds.tolist() == [0.0, 1.0, 2.0, 3.0, 5.0]
    assert rows.end_seconds.tolist() == [1.0, 2.0, 3.0, 3.5, 6.0]
    assert rows.probabilities[:, 0].tolist() == [1.0, 1.0, 0.5, 0.5, 0.25]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    journal.open_stream(
        "pen", classes=CLASSES, identity={}, segmenter=SegmenterOptions(), cell_seconds=1.0
    )
    yield journal
    journal.close()


@pytest.mark.parametrize("points", [1, 7, 100, 4000])
@pytest.mark.parametrize("stretch", [(-1e15, 1e15), (30.0, 300.5), (311.7, 312.0), (1e6, 2e6)])
def test_points_are_means_of_the_rows_they_cover(
    journal: Journal, points: int, stretch: tuple[float, float]
) -> None:
    whole = steps(3)
    journal.append(
        [
            ("pen", Row(start, end, values))
            for start, end, values in zip(
                whole.start_seconds.tolist(),
                whole.end_seconds.tolist(),
                whole.probabilities,
                strict=True,
            )
        ]
    )
    cursor, reader = journal.cursor("pen"), Reader(journal.path)
    assert cursor is not None
    view = reader.points(cursor, *stretch, points=points)
    rows = reader.scores(cursor, *stretch)
    step = view["step_seconds"]
    if not len(rows):
        assert view["probabilities"] == []
        return
    span = rows.end_seconds[-1] - rows.start_seconds[0]
    assert step == max(1, math.ceil(span / points))
    assert len(view["probabilities"]) <= points + 1
    assert ((view["start_seconds"] - cursor.start_seconds) / step) % 1 == pytest.approx(0)
    middles = (rows.start_seconds + rows.end_seconds) / 2
    for number, point in enumerate(view["probabilities"]):
        start = view["start_seconds"] + number * step
        mine = rows.probabilities[(middles >= start) & (middles < start + step)]
        if point is None:
            assert len(mine) == 0
        else:
            assert point == pytest.approx(mine.mean(axis=0, dtype=np.float64), abs=6e-5)


def with_steps(journal: Journal, count: int) -> Cursor:
    """A stream of so many strides of two seconds, written past the segmenter."""
    value = np.array([0.25, 0.5, 0.25], "<f4").tobytes()
    journal._database.execute(
        "WITH RECURSIVE step(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM step WHERE k + 1 < ?1) "
        "INSERT INTO results SELECT 'pen', 2.0 * k, 2.0 * k + 2.0, ?2 FROM step",
        (count, value),
    )
    cursor = journal.cursor("pen")
    assert cursor is not None
    seconds = replace(init_seconds(0.0, 1.0), end_seconds=2.0 * count)
    return replace(cursor, seconds=seconds, until_seconds=2.0 * count)


def test_a_week_takes_no_more_memory_than_an_hour(journal: Journal) -> None:
    count = 300_000
    cursor, reader = with_steps(journal, count), Reader(journal.path)
    tracemalloc.start()
    try:
        reader.points(cursor, 0.0, 3600.0, points=4000)
        _, hour = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        view = reader.points(cursor, -1e15, 1e15, points=4000)
        _, all_of_it = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert view["step_seconds"] == 2 * count / 4000
    assert view["probabilities"] == [[0.25, 0.5, 0.25]] * 4000
    assert all_of_it < hour + 5e6
    assert not reader.steps_at_most(cursor, -math.inf, math.inf, most=count - 1)
    assert reader.steps_at_most(cursor, -math.inf, math.inf, most=count)
    assert reader.steps_at_most(cursor, 0.0, 3600.0, most=1800)
