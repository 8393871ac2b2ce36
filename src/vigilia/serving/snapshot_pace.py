"""How often the states of streams are saved where nobody says it.

A snapshot is for a kill or a power loss only. What an older one costs: a recording computes its
last seconds again, a camera goes on without having them in its memory; the labels are in the
journal either way. What a newer one costs: a state of 30 MB every ten seconds is 260 GB a day, of
one stream, where a solid-state disk of a terabyte is commonly rated for 600 TB written, 330 GB a
day over five years. So all streams together write 4 MB/s at most, but each is saved every ten
minutes at least, and none more often than every minute.
"""

from __future__ import annotations

__all__ = ["LEAST_SECONDS", "MOST_SECONDS", "snapshot_pace"]

BYTES_A_SECOND = 4e6
LEAST_SECONDS = 60.0
MOST_SECONDS = 600.0


def snapshot_pace(streams: int, nbytes: int) -> float:
    """Seconds between two snapshots of a stream.

    Args:
        streams: that are saved to the same disk.
        nbytes: of one of their snapshots.
    """
    return min(MOST_SECONDS, max(LEAST_SECONDS, streams * nbytes / BYTES_A_SECOND))
