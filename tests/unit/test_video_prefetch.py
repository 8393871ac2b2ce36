"""Working ahead by a stated number of items."""

from __future__ import annotations

import threading
import time

import pytest

from vigilia.errors import OptionError
from vigilia.video import prefetch


def wait_until(condition, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.002)
    return condition()


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "vigilia-prefetch"]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_items_come_in_order_and_all_of_them(size: int) -> None:
    assert list(prefetch(range(50), size=size)) == list(range(50))
    assert not prefetch_threads()


@pytest.mark.parametrize("size", [1, 3])
def test_the_producer_is_never_more_than_size_ahead(size: int) -> None:
    produced = 0

    def produce():
        nonlocal produced
        for number in range(40):
            produced += 1
            yield number

    ahead = []
    for consumed, _ in enumerate(prefetch(produce(), size=size), start=1):
        wait_until(lambda due=consumed + size: produced >= due, seconds=0.02)
        ahead.append(produced - consumed)
    assert max(ahead) == size


def test_an_error_arrives_after_the_items_before_it() -> None:
    def produce():
        yield 1
        yield 2
        raise ValueError("broken")

    received: list[int] = []
    with pytest.raises(ValueError, match="broken"):
        received.extend(prefetch(produce(), size=4))
    assert received == [1, 2]
    assert not prefetch_threads()


def test_a_consumer_that_stops_ends_the_thread_and_closes_the_generator() -> None:
    closed = threading.Event()

    def produce():
        try:
            number = 0
            while True:
                yield number
                number += 1
        finally:
            closed.set()

    source = produce()  # held here, so that nobody but prefetch closes it
    items = prefetch(source, size=3)
    assert next(items) == 0
    items.close()
    assert closed.is_set()
    assert not prefetch_threads()


def test_breaking_out_of_the_loop_is_enough() -> None:
    for item in prefetch(iter(range(1000)), size=2):
        if item == 3:
            break
    assert wait_until(lambda: not prefetch_threads())


def test_a_size_that_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(OptionError, match="size"):
        prefetch([], size=0)
