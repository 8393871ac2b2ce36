"""The step engine: who shares a batch changes nothing, nothing grows, and what is lost is told."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from conftest import tiny_model
from vigilia.engine import Piece, Result, StepEngine
from vigilia.engine.pool import StatePool
from vigilia.engine.stepping import BatchStepper, Begun
from vigilia.errors import OptionError
from vigilia.state import named_tensors
from vigilia.stream import StreamClassifier, StreamState

STRIDE_SECONDS = 1.0


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module", params=["fam", "gru"])
def model(request: pytest.FixtureRequest) -> StreamClassifier:
    return tiny_model(memory=request.param)


@pytest.fixture(scope="module")
def gru() -> StreamClassifier:
    return tiny_model(memory="gru")


def clips(count: int, seed: int) -> list[Piece]:
    random = np.random.default_rng(seed)
    level = random.integers(0, 200, count)
    return [
        Piece(
            k * STRIDE_SECONDS,
            (k + 1) * STRIDE_SECONDS,
            (random.integers(0, 56, (8, 32, 32, 3)) + level[k]).astype(np.uint8),
        )
        for k in range(count)
    ]


def alone(
    model: StreamClassifier, stream: list[Piece], *, rows: int = 1
) -> tuple[list[np.ndarray], StreamState]:
    """A stream stepped by hand, as every row of a batch of `rows`."""
    state = model.init_state(rows)
    told = []
    for piece in stream:
        frames = torch.from_numpy(piece.frames).expand(rows, -1, -1, -1, -1)
        with torch.inference_mode():
            logits, state = model.step(
                model.preprocessing.to_clip(frames),
                state,
                seconds=torch.full((rows,), piece.end_seconds, dtype=torch.float64),
            )
        told.append(logits[0].softmax(0).numpy())
    return told, state


def drain(engine: StepEngine) -> list[Result]:
    found: list[Result] = []
    while got := engine.poll(flush=True):
        found += got
    return found


def probabilities(results: list[Result], name: str) -> list[np.ndarray]:
    return [
        one.probabilities for one in results if one.name == name and one.probabilities is not None
    ]


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


# Who shares the batch


def test_a_batch_of_one_gives_the_bits_of_stepping_by_hand(model: StreamClassifier) -> None:
    engine = StepEngine(model, streams=3, queue_clips=6)
    streams = {name: clips(6, seed) for seed, name in enumerate("abc")}
    for name, stream in streams.items():
        engine.add(name)
        for piece in stream:
            assert engine.offer(name, piece)
    found = drain(engine)
    for name, stream in streams.items():
        expected, state = alone(model, stream)
        assert same(probabilities(found, name), expected)
        mine = named_tensors(engine.state(name))
        for key, tensor in named_tensors(state).items():
            assert torch.equal(tensor, mine[key]), key


def test_results_are_the_same_bits_whoever_shares_the_batch(model: StreamClassifier) -> None:
    stream = clips(7, 0)

    def run(others: int, first: bool) -> list[np.ndarray]:
        engine = StepEngine(model, streams=8, batch=4, queue_clips=9)
        names = [f"other{number}" for number in range(others)]
        names = ["mine", *names] if first else [*names, "mine"]
        for number, name in enumerate(names):
            engine.add(name)
            # Others come and go at other times, so idle rows and neighbours change.
            length = len(stream) if name == "mine" else 2 + number
            for piece in stream if name == "mine" else clips(length, 50 + number):
                engine.offer(name, piece)
        return probabilities(drain(engine), "mine")

    expected = run(0, True)
    assert len({tuple(one) for one in expected}) == len(stream), "labels that never change"
    for others in (1, 3, 6):
        for first in (True, False):
            assert same(run(others, first), expected), (others, first)


@pytest.mark.parametrize("memory", ["fam", "gru"])
def test_another_batch_size_differs_by_rounding_only(memory: str) -> None:
    # In double precision: this model magnifies, and what is left must be rounding and no more.
    model = tiny_model(memory=memory).double()
    stream = clips(8, 3)
    state = model.init_state(1)
    engine = StepEngine(model, streams=4, batch=4, queue_clips=8)
    engine.add("a")
    for piece in stream:
        engine.offer("a", piece)
    for piece, mine in zip(stream, probabilities(drain(engine), "a"), strict=True):
        with torch.inference_mode():
            logits, state = model.step(
                model.preprocessing.to_clip(torch.from_numpy(piece.frames)[None], torch.float64),
                state,
                seconds=torch.tensor([piece.end_seconds], dtype=torch.float64),
            )
        assert np.abs(mine - logits[0].softmax(0).numpy()).max() < 1e-6


def test_streams_that_are_not_in_a_batch_keep_their_state_bit_for_bit(
    model: StreamClassifier,
) -> None:
    engine = StepEngine(model, streams=4, batch=2, queue_clips=9)
    for seed, name in enumerate("abcd"):
        engine.add(name)
        for piece in clips(3, seed):
            engine.offer(name, piece)
    drain(engine)
    before = {name: named_tensors(engine.state(name)) for name in "abcd"}
    engine.offer("c", clips(1, 9)[0])
    assert [one.name for one in drain(engine)] == ["c"]
    for name in "abd":
        for key, tensor in named_tensors(engine.state(name)).items():
            assert torch.equal(tensor, before[name][key]), (name, key)
    assert not torch.equal(engine.state("c").logits, before["c"]["logits"])


def test_a_row_that_is_used_again_shows_nothing_of_its_last_owner(
    model: StreamClassifier,
) -> None:
    for batch in (1, 3):
        engine = StepEngine(model, streams=1, batch=batch, queue_clips=9)
        stream = clips(4, 1)
        told = []
        for owner in ("first", "second"):
            engine.add(owner)
            for piece in stream:
                engine.offer(owner, piece)
            told.append(probabilities(drain(engine), owner))
            for tensor in named_tensors(engine._pool._all).values():
                if tensor.is_floating_point():
                    tensor[0] = float("nan")  # what a broken stream may leave behind
            engine.remove(owner)
        assert same(*told)


def test_a_stream_that_is_restarted_forgets(model: StreamClassifier) -> None:
    engine = StepEngine(model, streams=1, queue_clips=9)
    engine.add("a")
    stream = clips(4, 1)
    for _ in range(2):
        for piece in stream:
            engine.offer("a", piece)
        found = probabilities(drain(engine), "a")
        assert same(found, alone(model, stream)[0])
        engine.restart("a")


def test_a_stream_goes_on_from_a_state_in_another_engine(model: StreamClassifier) -> None:
    stream = clips(8, 4)
    expected, _ = alone(model, stream)
    first = StepEngine(model, streams=2, queue_clips=9)
    first.add("a")
    for piece in stream[:5]:
        first.offer("a", piece)
    drain(first)
    second = StepEngine(model, streams=3, queue_clips=9)
    second.add("x")
    second.add("b", state=first.state("a"))
    for piece in stream[5:]:
        second.offer("b", piece)
    assert same(probabilities(drain(second), "b"), expected[5:])
    with pytest.raises(OptionError, match="of one stream of this model"):
        second.add("c", state=tiny_model(memory="none").init_state(1))
    second.add("c")
    with pytest.raises(OptionError, match="room for 3 streams"):
        second.add("d")


# Batches


def test_a_batch_goes_when_it_is_full_or_when_its_deadline_is_over(gru: StreamClassifier) -> None:
    clock = Clock()
    engine = StepEngine(gru, streams=4, batch=2, deadline_seconds=0.5, clock=clock)
    for name in "abc":
        engine.add(name)
    assert engine.due_in_seconds() is None
    engine.offer("a", clips(1, 0)[0])
    assert engine.poll() == []
    assert engine.due_in_seconds() == pytest.approx(0.5)
    clock.now = 0.3
    assert engine.due_in_seconds() == pytest.approx(0.2)
    engine.offer("b", clips(1, 1)[0])
    assert engine.due_in_seconds() == 0
    assert {one.name for one in engine.poll()} == {"a", "b"}
    engine.offer("c", clips(1, 2)[0])
    clock.now = 0.7
    assert engine.poll() == []
    clock.now = 0.9
    assert [(one.name, one.lag_seconds) for one in engine.poll()] == [("c", pytest.approx(0.6))]
    assert engine.totals().batches == 2
    assert engine.totals().rows == 3


def test_under_overload_every_stream_gets_its_share(gru: StreamClassifier) -> None:
    clock = Clock()
    engine = StepEngine(gru, streams=6, batch=2, drop_oldest=True, clock=clock)
    demand = {"a": 1, "b": 1, "c": 1, "d": 3, "e": 3, "f": 3}
    for name in demand:
        engine.add(name)
    piece = clips(1, 0)[0]
    rounds = 60
    for number in range(rounds):  # 12 clips come, 2 are stepped
        clock.now = float(number)
        for name, count in demand.items():
            for _ in range(count):
                engine.offer(name, piece)
        while engine.totals().batches <= number:
            engine.poll(flush=True)
    steps = [engine.stats(name).steps for name in demand]
    assert sum(steps) == 2 * rounds
    assert max(steps) - min(steps) <= 1
    for name, count in demand.items():
        stats = engine.stats(name)
        assert stats.steps + stats.dropped + stats.waiting == count * rounds
        assert stats.waiting <= 2


# What waits, and what is lost


def test_a_full_queue_drops_its_oldest_and_its_time_is_a_hole(gru: StreamClassifier) -> None:
    engine = StepEngine(gru, streams=1, queue_clips=2, drop_oldest=True, clock=Clock())
    engine.add("a")
    stream = clips(6, 0)
    for piece in stream[:5]:
        assert engine.offer("a", piece)
    assert engine.stats("a").dropped == 3
    assert engine.stats("a").waiting == 2
    found = drain(engine)
    told = [(one.kind, one.start_seconds, one.end_seconds, one.dropped) for one in found]
    assert told == [("dropped", 0, 3, 3), ("stepped", 3, 4, 0), ("stepped", 4, 5, 0)]
    assert found[0].probabilities is None
    kept = [stream[3], stream[4]]
    assert same(probabilities(found, "a"), alone(gru, kept)[0])


def test_a_queue_that_does_not_drop_refuses(gru: StreamClassifier) -> None:
    engine = StepEngine(gru, streams=1, queue_clips=2)
    engine.add("a")
    first, second, third = clips(3, 0)
    assert engine.offer("a", first)
    assert engine.offer("a", second)
    assert not engine.offer("a", third)
    engine.poll()
    assert engine.offer("a", third)
    assert [one.start_seconds for one in drain(engine)] == [1, 2]
    assert engine.stats("a").dropped == 0


def test_every_moment_of_a_stream_has_one_result_whatever_is_dropped(
    gru: StreamClassifier,
) -> None:
    for seed in range(6):
        random = np.random.default_rng(seed)
        engine = StepEngine(gru, streams=2, batch=2, queue_clips=3, drop_oldest=True)
        engine.add("a")
        engine.add("b")
        found: list[Result] = []
        ends = {"a": 0.0, "b": 0.0}
        lost = 0
        for piece in clips(25, seed):
            for name in ends:
                kind = random.choice(["clip", "still", "hole"], p=[0.6, 0.2, 0.2])
                end = ends[name] + float(random.uniform(0.5, 2))
                frames = None if kind == "hole" else piece.frames
                engine.offer(name, Piece(ends[name], end, frames, still=kind == "still"))
                ends[name] = end
                if random.random() < 0.4:
                    found += engine.poll(flush=True)
        found += drain(engine)
        for name, end in ends.items():
            mine = [one for one in found if one.name == name]
            assert mine[0].start_seconds == 0
            assert mine[-1].end_seconds == end
            for before, after in itertools.pairwise(mine):
                assert before.end_seconds == after.start_seconds
            stats = engine.stats(name)
            lost += stats.dropped
            assert stats.dropped == sum(one.dropped for one in mine)
            assert stats.kept == sum(one.kind == "kept" for one in mine)
        assert lost > 0


# Still clips


def test_a_still_clip_keeps_the_last_result_and_moves_the_clock(model: StreamClassifier) -> None:
    engine = StepEngine(model, streams=1, queue_clips=9)
    engine.add("a")
    one, two, three, four = clips(4, 0)
    still = [Piece(p.start_seconds, p.end_seconds, p.frames, still=True) for p in (two, three)]
    for piece in (one, *still):
        engine.offer("a", piece)
    found = drain(engine)
    assert [result.kind for result in found] == ["stepped", "kept", "kept"]
    assert found[2].probabilities is found[0].probabilities
    state = engine.state("a")
    assert state.seconds.tolist() == [3.0]
    assert state.clips.tolist() == [1]
    engine.offer("a", four)
    drain(engine)
    assert engine.state("a").seconds.tolist() == [4.0]
    assert engine.state("a").clips.tolist() == [2]


def test_a_still_clip_is_stepped_when_there_is_no_result_to_keep(gru: StreamClassifier) -> None:
    def still(piece: Piece) -> Piece:
        return Piece(piece.start_seconds, piece.end_seconds, piece.frames, still=True)

    engine = StepEngine(gru, streams=1, queue_clips=2, drop_oldest=True)
    engine.add("a")
    stream = clips(6, 0)
    engine.offer("a", still(stream[0]))
    assert [one.kind for one in drain(engine)] == ["stepped"]
    engine.restart("a")
    engine.offer("a", still(stream[1]))
    assert [one.kind for one in drain(engine)] == ["stepped"]
    # The clip that the gate wanted stepped was dropped: what it calls still was never seen.
    for piece in (stream[2], still(stream[3]), still(stream[4])):
        engine.offer("a", piece)
    assert [one.kind for one in drain(engine)] == ["dropped", "stepped", "kept"]


def test_batches_begun_ahead_give_the_same_bits_and_each_stream_one_turn(
    model: StreamClassifier,
) -> None:
    streams = {name: clips(3, seed) for seed, name in enumerate("abcde")}
    told = []
    for ahead in (1, 2):
        engine = StepEngine(model, streams=5, batch=2, queue_clips=3, ahead=ahead)
        for name, stream in streams.items():
            engine.add(name)
            for piece in stream:
                engine.offer(name, piece)
        first = [one.name for one in engine.poll()]
        # The fifth stream's batch is not full: it is not begun with the others.
        assert first == ["a", "b", "c", "d"][: 2 * ahead]
        told.append(drain(engine))
        assert engine.totals().batches == 8
        assert [engine.stats(name).steps for name in streams] == [3] * 5
    ones, twos = ({name: probabilities(one, name)[-2:] for name in streams} for one in told)
    assert all(same(ones[name], twos[name]) for name in streams)
    with pytest.raises(OptionError, match="ahead must be at least 1, got 0"):
        StepEngine(model, streams=1, ahead=0)


def test_every_batch_ahead_has_a_buffer_of_its_own(gru: StreamClassifier) -> None:
    # A GPU may still be reading the first one's frames when the second's are laid out.
    pool = StatePool(gru, rows=2, batch=1)
    stepper = BatchStepper(gru, pool, ahead=2)
    rows = [pool.take(), pool.take()]
    frames = [one.frames for one in clips(3, 0)]
    laid = [stepper._laid_out([one]) for one in frames[:2]]
    assert all(torch.equal(a[0], torch.from_numpy(b)) for a, b in zip(laid, frames, strict=False))
    assert stepper._laid_out(frames[2:]).data_ptr() == laid[0].data_ptr()
    begun = [stepper.begin([row], [frames[0]], [1.0], [True]) for row in rows]
    assert same(*(stepper.finish(one) for one in begun))


# Coming, going, ending


def test_a_stream_removed_while_its_batch_runs_leaves_no_result_and_its_row_is_free(
    gru: StreamClassifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = StepEngine(gru, streams=2, batch=2, queue_clips=2)
    engine.add("a")
    engine.add("b")
    engine.offer("a", clips(1, 0)[0])
    engine.offer("b", clips(1, 1)[0])
    begin = engine._stepper.begin

    def remove_meanwhile(*arguments: Any) -> Begun:
        engine.remove("a")
        with pytest.raises(OptionError, match="room"):
            engine.add("c")
        return begin(*arguments)

    monkeypatch.setattr(engine._stepper, "begin", remove_meanwhile)
    assert [one.name for one in engine.poll()] == ["b"]
    engine.add("c")
    assert engine.names == ("b", "c")
    with pytest.raises(OptionError, match="no stream named 'a'"):
        engine.stats("a")


def test_a_closed_stream_ends_after_its_last_result(gru: StreamClassifier) -> None:
    engine = StepEngine(gru, streams=2, queue_clips=4)
    engine.add("a")
    engine.add("b")
    problem = ValueError("cut")
    for piece in clips(2, 0):
        engine.offer("a", piece)
    engine.close("a")
    engine.close("b", problem)
    found = drain(engine)
    assert [one.kind for one in found if one.name == "a"] == ["stepped", "stepped", "ended"]
    ends = {one.name: one.error for one in found if one.kind == "ended"}
    assert ends == {"a": None, "b": problem}
    assert drain(engine) == []
    with pytest.raises(OptionError, match="already"):
        engine.add("a")


def test_the_state_of_an_engine_is_allocated_once(model: StreamClassifier) -> None:
    engine = StepEngine(model, streams=3, batch=2, queue_clips=2, drop_oldest=True)
    places = {name: t.data_ptr() for name, t in named_tensors(engine._pool._all).items()}
    nbytes = engine.totals().state_nbytes
    one = model.init_state(1).nbytes
    assert nbytes == (3 + 1 + 2) * one
    assert engine.totals().nbytes_per_stream == one
    for generation in range(4):
        for seed, name in enumerate("abc"):
            engine.add(name)
            for piece in clips(3, seed + generation):
                engine.offer(name, piece)
        drain(engine)
        for name in "bca":
            engine.remove(name)
        assert engine.totals().room == 3
    assert engine.totals().state_nbytes == nbytes
    after = {name: t.data_ptr() for name, t in named_tensors(engine._pool._all).items()}
    assert after == places


@pytest.mark.parametrize(
    "options",
    [{"streams": 0}, {"batch": 0}, {"deadline_seconds": -1.0}, {"queue_clips": 0}],
)
def test_options_that_cannot_work_are_refused(
    options: dict[str, float], gru: StreamClassifier
) -> None:
    with pytest.raises(OptionError):
        StepEngine(gru, **{"streams": 1, **options})
