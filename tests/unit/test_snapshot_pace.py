"""How often states are saved: every minute if they are little, what a disk bears if not."""

from __future__ import annotations

import numpy as np

from vigilia.serving.snapshot_pace import (
    BYTES_A_SECOND,
    LEAST_SECONDS,
    MOST_SECONDS,
    snapshot_pace,
)


def test_little_states_are_saved_every_minute_and_large_ones_as_often_as_a_disk_bears() -> None:
    assert snapshot_pace(8, 300_000) == 60.0, "the pen's model"
    assert snapshot_pace(10, 34_600_000) == 86.5, "ten of swin3d_t"
    assert snapshot_pace(16, 80_400_000) == 321.6, "sixteen incremental ones"
    assert snapshot_pace(1000, 34_600_000) == 600.0
    assert snapshot_pace(0, 34_600_000) == 60.0


def test_no_more_is_written_than_the_disk_is_given_for_unless_ten_minutes_would_pass() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        streams, nbytes = int(random.integers(1, 2000)), int(10 ** random.uniform(3, 8.5))
        pace = snapshot_pace(streams, nbytes)
        assert LEAST_SECONDS <= pace <= MOST_SECONDS
        if pace < MOST_SECONDS:
            assert streams * nbytes / pace <= BYTES_A_SECOND * (1 + 1e-9)
