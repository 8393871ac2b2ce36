"""Work ahead of the consumer, by a stated number of items and no more."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

from vigilia.errors import OptionError

__all__ = ["prefetch"]

T = TypeVar("T")

# How long a consumer that stops waits for a producer in the middle of an item.
_JOIN_SECONDS = 5.0


def prefetch(iterable: Iterable[T], *, size: int = 8) -> Generator[T, None, None]:
    """Yields the items of `iterable`, which one background thread produces.

    At most `size` items are produced and not yet consumed, so memory stays bounded however slow
    the consumer is. An exception of the producer is raised here, after the items before it. When
    the consumer stops (`close()`, `break`, an error), the thread ends after the item it is at; a
    generator is then closed.

    Raises:
        OptionError: `size` is not positive.
    """
    if size < 1:
        raise OptionError(f"size must be at least 1, got {size}")
    return _prefetched(iterable, size)


def _prefetched(iterable: Iterable[T], size: int) -> Generator[T, None, None]:
    slots = threading.Semaphore(size)
    stop = threading.Event()
    items: queue.SimpleQueue[tuple[str, T | BaseException | None]] = queue.SimpleQueue()

    def produce() -> None:
        try:
            iterator = iter(iterable)
            try:
                while True:
                    # The slot comes before the item: a full queue must not hide one more.
                    slots.acquire()
                    if stop.is_set():
                        return
                    try:
                        item = next(iterator)
                    except StopIteration:
                        return
                    items.put(("item", item))
            finally:
                close = getattr(iterator, "close", None)
                if close is not None and stop.is_set():
                    close()
        except BaseException as error:  # carried over to the consumer
            items.put(("error", error))
        finally:
            items.put(("end", None))

    thread = threading.Thread(target=produce, name="vigilia-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = items.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            slots.release()
            yield value  # type: ignore[misc]
    finally:
        stop.set()
        slots.release()
        thread.join(timeout=_JOIN_SECONDS)
