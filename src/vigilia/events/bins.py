"""What bins are: frames of events by time, each of a fixed length.

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

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vigilia.errors import OptionError

__all__ = ["NEVER", "BinState", "Binning", "Bins"]

Kind = Literal["counts", "binary", "voxel", "surface"]
KINDS = ("counts", "binary", "voxel", "surface")
MOST_BLOCK_BYTES = 1 << 24
"""Larger ones are taken from the system anew each time, which costs more than all the sums."""
NEVER = -(1 << 62)
"""The time of an event that never was: so long ago that a surface has faded to exactly 0."""


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
    def most_bins(self) -> int:
        """How many bins one call gives at most."""
        grid_bytes = self.channels * self.height * self.width * np.dtype(self._sum_type).itemsize
        return max(1, MOST_BLOCK_BYTES // grid_bytes)

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
