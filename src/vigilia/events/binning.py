"""Events become frames by time: bins of a fixed length, each known as soon as it is over.

Bin k covers [start + k * length, start + (k + 1) * length), start being the first event's time
unless given. A bin holds nothing from after its end, its length does not depend on the recording,
and the same events in any pieces give the same bins bit for bit: all sums are of whole numbers.

    counts   (2, H, W) int32      how many OFF and ON events
    binary   (2, H, W) uint8      whether there was one
    voxel    (V, H, W) float32    signed events, shared between the two nearest of V moments from
                                  the bin's beginning to its end (Zhu, Yuan, Chaney, Daniilidis,
                                  "Unsupervised event-based learning of optical flow, depth, and
                                  egomotion", 2019)
    surface  (2, H, W) float32    exp(-(end - last event) / tau), 0 where there was none (Lagorce,
                                  Orchard, Galluppi, Shi, Benosman, "HOTS", 2017)

Letters: N events, T bins, C channels, H W pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vigilia.errors import InputError, OptionError

__all__ = ["BinState", "Binning", "Bins", "bin_events", "finish_bins", "push_events"]

Kind = Literal["counts", "binary", "voxel", "surface"]
KINDS = ("counts", "binary", "voxel", "surface")
MOST_BLOCK_BYTES = 1 << 24
NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Binning:
    """How events become bins.

    Attributes:
        width: W of the sensor.
        height: H of the sensor.
        bin_us: length of a bin, in microseconds.
        kind: "counts", "binary", "voxel" or "surface".
        voxel_moments: V of a voxel grid.
        tau_us: time constant of a surface, in microseconds.
        start_us: where bin 0 begins; None for the first event's time. Earlier events are dropped.
        most_events: of a bin; later ones are dropped and counted. Noise that floods the bus
            costs no more than this.

    Raises:
        OptionError: a value cannot work.
    """

    width: int
    height: int
    bin_us: int = 20_000
    kind: Kind = "counts"
    voxel_moments: int = 5
    tau_us: int = 50_000
    start_us: int | None = None
    most_events: int = 10_000_000

    def __post_init__(self) -> None:
        for name in ("width", "height", "bin_us", "tau_us", "most_events"):
            value = getattr(self, name)
            if not isinstance(value, (int, np.integer)) or value < 1:
                raise OptionError(f"{name} must be a whole number of at least 1, got {value}")
        if self.kind not in KINDS:
            raise OptionError(f"there is no kind '{self.kind}'; choose one of {', '.join(KINDS)}")
        if self.most_events > np.iinfo(np.int32).max:
            raise OptionError(f"most_events must be below 2**31, got {self.most_events}")
        if self.voxel_moments < 2:
            raise OptionError(f"voxel_moments must be at least 2, got {self.voxel_moments}")

    @property
    def channels(self) -> int:
        """C of a bin."""
        return self.voxel_moments if self.kind == "voxel" else 2

    @property
    def frame_type(self) -> type:
        """Type of a bin's values."""
        return {"counts": np.int32, "binary": np.uint8}.get(self.kind, np.float32)

    @property
    def _sum_type(self) -> type:
        return np.int32 if self.kind in ("counts", "binary") else np.int64

    @property
    def init_state(self) -> BinState:
        """The state before the first event."""
        shape = (self.channels, self.height, self.width)
        fresh = np.full(shape, NEVER) if self.kind == "surface" else np.zeros(shape, self._sum_type)
        fresh.flags.writeable = False
        return BinState(self.start_us, 0, fresh)


@dataclass(frozen=True, eq=False)
class BinState:
    """What binning remembers between two pieces of a stream. Of one size throughout.

    Attributes:
        start_us: where bin 0 begins; None until the first event, if it was not given.
        bin: number of the bin under way.
        grid: (C, H, W): its sums so far, int32, of a voxel grid int64 in parts of `bin_us`; of a
            surface the time of the last event, int64.
        events: how many it holds.
        dropped: events left out of it.
    """

    start_us: int | None
    bin: int
    grid: np.ndarray
    events: int = 0
    dropped: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the grid."""
        return self.grid.nbytes


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins that are over, in order, without a hole between them.

    Attributes:
        frames: (T, C, H, W), as the module's docstring says.
        start_us: (T,) int64, where each begins, in microseconds.
        bin_us: length of each.
        events: (T,) int64, how many events each holds.
        dropped: (T,) int64, how many were left out: above `most_events`, or before the start.
    """

    frames: np.ndarray
    start_us: np.ndarray
    bin_us: int
    events: np.ndarray
    dropped: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)

    def __repr__(self) -> str:
        return f"Bins({tuple(self.frames.shape)} {self.frames.dtype}, {self.bin_us} us each)"


def push_events(
    binning: Binning, state: BinState, events: np.ndarray
) -> tuple[BinState, Bins, np.ndarray]:
    """Adds events; returns the bins that are over.

    At most 16 MB of bins come from one call, so a pause of hours does not fill the memory: push
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
    done: list[tuple[np.ndarray, int, int]] = []
    first_bin = state.bin
    if not len(events):
        return state, _bins(binning, state, first_bin, done), events
    _check(binning, state, events)
    origin = int(events["t"][0]) if state.start_us is None else state.start_us
    state = replace(state, start_us=origin)
    frame_bytes = binning.channels * binning.height * binning.width * 4
    most_bins = max(1, MOST_BLOCK_BYTES // frame_bytes)
    early = int(np.searchsorted(events["t"], origin))
    if early:
        state, events = replace(state, dropped=state.dropped + early), events[early:]
    while len(events):
        end = origin + (state.bin + 1) * binning.bin_us
        count = int(np.searchsorted(events["t"], end))
        state = _add(binning, state, events[:count])
        events = events[count:]
        if len(events):
            if len(done) == most_bins:
                break
            frame, numbers = _frame(binning, state), (state.events, state.dropped)
            done.append((frame, *numbers))
            state = _next(binning, state)
    return state, _bins(binning, state, first_bin, done), events


def finish_bins(binning: Binning, state: BinState) -> tuple[BinState, Bins]:
    """Ends the bin under way, if there was any event: the last of a recording."""
    if state.start_us is None:
        return state, _bins(binning, state, state.bin, [])
    done = [(_frame(binning, state), state.events, state.dropped)]
    return _next(binning, state), _bins(binning, state, state.bin, done)


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


def _add(binning: Binning, state: BinState, events: np.ndarray) -> BinState:
    room = max(0, binning.most_events - state.events)
    dropped = max(0, len(events) - room)
    events = events[:room]
    if not len(events):
        return replace(state, dropped=state.dropped + dropped)
    grid = state.grid.copy()
    flat = grid.reshape(-1)
    assert state.start_us is not None
    pixel = events["y"].astype(np.int64) * binning.width + events["x"]
    size = binning.height * binning.width
    if binning.kind == "surface":
        # In order of time, and of what is assigned twice the last stays.
        flat[events["p"] * np.int64(size) + pixel] = events["t"]
    elif binning.kind == "voxel":
        since = events["t"] - (state.start_us + state.bin * binning.bin_us)
        moment, rest = np.divmod(since * (binning.voxel_moments - 1), binning.bin_us)
        sign = events["p"].astype(np.int64) * 2 - 1
        place = moment * size + pixel
        np.add.at(flat, place, sign * (binning.bin_us - rest))
        np.add.at(flat, place + size, sign * rest)
    else:
        place = events["p"] * np.int64(size) + pixel
        if len(events) * 8 < flat.size:
            np.add.at(flat, place, 1)
        else:
            flat += np.bincount(place, minlength=flat.size)
    grid.flags.writeable = False
    return replace(
        state, grid=grid, events=state.events + len(events), dropped=state.dropped + dropped
    )


def _frame(binning: Binning, state: BinState) -> np.ndarray:
    """What the bin under way looks like now that it is over. -> (C, H, W)"""
    if binning.kind == "counts":
        return state.grid
    if binning.kind == "binary":
        return (state.grid > 0).astype(np.uint8)
    if binning.kind == "voxel":
        return (state.grid / binning.bin_us).astype(np.float32)
    assert state.start_us is not None
    end = state.start_us + (state.bin + 1) * binning.bin_us
    seen = state.grid != NEVER
    age = np.where(seen, end - np.where(seen, state.grid, end), 0)
    return np.where(seen, np.exp(-age / binning.tau_us), 0.0).astype(np.float32)


def _next(binning: Binning, state: BinState) -> BinState:
    grid = state.grid
    if binning.kind != "surface" and state.events:
        grid = binning.init_state.grid
    return BinState(state.start_us, state.bin + 1, grid)


def _bins(
    binning: Binning, state: BinState, first: int, done: list[tuple[np.ndarray, int, int]]
) -> Bins:
    shape = (binning.channels, binning.height, binning.width)
    frames: np.ndarray = np.empty((len(done), *shape), binning.frame_type)
    for index, (frame, _, _) in enumerate(done):
        frames[index] = frame
    start = 0 if state.start_us is None else state.start_us
    starts = start + (first + np.arange(len(done), dtype=np.int64)) * binning.bin_us
    events = np.array([count for _, count, _ in done], np.int64)
    dropped = np.array([count for _, _, count in done], np.int64)
    return Bins(frames, starts, binning.bin_us, events, dropped)
