"""The queue of a job hands every recording out once, and gives up only what never gets further."""

from __future__ import annotations

import numpy as np

from vigilia.scale.queue import Queue


def test_recordings_are_handed_out_in_order_and_near_the_end_everybody_gets_a_share() -> None:
    queue = Queue(range(10))
    assert queue.take(4, among=2) == [0, 1, 2, 3]
    assert queue.take(4, among=3) == [4, 5], "six wait, three workers"
    assert queue.take(4, among=2) == [6, 7]
    assert queue.take(4, among=2) == [8]
    assert queue.take(4, among=2) == [9]
    assert queue.take(4, among=2) == []
    assert queue.open == 10
    for index in range(10):
        queue.done(index)
    assert queue.open == 0


def test_one_that_was_lost_waits_behind_the_others_and_travels_alone() -> None:
    queue = Queue(range(4))
    assert queue.take(2, among=1) == [0, 1]
    assert not queue.lost(0)
    assert not queue.lost(1)
    assert queue.take(9, among=1) == [2, 3]
    assert queue.take(9, among=1) == [0]
    assert queue.take(9, among=1) == [1]


def test_one_that_dies_three_times_at_one_place_is_given_up_and_one_that_gets_further_is_not() -> (
    None
):
    queue = Queue([7], tries=3)
    for steps in (5, 9, 9, 12, 12):
        queue.take(1, among=1)
        queue.note(7, steps)
        assert not queue.lost(7), steps
    queue.take(1, among=1)
    queue.note(7, 12)
    assert queue.lost(7)
    assert queue.open == 1, "whoever asked still has to end it"
    queue.done(7)
    assert queue.open == 0


def test_whatever_is_lost_every_recording_ends_once() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        count = int(random.integers(1, 30))
        queue, ended, had = Queue(range(count), tries=2), [], []
        while queue.open:
            lot = queue.take(int(random.integers(1, 5)), among=int(random.integers(1, 4)))
            had += lot
            for index in lot:
                if random.random() < 0.3:
                    if queue.lost(index):
                        queue.done(index)
                        ended.append(index)
                else:
                    queue.done(index)
                    ended.append(index)
        assert sorted(ended) == list(range(count))
        assert set(had) == set(range(count))
