"""Old probabilities go, bouts stay; a journal that forgets goes on as before."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from vigilia.serving.cursor import Row
from vigilia.serving.journal import Journal
from vigilia.serving.reading import Reader
from vigilia.serving.retention import DAY_SECONDS, Pruner
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched
from vigilia.timeline import SegmenterOptions

SECONDS = 2600
CAMERA = Watched(StreamOptions("camera", "rtsp://camera/1", "address"))
RECORDING = Watched(StreamOptions("recording", "/videos/pen.mp4", "file"))


def rows(start: int, end: int) -> list[Row]:
    random = np.random.default_rng(start)
    return [
        Row(float(k), k + 1.0, random.dirichlet(np.ones(3)).astype(np.float32))
        for k in range(start, end)
    ]


def open_both(journal: Journal) -> None:
    for name in ("camera", "recording"):
        journal.open_stream(
            name,
            classes=("rest", "walk", "eat"),
            identity={},
            segmenter=SegmenterOptions(),
            cell_seconds=1.0,
        )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path / "journal.sqlite")
    open_both(journal)
    for name in ("camera", "recording"):
        journal.append([(name, row) for row in rows(0, SECONDS)])
    yield journal
    journal.close()


def test_old_rows_of_a_camera_go_and_its_bouts_stay(journal: Journal) -> None:
    reader, cursor = Reader(journal.path), journal.cursor("camera")
    segments = reader.segments(cursor, -1e9, 1e9, most=10**6)
    scores = reader.scores(cursor, 2200.0, 1e9)
    pruner = Pruner(journal, lambda: [CAMERA, RECORDING], 0)
    pruner._retention_seconds = 500.0
    assert pruner.prune() == pruner.pruned == 2100, "in pieces, to the last"
    kept = list(reader.rows("camera"))
    assert [row[0] for row in kept] == [float(k) for k in range(2100, SECONDS)]
    assert len(list(reader.rows("recording"))) == SECONDS, "it has an end"
    assert reader.segments(cursor, -1e9, 1e9, most=10**6) == segments
    assert reader.scores(cursor, 2200.0, 1e9) == scores
    assert not len(reader.scores(cursor, 0.0, 2000.0))
    assert pruner.prune() == 0


def test_a_journal_that_has_forgotten_goes_on_without_a_hole(
    journal: Journal, tmp_path: Path
) -> None:
    journal.prune("camera", SECONDS + 1.0, most=10**6)
    assert list(Reader(journal.path).rows("camera")) == []
    journal.close()
    again = Journal(tmp_path / "journal.sqlite")
    open_both(again)
    again.append([("camera", row) for row in rows(SECONDS - 5, SECONDS + 5)])
    kept = list(Reader(again.path).rows("camera"))
    assert [row[0] for row in kept] == [float(k) for k in range(SECONDS, SECONDS + 5)]
    segments = Reader(again.path).segments(again.cursor("camera"), -1e9, 1e9, most=10**6)
    assert segments[0].start_seconds == 0
    assert all(a.end_seconds == b.start_seconds for a, b in itertools.pairwise(segments))
    again.close()


def test_the_file_of_a_journal_that_forgets_stops_growing(journal: Journal) -> None:
    sizes = []
    for day in range(1, 8):
        start = SECONDS * day
        journal.append([("camera", row) for row in rows(start, start + SECONDS)])
        journal.prune("camera", start, most=10**6)
        journal._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        sizes.append(journal.path.stat().st_size)
    # What still grows are the bouts.
    bouts = len(Reader(journal.path).segments(journal.cursor("camera"), -1e9, 1e9, most=10**6))
    assert sizes[-1] - sizes[1] < 80 * bouts
    assert journal.nbytes >= sizes[-1]


def test_nothing_is_deleted_where_nobody_says_so(journal: Journal) -> None:
    pruner = Pruner(journal, lambda: [CAMERA], 0)
    assert pruner._thread is None
    pruner.close()
    pruner = Pruner(journal, lambda: [CAMERA], SECONDS / DAY_SECONDS + 1)
    pruner.close()
    assert pruner.pruned == 0
