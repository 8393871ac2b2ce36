"""Which worker a stream goes to, how many there are, who moves, and what a worker keeps to say."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from vigilia.engine import Result
from vigilia.scale.live_news import Assignment, Found, Left, Saved, Stated
from vigilia.scale.outbox import Outbox, OutboxLedger
from vigilia.scale.placing import Losses, Seat, choose, pair_to_level, wanted_workers
from vigilia.serving.stream_options import StreamOptions
from vigilia.serving.watched import Watched


def test_a_stream_goes_to_the_emptiest_worker_of_the_emptiest_machine() -> None:
    seats = [Seat("a", 2, 4), Seat("a", 0, 4), Seat("b", 1, 4), Seat("b", 2, 4)]
    assert choose(seats) == 1, "a has 2 of 8, b 3 of 8; in a the second is empty"
    assert choose([Seat("a", 4, 4), Seat("b", 3, 4)]) == 1
    assert choose([Seat("a", 4, 4)]) is None
    assert choose([]) is None
    assert choose([Seat("a", 1, 2), Seat("b", 4, 16)]) == 1, "a quarter is emptier than a half"


def test_a_busy_worker_gets_streams_only_if_all_are() -> None:
    seats = [Seat("a", 0, 4, busy=0.95), Seat("b", 3, 4, busy=0.5)]
    assert choose(seats) == 1
    assert choose([Seat("a", 0, 4, busy=0.95), Seat("b", 3, 4, busy=0.99)]) == 0


def test_streams_that_may_kill_never_share_a_worker() -> None:
    seats = [Seat("a", 1, 4, suspects=1), Seat("b", 3, 4)]
    assert choose(seats, suspect=True) == 1
    assert choose(seats) == 0
    assert choose(seats[:1], suspect=True) is None


def test_placed_one_by_one_streams_spread_evenly() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        rooms = random.integers(1, 9, random.integers(1, 7))
        seats = [Seat(f"m{k % 3}", 0, int(room)) for k, room in enumerate(rooms)]
        for _ in range(int(random.integers(0, rooms.sum() + 1))):
            index = choose(seats)
            assert index is not None
            one = seats[index]
            seats[index] = Seat(one.machine, one.streams + 1, one.room)
        assert all(one.streams <= one.room for one in seats)
        for machine in {one.machine for one in seats}:
            mine = [one for one in seats if one.machine == machine]
            shares = [one.streams / one.room for one in mine]
            assert max(shares) - min(shares) <= max(1 / one.room for one in mine) + 1e-9


def test_every_machine_has_a_worker_and_no_more_than_streams_ask_for() -> None:
    assert wanted_workers({"a": 16, "b": 16}, 0) == {"a": 1, "b": 1}
    assert wanted_workers({"a": 16, "b": 16}, 5) == {"a": 3, "b": 2}
    assert wanted_workers({"a": 2, "b": 6}, 100) == {"a": 2, "b": 6}
    assert wanted_workers({"a": 2, "b": 6}, 4) == {"a": 1, "b": 3}
    assert wanted_workers({}, 4) == {}


def test_one_stream_moves_at_a_time_until_the_difference_is_one() -> None:
    seats = [Seat("a", 7, 8), Seat("b", 0, 8), Seat("c", 3, 8)]
    moved = 0
    while (pair := pair_to_level(seats)) is not None:
        full, empty = pair
        seats[full] = Seat(seats[full].machine, seats[full].streams - 1, 8)
        seats[empty] = Seat(seats[empty].machine, seats[empty].streams + 1, 8)
        moved += 1
    assert sorted(one.streams for one in seats) == [3, 3, 4]
    assert moved == 3
    assert pair_to_level([]) is None
    assert pair_to_level([Seat("a", 4, 16), Seat("b", 1, 2)]) is None, "b is the fuller one"


def test_a_stream_is_given_up_when_workers_die_and_it_gets_nowhere() -> None:
    losses = Losses()
    assert not losses.suspected("a", 1.0)
    assert not losses.lost("a", 1.0)
    assert losses.suspected("a", 1.0)
    assert not losses.suspected("a", 2.0), "it has labelled something since"
    assert not losses.lost("a", 1.0)
    assert not losses.lost("a", 2.0)
    assert not losses.lost("a", 2.0)
    assert losses.lost("a", 2.0)
    losses.clear("a")
    assert not losses.lost("a", 2.0)


def test_the_outbox_says_everything_in_order_until_it_is_acknowledged() -> None:
    outbox = Outbox()
    for number in range(1200):
        outbox.put(1, Left() if number % 7 else Found("stepped", number, 1, None, 0, 0, 0))
    heard: list[int] = []
    acknowledged = 0
    random = np.random.default_rng(1)
    while entries := outbox.take(acknowledged, 0.0):
        if random.random() < 0.5:
            continue  # the answer was lost on the way
        heard += [one.sequence for one in entries]
        acknowledged = heard[-1]
    assert heard == list(range(1, 1201))


def test_a_new_snapshot_takes_the_place_of_the_old_one_and_ends_an_answer() -> None:
    outbox = Outbox()
    outbox.put(1, Saved(b"old"))
    outbox.put(2, Saved(b"another stream's"))
    outbox.put(1, Stated("running", ""))
    outbox.put(1, Saved(b"new"))
    outbox.put(1, Left())
    first = outbox.take(0, 0.0)
    assert [one.what for one in first] == [Saved(b"another stream's")]
    second = outbox.take(first[-1].sequence, 0.0)
    assert [one.what for one in second] == [Stated("running", ""), Saved(b"new")]
    assert [one.what for one in outbox.take(second[-1].sequence, 0.0)] == [Left()]


def test_whoever_waits_for_news_gets_them_at_once() -> None:
    outbox = Outbox()
    threading.Timer(0.05, outbox.put, (1, Left())).start()
    began = time.monotonic()
    assert len(outbox.take(0, 30.0)) == 1
    assert time.monotonic() - began < 20


def a_ledger(most: int = 4) -> tuple[Outbox, OutboxLedger, Watched]:
    outbox = Outbox(most)
    ledger = OutboxLedger(outbox, "hash")
    options = StreamOptions("pen", "rtsp://eve:s3cret@camera/1", "address")
    given = Assignment(7, options, False, False, 12.0, None, None)
    assert "s3cret" not in repr(given)
    ledger.begin(given)
    return outbox, ledger, Watched(options)


def test_a_full_outbox_holds_up_whoever_steps_and_keeps_everything() -> None:
    outbox, ledger, watched = a_ledger()

    def result(start: float) -> tuple[Watched, Result]:
        return watched, Result("pen/1", "stepped", start, start + 1, np.ones(3, np.float32))

    assert ledger.write([result(12.0 + k) for k in range(4)])
    assert ledger.until_seconds("pen") == 16.0
    waits: list[str] = []

    def wait(seconds: float) -> bool:
        waits.append(ledger.problem)
        if len(waits) == 3:
            outbox.take(2, 0.0)
        return True

    ledger.on_retry = wait
    assert ledger.write([result(16.0)])
    assert len(waits) == 3
    assert waits[0] == "the service does not take results"
    assert ledger.problem == ""
    starts = [one.what.start_seconds for one in outbox.take(2, 0.0) if isinstance(one.what, Found)]
    assert starts == [14.0, 15.0, 16.0]
    ledger.on_retry = lambda seconds: False
    assert ledger.write([result(17.0)])
    assert not ledger.write([result(18.0)]), "it ends before there was room"


def test_a_ledger_says_of_which_placement_it_speaks_and_nothing_of_streams_it_has_not() -> None:
    outbox, ledger, _ = a_ledger()
    assert ledger.wall_start("pen") is None
    assert ledger.wall_start("pen", 5.0) == 5.0
    assert ledger.wall_start("pen", 6.0) == 5.0, "the first stays"
    assert not ledger.ended("pen")
    ledger.claim("other", {"x": 1})
    ledger.forget("pen")
    ledger.claim("pen", {"x": 1})
    entries = outbox.take(0, 0.0)
    assert [(one.placement, type(one.what).__name__) for one in entries] == [(7, "Started")]


def test_an_empty_outbox_answers_when_the_time_is_over() -> None:
    outbox = Outbox()
    with pytest.raises(StopIteration):
        next(iter(outbox.take(0, 0.01)))
