"""Many who look cost little more than one: answers are shared, and nobody waits for the journal."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import av
import numpy as np
import pytest
from starlette.requests import Request

from vigilia.serving import event_stream, latest_pictures
from vigilia.serving.event_stream import Listeners
from vigilia.serving.hub import Event, Hub
from vigilia.serving.journal import Journal
from vigilia.serving.latest_pictures import LatestPictures
from vigilia.serving.shared_answer import SharedAnswer
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched
from vigilia.timeline import SegmenterOptions


class Clock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def made_by(clock: Clock, *, seconds: float) -> tuple[SharedAnswer[int], list[float]]:
    made: list[float] = []

    def make() -> int:
        made.append(clock.now)
        clock.now += seconds
        return len(made)

    return SharedAnswer(make, clock=clock), made


def test_making_an_answer_takes_a_tenth_of_the_time_however_many_ask() -> None:
    clock = Clock()
    answer, made = made_by(clock, seconds=0.05)
    while clock.now < 10.0:
        answer.get()
        clock.now += 0.001
    assert len(made) * 0.05 == pytest.approx(1.0, rel=0.05)


def test_an_answer_is_a_second_old_at_most() -> None:
    clock = Clock()
    answer, made = made_by(clock, seconds=5.0)
    assert answer.get() == 1
    clock.now += 0.99
    assert answer.get() == 1
    clock.now += 0.02
    assert answer.get() == 2
    assert made == [0.0, 6.01]


def test_who_asks_after_a_change_is_told_of_it() -> None:
    answer, _ = made_by(Clock(), seconds=1.0)
    assert (answer.get(), answer.get()) == (1, 1)
    answer.forget()
    assert answer.get() == 2


def test_an_answer_that_failed_is_not_kept() -> None:
    tries: list[int] = []

    def make() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise sqlite3.OperationalError("locked")
        return "well"

    answer = SharedAnswer(make, clock=Clock())
    with pytest.raises(sqlite3.OperationalError):
        answer.get()
    assert answer.get() == "well"


def picture(value: int) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(np.full((48, 64, 3), value, np.uint8), format="rgb24")


def test_a_picture_is_made_once_for_all_who_look(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = latest_pictures._jpeg

    def counted(shown: av.VideoFrame, width: int) -> bytes:
        made.append(width)
        return real(shown, width)

    monkeypatch.setattr(latest_pictures, "_jpeg", counted)
    camera = Watched(StreamOptions("camera", "rtsp://camera/1", "address"))
    pictures = LatestPictures()
    assert pictures.jpeg(camera, 320) is None, "before the first"
    camera.picture = picture(10)
    files: list[bytes | None] = []
    threads = [
        threading.Thread(target=lambda: files.append(pictures.jpeg(camera, 320))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [320]
    assert len(files) == 8
    assert len(set(files)) == 1
    assert pictures.jpeg(camera, 32) != files[0], "another width is another file"
    camera.picture = picture(200)
    assert pictures.jpeg(camera, 320) != files[0], "and so is another picture"
    assert made == [320, 32, 320]
    for width in range(16, 116):
        pictures.jpeg(camera, width)
    assert all(len(files) <= 4 for _, files in pictures._made.values()), "of a bounded size"


def test_asking_when_a_camera_began_does_not_wait_for_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    for name in ("camera", "recording"):
        journal.open_stream(
            name,
            classes=("rest", "walk"),
            identity={},
            segmenter=SegmenterOptions(),
            cell_seconds=1.0,
        )
    assert journal.wall_start("nobody") is None
    assert journal.wall_start("camera") is None, "before the first frame"
    assert journal.wall_start("camera", 1000.0) == 1000.0
    assert journal.wall_start("camera", 2000.0) == 1000.0, "the first stays"
    assert journal.wall_start("recording") is None
    told: list[float | None] = []

    def ask() -> None:
        told.extend(journal.wall_start(name) for name in ("camera", "recording"))

    with journal._lock:  # as while a batch is written
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(timeout=5)
    assert told == [1000.0, None]
    journal.forget("camera")
    assert journal.wall_start("camera") is None
    journal.close()


def listening(
    hub: Hub, listeners: Listeners, *, pages: int, publish: Callable[[], Awaitable[None]]
) -> list[list[bytes]]:
    """What pages are sent while something is published, chunk by chunk."""
    request = Request({"type": "http", "method": "GET", "headers": []})

    async def page(chunks: list[bytes]) -> None:
        async for chunk in listeners.response(request).body_iterator:
            chunks.append(bytes(chunk))

    async def run() -> list[list[bytes]]:
        heard: list[list[bytes]] = [[] for _ in range(pages)]
        tasks = [asyncio.create_task(page(chunks)) for chunks in heard]
        await asyncio.sleep(0.1)
        await publish()
        await asyncio.sleep(0.2)
        assert listeners.count == pages
        listeners.close()
        await asyncio.gather(*tasks)
        assert listeners.count == 0
        return heard

    return asyncio.run(run())


def test_events_are_gathered_and_every_page_hears_each_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []
    real = event_stream._text

    def counted(era: str, event: Event) -> str:
        made.append(event.number)
        return real(era, event)

    monkeypatch.setattr(event_stream, "_text", counted)
    hub = Hub()

    async def publish() -> None:
        for number in range(200):
            hub.publish("label", {"n": number})
            await asyncio.sleep(0.002)

    heard = listening(hub, Listeners(hub, gather_seconds=0.1), pages=8, publish=publish)
    for chunks in heard:
        told = [int(one) for one in re.findall(rb'"n": (\d+)', b"".join(chunks))]
        assert told == list(range(200)), "each once, in order"
        assert len(chunks) < 40, "in few pieces"
    assert len(made) == 200, "and made once for all pages"


def test_an_event_after_a_silence_is_told_at_once() -> None:
    hub, times = Hub(), []

    async def publish() -> None:
        began = time.monotonic()
        hub.publish("label", {"n": 1})
        while not any(b'"n": 1' in chunk for chunk in seen):
            await asyncio.sleep(0.001)
            assert time.monotonic() - began < 5
        times.append(time.monotonic() - began)

    listeners = Listeners(hub, gather_seconds=1000.0)
    seen: list[bytes] = []
    pieces = listeners._piece

    def piece(place: int) -> tuple[bytes, int]:
        made = pieces(place)
        seen.append(made[0])
        return made

    listeners._piece = piece  # type: ignore[method-assign]
    listening(hub, listeners, pages=1, publish=publish)
    assert times, "although two pieces would be a quarter of an hour apart"


def test_a_burst_wakes_whoever_listens_once() -> None:
    hub, woken = Hub(), []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *call: woken.append(1) or real(*call)  # type: ignore
        waiting = asyncio.create_task(hub.wait(0, 5.0))
        await asyncio.sleep(0.01)
        for number in range(100):
            hub.publish("label", {"n": number})
        await waiting

    asyncio.run(run())
    assert len(woken) == 1
