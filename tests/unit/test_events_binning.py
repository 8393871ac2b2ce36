"""Bins of events: against a plain loop, in any pieces, across pauses, in a flood of noise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from vigilia.errors import InputError, OptionError
from vigilia.events import (
    EVENT,
    Binning,
    Bins,
    bin_events,
    bins,
    empty_events,
    finish_bins,
    make_events,
    push_events,
)

KINDS = ("counts", "binary", "voxel", "surface")
EPOCH = 1_600_000_000_000_000


def random_events(seed: int, count: int = 200, width: int = 40, height: int = 9) -> np.ndarray:
    random = np.random.default_rng(seed)
    return make_events(
        EPOCH + np.sort(random.integers(0, 100_000, count)),
        random.integers(0, width, count),
        random.integers(0, height, count),
        random.integers(0, 2, count),
    )


def by_hand(binning: Binning, events: np.ndarray) -> np.ndarray:
    """(T, C, H, W), event by event."""
    start = int(events["t"][0]) if binning.start_us is None else binning.start_us
    events = events[events["t"] >= start]
    count = int(events["t"][-1] - start) // binning.bin_us + 1
    frames = np.zeros((count, binning.channels, binning.height, binning.width))
    last = np.full(frames.shape[1:], -np.inf)
    for number in range(count):
        begin = start + number * binning.bin_us
        inside = (events["t"] >= begin) & (events["t"] < begin + binning.bin_us)
        for t, x, y, p in events[inside][: binning.most_events].tolist():
            if binning.kind == "counts":
                frames[number, p, y, x] += 1
            elif binning.kind == "binary":
                frames[number, p, y, x] = 1
            elif binning.kind == "surface":
                last[p, y, x] = t
            else:
                moment = (binning.voxel_moments - 1) * (t - begin) / binning.bin_us
                share = np.maximum(0, 1 - np.abs(np.arange(binning.voxel_moments) - moment))
                frames[number, :, y, x] += (2 * p - 1) * share
        if binning.kind == "surface":
            frames[number] = np.exp(-(begin + binning.bin_us - last) / binning.tau_us)
    return frames


def joined(several: list[Bins]) -> tuple[np.ndarray, ...]:
    names = ("frames", "start_us", "events", "dropped")
    return tuple(np.concatenate([getattr(one, name) for one in several]) for name in names)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(5))
def test_bins_are_those_of_a_plain_loop_in_any_pieces(
    kind: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(seed)
    events = random_events(seed)
    binning = Binning(
        *(40, 9),
        bin_us=int(random.integers(900, 30_000)),
        kind=kind,
        most_events=int(random.integers(3, 40)),
        start_us=None if seed % 2 else EPOCH + int(random.integers(-2000, 2000)),
    )
    whole = joined(list(bin_events(binning, [events])))
    np.testing.assert_allclose(whole[0], by_hand(binning, events), atol=1e-5)
    assert whole[2].sum() + whole[3].sum() == len(events)
    assert np.array_equal(np.diff(whole[1]), np.full(len(whole[1]) - 1, binning.bin_us))
    for block in (1, 10_000, 1 << 24):
        monkeypatch.setattr(bins, "MOST_BLOCK_BYTES", block)
        for cuts in (3, 60):
            pieces = np.split(events, np.sort(random.integers(0, len(events), cuts)))
            for one, other in zip(joined(list(bin_events(binning, pieces))), whole, strict=True):
                assert one.dtype == other.dtype
                assert np.array_equal(one, other)


def test_four_events_in_bins_of_ten() -> None:
    events = np.array([(5, 1, 0, 1), (14, 1, 0, 1), (15, 0, 1, 0), (39, 1, 1, 1)], EVENT)
    (done,) = list(bin_events(Binning(2, 2, bin_us=10), [events]))[:1]
    everything = joined(list(bin_events(Binning(2, 2, bin_us=10), [events])))
    assert done.start_us[0] == 5
    assert everything[1].tolist() == [5, 15, 25, 35]
    assert everything[2].tolist() == [2, 1, 0, 1]
    assert everything[0][0].tolist() == [[[0, 0], [0, 0]], [[0, 2], [0, 0]]]
    assert everything[0][1].tolist() == [[[0, 0], [1, 0]], [[0, 0], [0, 0]]]


def test_an_event_half_way_between_two_moments_of_a_voxel_grid_is_shared() -> None:
    events = np.array([(0, 0, 0, 1), (25, 0, 0, 1), (75, 0, 0, 0)], EVENT)
    binning = Binning(1, 1, bin_us=100, kind="voxel", voxel_moments=3)
    (done,) = bin_events(binning, [events])
    assert done.frames[:, :, 0, 0].tolist() == [[1.5, 0.0, -0.5]]


def test_a_bin_comes_when_an_event_after_it_comes_and_holds_none_later() -> None:
    binning = Binning(4, 4, bin_us=10, start_us=0)
    state = binning.init_state
    state, done, left = push_events(binning, state, np.array([(3, 1, 1, 1), (9, 2, 2, 0)], EVENT))
    assert (len(done), len(left)) == (0, 0)
    state, done, left = push_events(binning, state, np.array([(10, 3, 3, 1)], EVENT))
    assert done.frames.sum() == 2
    state, done = finish_bins(binning, state)
    assert done.frames[0, 1, 3, 3] == 1
    assert finish_bins(Binning(4, 4), Binning(4, 4).init_state)[1].frames.shape == (0, 2, 4, 4)


def test_a_state_is_never_changed_and_never_grows() -> None:
    binning = Binning(40, 9, bin_us=700, kind="counts")
    first = binning.init_state
    state, _, _ = push_events(binning, first, random_events(1))
    again, _, _ = push_events(binning, first, random_events(1))
    assert not first.grid.any()
    assert np.array_equal(state.grid, again.grid)
    assert state.nbytes == first.nbytes == 2 * 9 * 40 * 4
    with pytest.raises(ValueError, match="read-only"):
        state.grid[0, 0, 0] = 1


def test_a_pause_of_a_day_comes_in_bounded_blocks() -> None:
    day = 86_400_000_000
    binning = Binning(64, 48, bin_us=1000)
    events = np.array([(0, 1, 1, 1), (day, 2, 2, 0)], EVENT)
    state, left, seen = binning.init_state, events, 0
    for _ in range(5):
        state, done, left = push_events(binning, state, left)
        assert done.frames.nbytes <= bins.MOST_BLOCK_BYTES
        seen += len(done)
        assert len(left) == 1
    assert seen == state.bin == 5 * binning.most_bins


def test_a_flood_of_noise_is_cut_off_and_counted() -> None:
    piece = make_events(np.zeros(50_000), np.zeros(50_000), np.zeros(50_000), np.ones(50_000))

    def flood() -> Iterator[np.ndarray]:
        for _ in range(20):
            yield piece
        yield np.array([(20_000, 1, 1, 1)], EVENT)

    binning = Binning(8, 8, most_events=70_000)
    frames, _, events, dropped = joined(list(bin_events(binning, flood())))
    assert events.tolist() == [70_000, 1]
    assert dropped.tolist() == [20 * 50_000 - 70_000, 0]
    assert frames[0].max() == 70_000


def test_disorder_and_events_outside_the_sensor_are_refused() -> None:
    binning = Binning(4, 4, bin_us=10)
    with pytest.raises(InputError, match="in order of time"):
        list(bin_events(binning, [np.array([(5, 1, 1, 1), (4, 1, 1, 1)], EVENT)]))
    with pytest.raises(InputError, match="in order of time"):
        list(bin_events(binning, [np.array([(t, 1, 1, 1)], EVENT) for t in (0, 25, 5)]))
    with pytest.raises(InputError, match="outside the sensor of 4x4"):
        list(bin_events(binning, [np.array([(5, 4, 1, 1)], EVENT)]))
    assert list(bin_events(binning, [empty_events()])) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bin_us": 0}, "bin_us must be a whole number of at least 1, got 0"),
        ({"bin_us": 0.5}, "bin_us must be a whole number"),
        ({"kind": "frames"}, "no kind 'frames'; choose one of counts, binary, voxel, surface"),
        ({"kind": "voxel", "voxel_moments": 1}, "voxel_moments must be at least 2"),
        ({"most_events": 1 << 31}, "most_events must be below"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Binning(4, 4, **options)
