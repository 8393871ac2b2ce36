"""Dynamic sampling: a fixed number of frames, where the picture changes, none of the future."""

from __future__ import annotations

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.relevance import dense_window, frame_changes, spread_by_change, thin_clip
from vigilia.video import Sample
from vigilia.video.clips import Clip, ClipWindow, push_sample


def test_where_nothing_changes_frames_are_spread_evenly() -> None:
    assert spread_by_change(np.zeros(8), 4).tolist() == [1, 3, 5, 7]


def test_where_all_change_lies_at_the_end_so_do_the_frames() -> None:
    changes = np.array([0, 0, 0, 0, 1, 1, 1, 1.0])
    assert spread_by_change(changes, 4, evenness=0).tolist() == [4, 5, 6, 7]
    assert spread_by_change(changes, 4, evenness=1).tolist() == [1, 3, 5, 7]


@pytest.mark.parametrize("seed", range(20))
def test_the_budget_is_kept_and_the_newest_frame_is_there(seed: int) -> None:
    random = np.random.default_rng(seed)
    length = int(random.integers(1, 40))
    count = int(random.integers(1, length + 1))
    changes = random.exponential(size=length) * (random.random(length) < 0.3)
    chosen = spread_by_change(changes, count, evenness=float(random.random()))
    assert len(chosen) == count
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] >= 0
    assert chosen[-1] == length - 1


def test_about_the_same_change_lies_between_neighbours() -> None:
    random = np.random.default_rng(1)
    changes = random.exponential(size=400) * np.repeat([0.1, 2.0, 0.1, 0.5], 100)
    chosen = spread_by_change(changes, 40, evenness=0)
    between = np.diff(np.cumsum(changes)[chosen])
    assert between.max() < 2 * changes.sum() / 40
    assert ((chosen >= 100) & (chosen < 200)).sum() > 25


@pytest.mark.parametrize(
    ("changes", "count", "evenness"),
    [
        (np.zeros(3), 4, 0.5),
        (np.zeros(3), 0, 0.5),
        (np.zeros(3), 2, 1.5),
        (np.array([0.0, -1.0]), 1, 0.5),
        (np.array([0.0, np.nan]), 1, 0.5),
    ],
)
def test_what_cannot_work_is_told(changes: np.ndarray, count: int, evenness: float) -> None:
    with pytest.raises(OptionError):
        spread_by_change(changes, count, evenness=evenness)


def filmed(length: int, moving: range, seed: int = 0) -> np.ndarray:
    """(S, 56, 56, 3) uint8: noise, and a square that jumps about while it moves."""
    random = np.random.default_rng(seed)
    frames = 100 + random.normal(0, 2, (length, 56, 56, 3))
    for index in range(length):
        where = (index - moving.start) * 4 % 40 if index in moving else 0
        frames[index, where : where + 12, 8:20] += 80
    return frames.clip(0, 255).astype(np.uint8)


def test_noise_is_no_change_and_movement_is() -> None:
    changes = frame_changes(filmed(32, range(12, 20)))
    assert changes.shape == (32,)
    still = np.ones(32, bool)
    still[12:21] = False
    assert changes[13:20].min() > 20 * changes[still].max()


def test_a_movement_gets_more_frames_than_even_sampling_gives_it() -> None:
    frames = filmed(64, range(40, 48))
    clip = Clip(frames, 10.0, 12.0)
    thin = thin_clip(clip, 16)
    assert (thin.start_seconds, thin.end_seconds) == (10.0, 12.0)
    assert thin.frames.shape == (16, 56, 56, 3)
    numbers = [int(np.flatnonzero((frames == one).all(axis=(1, 2, 3)))[0]) for one in thin.frames]
    assert numbers == sorted(numbers)
    assert sum(40 <= number <= 48 for number in numbers) >= 6  # evenly it would be two


def test_a_dense_window_labels_the_same_times_and_never_shows_the_future() -> None:
    frames = filmed(96, range(40, 60))
    plain = ClipWindow(clip_frames=8, stride_frames=4, interval_seconds=0.25)
    window = dense_window(plain, 3)
    ends = []
    for index, pixels in enumerate(frames):
        window, clip = push_sample(window, Sample(pixels, index / 12, index / 12))
        if clip is None:
            continue
        assert clip.frames.shape[0] == 24
        thin = thin_clip(clip, 8)
        assert thin.frames.shape[0] == 8
        assert np.array_equal(thin.frames[-1], pixels)  # the newest, and no later one exists yet
        ends.append(clip.end_seconds)
    assert ends == pytest.approx(np.arange(1, 9) * 1.0)
    with pytest.raises(OptionError, match="before pushing"):
        dense_window(window, 2)
    with pytest.raises(OptionError, match="factor"):
        dense_window(plain, 0)
