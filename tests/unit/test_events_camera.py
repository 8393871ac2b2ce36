"""The simulated event camera: thresholds, times, noise, blindness, and its state as a value."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from vigilia.errors import InputError, OptionError
from vigilia.events import EventCamera, expose, simulate_events
from vigilia.events.camera import _awake, log_brightness
from vigilia.video import Frame

QUIET = {"mismatch": 0.0, "leak_hz": 0.0, "shot_noise_hz": 0.0, "refractory_us": 0}


def film(seed: int, count: int = 12, size: tuple[int, int] = (10, 14)) -> list[Frame]:
    """Noise that changes from frame to frame, 25 a second."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 256, (count, *size, 3), np.uint8)
    return [Frame(picture, index / 25) for index, picture in enumerate(pictures)]


def grey(level: float, size: tuple[int, int] = (2, 3)) -> np.ndarray:
    return np.full(size, level, np.float32)


def test_a_pixel_fires_once_for_every_threshold_it_passes_at_the_time_it_passes() -> None:
    camera = EventCamera(1, 1, on_threshold=0.25, off_threshold=0.5, **QUIET)
    state, none = expose(camera, camera.init_state, grey(100, (1, 1)), 1_000_000)
    assert len(none) == 0
    # ln(200 / 100) = 0.693: at 0.25 and 0.5 of the way up, 0.193 is kept
    state, up = expose(camera, state, grey(200, (1, 1)), 1_100_000)
    times = [1_000_000 + np.ceil(100_000 * level / np.log(2)) for level in (0.25, 0.5)]
    assert up["t"].tolist() == pytest.approx(times, abs=2)
    assert up["p"].tolist() == [1, 1]
    # down by 0.693 from 0.193 above the reference: to 0.5 below it, just there
    state, down = expose(camera, state, grey(99.9, (1, 1)), 1_200_000)
    assert down["p"].tolist() == [0]
    assert down["t"][0] == pytest.approx(1_200_000, abs=200)


def test_a_threshold_that_rounding_left_unpassed_is_passed_at_once() -> None:
    camera = EventCamera(1, 1, on_threshold=0.25, off_threshold=0.25, **QUIET)
    state, _ = expose(camera, camera.init_state, grey(100, (1, 1)), 0)
    behind = dataclasses.replace(state, reference=state.brightness - state.on_threshold)
    with np.errstate(all="raise"):
        after, events = expose(camera, behind, grey(100, (1, 1)), 100_000)
    assert events.tolist() == [(1, 0, 0, 1)]
    assert after.reference == state.reference


@pytest.mark.parametrize("seed", range(4))
def test_the_events_of_a_pixel_add_up_to_its_change(seed: int) -> None:
    camera = EventCamera(14, 10, on_threshold=0.2, off_threshold=0.3, **QUIET)
    frames = film(seed)
    state, net = camera.init_state, np.zeros((2, 10, 14))
    for frame in frames:
        state, events = expose(camera, state, frame.pixels, round(frame.seconds * 1e6))
        np.add.at(net, (events["p"], events["y"], events["x"]), 1)
    change = log_brightness(frames[-1].pixels) - log_brightness(frames[0].pixels)
    left = change - 0.2 * net[1] + 0.3 * net[0]
    assert (left < 0.2 + 1e-4).all()
    assert (left > -0.3 - 1e-4).all()
    assert net.sum() > 1000


def test_events_come_in_order_and_after_the_frame_before() -> None:
    camera = EventCamera(14, 10, shot_noise_hz=50.0)
    state, before = camera.init_state, -1
    for frame in film(2):
        t = round(frame.seconds * 1e6)
        state, events = expose(camera, state, frame.pixels, t)
        if len(events):
            assert before < events["t"][0]
            assert events["t"][-1] <= t
            assert (np.diff(events["t"]) >= 0).all()
        before = t


def test_a_resumed_camera_goes_on_bit_for_bit() -> None:
    frames = film(3)
    camera = EventCamera(14, 10, shot_noise_hz=30.0, leak_hz=5.0, seed=7)
    whole = np.concatenate(list(simulate_events(frames, camera)))
    state, pieces = camera.init_state, []
    size = state.nbytes
    for index, frame in enumerate(frames):
        if index == 5:  # as if saved and loaded
            arrays = {
                k: v.copy() if isinstance(v, np.ndarray) else v for k, v in vars(state).items()
            }
            state = type(state)(**arrays)
        once_more = state
        state, events = expose(camera, state, frame.pixels, round(frame.seconds * 1e6))
        _, again = expose(camera, once_more, frame.pixels, round(frame.seconds * 1e6))
        assert np.array_equal(events, again)
        pieces.append(events)
    assert np.array_equal(np.concatenate(pieces), whole)
    assert state.nbytes == size
    other = np.concatenate(list(simulate_events(frames, EventCamera(14, 10, seed=8))))
    assert not np.array_equal(whole, other)


def test_nothing_happens_where_nothing_changes_but_leak_and_noise() -> None:
    still = [Frame(np.full((40, 50, 3), 30, np.uint8), k / 10) for k in range(21)]
    assert list(simulate_events(still, EventCamera(50, 40, **QUIET))) == []
    leaky = EventCamera(50, 40, **QUIET | {"leak_hz": 4.2})
    leak = np.concatenate(list(simulate_events(still, leaky)))
    assert (leak["p"] == 1).all()
    assert len(leak) == 2000 * 8  # 4.2 a second of each pixel, in two seconds
    noisy = EventCamera(50, 40, **QUIET | {"shot_noise_hz": 4.0})
    noise = np.concatenate(list(simulate_events(still, noisy)))
    assert 0.4 < noise["p"].mean() < 0.6
    dimmed = 1 - 0.75 * 30 / 255
    assert len(noise) == pytest.approx(2000 * 2 * 4 * dimmed, rel=0.05)


def test_thresholds_differ_from_pixel_to_pixel() -> None:
    state = EventCamera(200, 100, mismatch=0.05).init_state
    for thresholds in (state.on_threshold, state.off_threshold):
        assert thresholds.mean() == pytest.approx(0.2, abs=0.005)
        assert thresholds.std() == pytest.approx(0.05, rel=0.05)
    assert not np.array_equal(state.on_threshold, state.off_threshold)


@pytest.mark.parametrize("seed", range(6))
def test_a_pixel_is_blind_for_a_while_after_an_event(seed: int) -> None:
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, 3000, 300))
    pixel = random.integers(0, 6, 300)
    last = random.integers(-500, 0, (2, 3))
    kept, after = _awake(t, pixel, last, 200)
    expected, flat = [], last.reshape(-1).copy()
    for moment, place in zip(t.tolist(), pixel.tolist(), strict=True):
        awake = moment - flat[place] >= 200
        expected.append(awake)
        if awake:
            flat[place] = moment
    assert kept.tolist() == expected
    assert np.array_equal(after.reshape(-1), flat)


def test_after_a_hole_the_camera_starts_afresh() -> None:
    camera = EventCamera(3, 2, **QUIET, max_gap_seconds=1.0)
    state, _ = expose(camera, camera.init_state, grey(50), 0)
    state, events = expose(camera, state, grey(250), 1_000_001)
    assert len(events) == 0
    state, events = expose(camera, state, grey(50), 2_000_001)
    assert len(events) > 0


def test_frames_of_another_size_or_out_of_order_are_refused() -> None:
    camera = EventCamera(3, 2)
    with pytest.raises(InputError, match="frames must be 3x2 as the camera, got 2x3"):
        expose(camera, camera.init_state, grey(1, (3, 2)), 0)
    state, _ = expose(camera, camera.init_state, grey(1), 10)
    with pytest.raises(InputError, match="earlier than the one before"):
        expose(camera, state, grey(1), 9)
    _, events = expose(camera, state, grey(200), 10)
    assert (events["t"] == 10).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on_threshold": 0.0}, "on_threshold must be at least 0.01"),
        ({"off_threshold": float("nan")}, "off_threshold must be at least 0.01"),
        ({"mismatch": -1.0}, "mismatch must not be negative"),
        ({"leak_hz": 1e6}, "events a second of one pixel"),
        ({"max_gap_seconds": 0.0}, "max_gap_seconds must lie in"),
    ],
)
def test_properties_that_cannot_be_are_refused(options: dict, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        EventCamera(3, 2, **options)
