"""Feeders: what they cannot offer they keep, and how they end is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from conftest import tiny_model
from vigilia.engine import Feeder, Piece, Result, StepEngine, results
from vigilia.stream import StreamClassifier


@pytest.fixture(scope="module")
def model() -> StreamClassifier:
    return tiny_model(memory="gru")


def clips(count: int, seed: int = 0) -> Iterator[Piece]:
    random = np.random.default_rng(seed)
    for k in range(count):
        yield Piece(k, k + 1, random.integers(0, 256, (8, 32, 32, 3), np.uint8))


def until_ended(engine: StepEngine, count: int) -> list[Result]:
    found: list[Result] = []

    def ended() -> bool:
        return sum(one.kind == "ended" for one in found) == count

    for batch in results(engine, until=ended):
        found.extend(batch)
    return found


def test_feeders_lose_nothing_however_slow_the_engine_is(model: StreamClassifier) -> None:
    engine = StepEngine(model, streams=3, batch=2, deadline_seconds=0.001, queue_clips=1)
    counts = {"a": 5, "b": 9, "c": 0}
    feeders = []
    for seed, (name, count) in enumerate(counts.items()):
        engine.add(name)
        feeders.append(Feeder(engine, name, lambda c=count, s=seed: clips(c, s)))
    found = until_ended(engine, 3)
    for name, count in counts.items():
        mine = [one for one in found if one.name == name]
        assert [one.start_seconds for one in mine[:-1]] == list(range(count))
        assert [one.kind for one in mine] == ["stepped"] * count + ["ended"]
    for feeder in feeders:
        feeder.stop()


def test_an_error_of_a_stream_comes_behind_what_it_delivered(model: StreamClassifier) -> None:
    problem = ValueError("the camera burns")

    def burning() -> Iterator[Piece]:
        yield from clips(2)
        raise problem

    engine = StepEngine(model, streams=1)
    engine.add("a")
    feeder = Feeder(engine, "a", burning)
    found = until_ended(engine, 1)
    assert [one.kind for one in found] == ["stepped", "stepped", "ended"]
    assert found[-1].error is problem
    feeder.stop()


def test_a_feeder_that_waits_for_room_can_be_stopped_and_closes_its_source(
    model: StreamClassifier,
) -> None:
    closed = threading.Event()

    def endless() -> Iterator[Piece]:
        try:
            while True:
                yield from clips(1)
        finally:
            closed.set()

    engine = StepEngine(model, streams=1, queue_clips=1)
    engine.add("a")
    feeder = Feeder(engine, "a", endless)
    while engine.stats("a").waiting < 1:
        time.sleep(0.001)
    feeder.stop()
    assert closed.is_set()
    assert engine.stats("a").waiting == 1
