"""Dates in downloads: the clock on the wall of the barn, not that of Greenwich."""

from __future__ import annotations

import asyncio
import errno
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import OptionError, OutputError
from vigilia.serving.downloads import EXPORTS, download
from vigilia.serving.fields import Fields
from vigilia.serving.files import file_response
from vigilia.serving.stream_options import stream_options
from vigilia.timeline import (
    FORMATS,
    Annotations,
    Scores,
    Segment,
    Timeline,
    read_annotations,
)
from vigilia.timeline.files import read

AT_FIVE = "2026-11-21T17:00:00+01:00"
BERLIN = timezone(timedelta(hours=1))
DATED = [name for name in EXPORTS if name in FORMATS and "started" in FORMATS[name].keeps]
ZONED = {"elan", "nwb", "yasa"}
NIGHT = Timeline(
    classes=("wake", "NREM"),
    segments=(Segment(0.0, 60.0, "wake", 0.9), Segment(60.0, 120.0, "NREM", 0.8)),
)


def again(name: str, folder: Path, wall_start: float, zone: timezone | None) -> datetime | None:
    """What a reader of the download takes for the start of the recording."""
    made = download(NIGHT, name, "night", wall_start=wall_start, zone=zone, fps=25.0)
    path = folder / made.name
    with made.file as file:
        path.write_bytes(file.read())
    assert path.stat().st_size == made.size
    one: Annotations
    (one,) = read_annotations(path, format=name, fps=25.0, epoch_seconds=30)
    return one.started


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "JST-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
@pytest.mark.parametrize("name", DATED)
def test_five_in_the_afternoon_stays_five_in_every_format(name: str, tmp_path: Path) -> None:
    table = {"name": "pen", "source": "/v/pen.mp4", "wall_start": AT_FIVE}
    options = stream_options(Fields("x", table))
    assert options.wall_start is not None
    started = again(name, tmp_path, options.wall_start, options.wall_zone)
    zone = BERLIN if name in ZONED else None
    assert started == datetime(2026, 11, 21, 17, tzinfo=zone)
    assert started.utcoffset() == (timedelta(hours=1) if zone else None)
    # A camera, and seconds of Unix, are of the machine's own clock.
    started = again(name, tmp_path, options.wall_start, None)
    assert started.replace(tzinfo=None) == datetime(2026, 11, 22, 1)
    assert started.utcoffset() == (timedelta(hours=9) if zone else None)


@pytest.mark.parametrize("name", DATED)
def test_a_start_between_two_seconds_can_be_written(name: str, tmp_path: Path) -> None:
    started = again(name, tmp_path, 1795190400.4375, BERLIN)
    assert started is not None
    error = abs(started.replace(tzinfo=None) - datetime(2026, 11, 20, 17, 0, 0, 437500))
    assert error < timedelta(seconds=1)


def test_dates_are_in_the_formats_that_have_a_place_for_them() -> None:
    assert {"edf", "bdf", "boris", "boris-tabular", "boris-aggregated", *ZONED} == set(DATED)


def test_the_offset_of_a_stream_is_the_one_that_was_given() -> None:
    def zone(wall_start: object) -> timezone | None:
        table = {"name": "pen", "source": "/v/pen.mp4", "wall_start": wall_start}
        return stream_options(Fields("x", table)).wall_zone

    assert zone(AT_FIVE) == zone(datetime(2026, 11, 21, 17, tzinfo=BERLIN)) == BERLIN
    assert zone("2026-11-21T16:00:00Z") == UTC
    assert zone(1795276800.0) is None
    with pytest.raises(OptionError, match="must say its time zone"):
        zone("2026-11-21T17:00:00")


def hours(count: int) -> Timeline:
    """A timeline of `count` steps, with scores, of few segments."""
    at = np.arange(count, dtype=np.float64)
    values = np.random.default_rng(0).dirichlet(np.ones(2), count).astype(np.float32)
    return replace(NIGHT, scores=Scores(at, at + 1, values))


def test_a_long_download_is_made_in_as_little_memory_as_a_short_one() -> None:
    def most(timeline: Timeline) -> int:
        tracemalloc.start()
        try:
            with download(timeline, "json", "night").file as file:
                assert file.read(2) == b"{\n"
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    short, long = hours(5_000), hours(40_000)
    most(short)
    assert most(long) < 1.2 * most(short)


def test_json_is_the_same_in_pieces(tmp_path: Path) -> None:
    timeline = hours(2_500)
    with download(timeline, "json", "night").file as file:
        (tmp_path / "night.json").write_bytes(file.read())
    assert read(tmp_path / "night.json") == timeline


def test_a_slow_client_holds_a_piece_and_one_that_goes_leaves_nothing() -> None:
    made = download(hours(10_000), "json", "night")
    sizes, lengths = [], []

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            lengths.extend(int(v) for k, v in message["headers"] if k == b"content-length")
        sizes.append(len(message.get("body", b"")))
        if len(sizes) == 4:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        asyncio.run(file_response(made)({"type": "http"}, None, send))
    assert lengths == [made.size]
    assert max(sizes) == 65536 < made.size / 4
    assert made.file.closed


def test_a_download_without_room_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(OutputError, match=r"No space left on device.*is there room in"):
        download(NIGHT, "csv", "night")
