"""Events become bins, in pieces of any size: the same events give the same bins bit for bit.

All sums are of whole numbers, so their order does not matter. `bins.py` says what bins are.

Letters: N events, T bins, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from vigilia.errors import InputError
from vigilia.events.bins import Binning, Bins, BinState

__all__ = ["bin_events", "finish_bins", "push_events"]


def push_events(
    binning: Binning, state: BinState, events: np.ndarray
) -> tuple[BinState, Bins, np.ndarray]:
    """Adds events; returns the bins that are over.

    At most 16 MB of sums are made by one call, so a pause of hours does not fill the memory: push
    what is left until nothing is.

    Args:
        binning: how.
        state: of the events before.
        events: (N,) of type EVENT in order of time, within the sensor.

    Returns:
        The next state, the bins that are over, and the events that are left.

    Raises:
        InputError: the events are not in order, or lie outside the sensor.
    """
    if not len(events):
        return state, _no_bins(binning), events
    _check(binning, state, events)
    origin = int(events["t"][0]) if state.start_us is None else state.start_us
    early = int(np.searchsorted(events["t"], origin))
    events = events[early:]
    state = replace(state, start_us=origin, dropped=state.dropped + early)
    if not len(events):
        return state, _no_bins(binning), events
    # The bin of each event, counted from the one under way.
    bins = (events["t"] - origin) // binning.bin_us - state.bin
    over = min(int(bins[-1]), binning.most_bins)
    count = int(np.searchsorted(bins, over, "right"))
    taken, left, bins = events[:count], events[count:], bins[:count]
    numbers = np.bincount(bins, minlength=over + 1)  # (T + 1,) events of each bin
    room = np.full(over + 1, binning.most_events)
    room[0] -= state.events
    dropped = np.maximum(numbers - room, 0)
    if dropped.any():
        rank = np.arange(count) - (np.cumsum(numbers) - numbers)[bins]
        kept = rank < room[bins]
        taken, bins, numbers = taken[kept], bins[kept], np.minimum(numbers, room)
    grids = _add(binning, state, taken, bins, over + 1)  # (T + 1, C, H, W)
    numbers[0] += state.events
    dropped[0] += state.dropped
    ends = origin + (state.bin + 1 + np.arange(over, dtype=np.int64)) * binning.bin_us  # (T,)
    done = Bins(
        frames=_frames(binning, grids[:over], ends),
        start_us=ends - binning.bin_us,
        bin_us=binning.bin_us,
        events=numbers[:over],
        dropped=dropped[:over],
    )
    grid = grids[over].copy()
    grid.flags.writeable = False
    under_way = BinState(origin, state.bin + over, grid, int(numbers[over]), int(dropped[over]))
    return under_way, done, left


def finish_bins(binning: Binning, state: BinState) -> tuple[BinState, Bins]:
    """Ends the bin under way, if there was any event: the last of a recording."""
    if state.start_us is None:
        return state, _no_bins(binning)
    start = state.start_us + state.bin * binning.bin_us
    ends = np.array([start + binning.bin_us])
    done = Bins(
        frames=_frames(binning, state.grid[None], ends),
        start_us=ends - binning.bin_us,
        bin_us=binning.bin_us,
        events=np.array([state.events]),
        dropped=np.array([state.dropped]),
    )
    fresh = state.grid if binning.kind == "surface" else binning.init_state.grid
    return BinState(state.start_us, state.bin + 1, fresh), done


def bin_events(binning: Binning, pieces: Iterable[np.ndarray]) -> Iterator[Bins]:
    """All bins of a recording, some at a time. pieces: events (N,) as a reader yields them."""
    state = binning.init_state
    for events in pieces:
        while len(events):
            state, bins, events = push_events(binning, state, events)
            if len(bins):
                yield bins
    state, bins = finish_bins(binning, state)
    if len(bins):
        yield bins


def _check(binning: Binning, state: BinState, events: np.ndarray) -> None:
    t = events["t"]
    late = state.bin > 0 and t[0] < (state.start_us or 0) + state.bin * binning.bin_us
    if late or np.any(t[1:] < t[:-1]):
        raise InputError("events must come in order of time; `open_events` delivers them so")
    if events["x"].max() >= binning.width or events["y"].max() >= binning.height:
        raise InputError(
            f"an event lies outside the sensor of {binning.width}x{binning.height}; "
            "bin with the size that the reader says"
        )


def _add(
    binning: Binning, state: BinState, events: np.ndarray, bins: np.ndarray, count: int
) -> np.ndarray:
    """The sums of the bin under way and of those after it.

    Args:
        binning: how.
        state: whose grid the first bin goes on from.
        events: (N,) of type EVENT.
        bins: (N,) the bin of each, from 0, the one under way.
        count: T + 1, how many bins.

    Returns:
        (T + 1, C, H, W).
    """
    size = binning.height * binning.width
    pixel = events["y"].astype(np.int64) * binning.width + events["x"]
    polarity = events["p"].astype(np.int64)
    if binning.kind == "surface":
        return _last_times(state.grid, events["t"], polarity * size + pixel, bins, count)
    grids = np.zeros((count, *state.grid.shape), state.grid.dtype)
    grids[0] = state.grid
    flat = grids.reshape(-1)
    place = bins * state.grid.size + pixel
    if binning.kind == "voxel":
        assert state.start_us is not None
        since = events["t"] - (state.start_us + (state.bin + bins) * binning.bin_us)
        moment, rest = np.divmod(since * (binning.voxel_moments - 1), binning.bin_us)
        place += moment * size
        sign = polarity * 2 - 1
        np.add.at(flat, place, sign * (binning.bin_us - rest))
        np.add.at(flat, place + size, sign * rest)
    else:
        np.add.at(flat, place + polarity * size, 1)
    return grids


def _last_times(
    before: np.ndarray, t: np.ndarray, place: np.ndarray, bins: np.ndarray, count: int
) -> np.ndarray:
    """The time of each pixel's last event at the end of each bin. -> (T + 1, 2, H, W) int64."""
    grids = np.empty((count, *before.shape), np.int64)
    edges = np.searchsorted(bins, np.arange(count + 1))
    for index in range(count):
        grids[index] = before
        part = slice(edges[index], edges[index + 1])
        # In order of time, and of what is assigned twice the last stays.
        grids[index].reshape(-1)[place[part]] = t[part]
        before = grids[index]
    return grids


def _frames(binning: Binning, grids: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """What bins look like once they are over. grids: (T, C, H, W), ends: (T,) -> (T, C, H, W)"""
    if binning.kind == "counts":
        return grids
    if binning.kind == "binary":
        return (grids > 0).astype(np.uint8)
    if binning.kind == "voxel":
        return np.divide(grids, np.float32(binning.bin_us), dtype=np.float32, casting="same_kind")
    age = (ends[:, None, None, None] - grids) / binning.tau_us
    return np.exp(-age.astype(np.float32))


def _no_bins(binning: Binning) -> Bins:
    shape = (0, binning.channels, binning.height, binning.width)
    none = np.empty(0, np.int64)
    return Bins(np.empty(shape, binning.frame_type), none, binning.bin_us, none, none)
