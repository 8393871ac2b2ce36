"""The journal when it is opened: what is damaged is not written to, and looking takes a moment."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import OutputError
from vigilia.serving.cursor import Row
from vigilia.serving.journal import Journal
from vigilia.serving.journal_check import looks_sound
from vigilia.timeline import SegmenterOptions


def written(path: Path, rows: int) -> None:
    with closing(Journal(path)) as journal:
        journal.open_stream(
            "pen",
            classes=("rest", "walk"),
            identity={},
            segmenter=SegmenterOptions(),
            cell_seconds=1.0,
        )
        likely = np.array([0.25, 0.75], np.float32)
        journal.append([("pen", Row(float(k), k + 1.0, likely)) for k in range(rows)])


def test_a_damaged_journal_is_not_written_to(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    written(path, 3000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with pytest.raises(OutputError, match="the journal is damaged; restore a copy or move it away"):
        Journal(path)
    assert path.read_bytes() == bytes(data)


def test_looking_for_damage_ends_in_time_and_interrupts_nothing_else() -> None:
    class Slow:
        """A database that would be read for ever."""

        def __init__(self) -> None:
            self.interrupted = threading.Event()

        def execute(self, _: str) -> None:
            assert self.interrupted.wait(30)
            raise sqlite3.OperationalError("interrupted")

        def interrupt(self) -> None:
            self.interrupted.set()

    assert looks_sound(Slow(), most_seconds=0.01)  # type: ignore[arg-type]
    before = threading.active_count()
    with closing(sqlite3.connect(":memory:")) as database:
        assert looks_sound(database, most_seconds=3600.0)
        assert threading.active_count() == before, "nobody waits to interrupt"
        assert database.execute("SELECT 1").fetchone() == (1,)


def test_a_journal_that_cannot_be_read_is_no_sound_one() -> None:
    class Broken:
        def execute(self, _: str) -> None:
            raise sqlite3.OperationalError("disk I/O error")

        def interrupt(self) -> None: ...

    with pytest.raises(sqlite3.OperationalError, match="disk"):
        looks_sound(Broken(), most_seconds=3600.0)  # type: ignore[arg-type]
