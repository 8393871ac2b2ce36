"""How far behind a stream is: the last lags, in a ring of a fixed size."""

from __future__ import annotations

import numpy as np

__all__ = ["LagMeter"]


class LagMeter:
    """Seconds from a clip's last frame to its result, of the last `size` results."""

    def __init__(self, size: int = 128) -> None:
        self._ring = np.zeros(size)
        self._count = 0

    def add(self, seconds: float) -> None:
        """Notes one lag; the oldest makes room."""
        self._ring[self._count % len(self._ring)] = seconds
        self._count += 1

    @property
    def values(self) -> np.ndarray:
        """The lags that are kept, in no order."""
        return self._ring[: min(self._count, len(self._ring))]

    @property
    def last_seconds(self) -> float:
        """The newest; 0 before the first."""
        return float(self._ring[(self._count - 1) % len(self._ring)]) if self._count else 0.0

    def quantile(self, share: float) -> float:
        """What `share` of the kept lags do not exceed; 0 before the first."""
        return float(np.quantile(self.values, share)) if self._count else 0.0
