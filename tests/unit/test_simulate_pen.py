"""The simulated pen: what tells the state, what does not, and whether it can be seen."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from vigilia.errors import OptionError
from vigilia.simulate import (
    PenEvent,
    PenRecording,
    clip_ambiguity,
    draw_pen,
    plan_pen,
    plan_recording,
    render_pen,
    state_by_marks,
)

STATES = [
    (0.0, 20.0, "wake"),
    (20.0, 160.0, "NREM"),
    (160.0, 310.0, "REM"),
    (310.0, 450.0, "NREM"),
    (450.0, 600.0, "REM"),
]
FPS = 4.0


@cache
def drawn(seed: int) -> tuple[PenRecording, np.ndarray]:
    """A recording and its grey frames (T, 64, 64), halved by area averaging."""
    recording = plan_pen(STATES, seconds=600.0, fps=FPS, seed=seed)
    grey = [frame.mean(axis=-1, dtype=np.float32) for frame, _ in draw_pen(recording)]
    return recording, np.stack([g.reshape(64, 2, 64, 2).mean(axis=(1, 3)) for g in grey])


def moved(frames: np.ndarray) -> np.ndarray:
    """Mean of the 20 largest changes between neighbouring frames (T - 1,)."""
    changes = np.abs(np.diff(frames, axis=0)).reshape(len(frames) - 1, -1)
    return np.partition(changes, -20, axis=1)[:, -20:].mean(axis=1)


def auc(positive: np.ndarray, negative: np.ndarray) -> float:
    return float((positive[:, None] > negative[None, :]).mean())


def idle_frames(recording: PenRecording, frames: int) -> np.ndarray:
    """Whether nothing happens at or shortly before a frame (T,)."""
    idle = np.ones(frames, bool)
    for event in recording.events:
        first, last = int(event.start_seconds * FPS) - 1, int(event.end_seconds * FPS) + 4
        idle[max(0, first) : last] = False
    return idle


@pytest.mark.parametrize("seed", [0, 1])
def test_every_event_stands_out_at_64_pixels_and_4_frames_a_second(seed: int) -> None:
    recording, frames = drawn(seed)
    motion = moved(frames)
    calm = motion[idle_frames(recording, len(frames))[1:]]
    seen = set()
    for event in recording.events:
        if event.name in ("look", "visitor"):
            continue
        seen.add(event.name)
        first = int(np.ceil(event.start_seconds * FPS)) - 1
        last = int(np.ceil(event.end_seconds * FPS)) + 1
        assert motion[first:last].max() > 1.3 * calm.max(), event
    assert {"settle", "rem_onset", "sigh", "twitch", "startle"} <= seen


def test_windows_without_events_do_not_tell_rem_from_nrem() -> None:
    features: dict[str, list[tuple[float, float, float]]] = {"NREM": [], "REM": []}
    for seed in (0, 1):
        recording, frames = drawn(seed)
        idle = idle_frames(recording, len(frames))
        motion = moved(frames)
        for start, end, state in STATES[1:]:
            for first in range(int(start * FPS), int(end * FPS) - 32, 32):
                window = frames[first : first + 32]
                if idle[first : first + 32].all():
                    features[state].append(
                        (
                            float(np.abs(np.diff(window, axis=0)).mean()),
                            float(window.std(axis=0).mean()),
                            float(motion[first : first + 31].max()),
                        )
                    )
    nrem, rem = np.array(features["NREM"]), np.array(features["REM"])
    assert min(len(nrem), len(rem)) >= 25
    for column in range(3):
        # Three standard errors of the area under the curve at these numbers of windows.
        assert abs(auc(rem[:, column], nrem[:, column]) - 0.5) < 0.25


def test_between_events_the_state_does_not_enter_the_picture() -> None:
    quiet = PenRecording(
        states=((0.0, 4.0, "NREM"),), events=(), seconds=4.0, fps=4.0, size=(128, 128), seed=5
    )
    pictures = [
        np.stack([frame for frame, _ in draw_pen(replace(quiet, states=((0.0, 4.0, state),)))])
        for state in ("NREM", "REM", "wake")
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    np.testing.assert_array_equal(pictures[0], pictures[2])


def test_an_event_changes_no_frame_before_it() -> None:
    empty = PenRecording(
        states=((0.0, 6.0, "REM"),), events=(), seconds=6.0, fps=8.0, size=(96, 128), seed=5
    )
    before = np.stack([frame for frame, _ in draw_pen(empty)])
    for name in ("settle", "rem_onset", "sigh", "twitch", "walk", "wake_onset", "visitor"):
        event = PenEvent(3.0, 5.5, name)
        frames = np.stack([frame for frame, _ in draw_pen(replace(empty, events=(event,)))])
        np.testing.assert_array_equal(frames[:24], before[:24])
        assert (frames[24:] != before[24:]).any(), name


def test_breathing_is_visible_at_its_rate() -> None:
    resting = PenRecording(
        states=((0.0, 60.0, "NREM"),), events=(), seconds=60.0, fps=4.0, size=(128, 128), seed=2
    )
    frames = np.stack([frame.mean(axis=-1, dtype=np.float32) for frame, _ in draw_pen(resting)])
    pixels = frames.reshape(len(frames), -1)
    time_courses = np.linalg.svd(pixels - pixels.mean(axis=0), full_matrices=False)[0][:, :3]
    spectrum = (np.abs(np.fft.rfft(time_courses, axis=0)) ** 2).sum(axis=1)
    rates = np.fft.rfftfreq(len(frames), 0.25)
    assert 0.23 <= rates[np.argmax(np.where(rates > 0.1, spectrum, 0.0))] <= 0.42


def test_the_last_mark_tells_the_state_at_every_moment() -> None:
    for seed in range(10):
        recording = plan_recording(seconds=1800.0, seed=seed)
        for start, end, state in recording.states:
            for moment in np.random.default_rng(seed).uniform(start, end, 5):
                assert state_by_marks(recording, float(moment)) == state
    assert state_by_marks(plan_pen([(0, 9, "NREM")], seconds=9.0, seed=0), 5.0) is None


def test_most_clips_within_sleep_look_alike() -> None:
    recordings = [plan_recording(seconds=1800.0, seed=seed) for seed in range(30)]
    for states in (("REM",), ("NREM",), ("NREM", "REM")):
        shares = [clip_ambiguity(recording, states=states) for recording in recordings]
        assert 0.5 <= np.nanmean(shares) < 0.99


def test_ambiguity_of_one_twitch_in_the_middle_of_a_bout() -> None:
    recording = PenRecording(
        states=((0.0, 4.0, "wake"), (4.0, 25.0, "REM")),
        events=(PenEvent(0.0, 4.0, "look"), PenEvent(14.0, 15.0, "twitch")),
        seconds=25.0,
        fps=8.0,
        size=(128, 128),
        seed=0,
    )
    # 13 s of window positions; 2 s before the twitch and 2 s after it are free of it.
    assert clip_ambiguity(recording, 8.0) == pytest.approx(4.0 / 13.0)
    assert np.isnan(clip_ambiguity(recording, 8.0, states=("NREM",)))


@pytest.mark.parametrize("seed", range(5))
def test_events_lie_within_bouts_of_their_state(seed: int) -> None:
    recording = plan_recording(seconds=1800.0, seed=seed)
    belongs = {
        **dict.fromkeys(("wake_onset", "look", "walk", "quiet"), "wake"),
        **dict.fromkeys(("settle", "sigh", "startle"), "NREM"),
        **dict.fromkeys(("rem_onset", "twitch"), "REM"),
    }
    for event in recording.events:
        if event.name == "visitor":
            continue
        assert any(
            start <= event.start_seconds < event.end_seconds <= end and state == belongs[event.name]
            for start, end, state in recording.states
        ), event


def test_light_does_not_follow_the_state() -> None:
    calm = PenRecording(
        states=((0.0, 600.0, "NREM"),), events=(), seconds=600.0, fps=3.0, size=(64, 64), seed=0
    )
    brightness = np.array([frame.mean() for frame, _ in draw_pen(calm)])
    assert np.ptp(brightness) > 15.0
    assert np.abs(np.diff(brightness)).max() < 2.0


def test_frames_repeat_for_a_seed_and_carry_their_times() -> None:
    states = [(0.0, 3.0, "wake"), (3.0, 5.0, "NREM")]
    first = list(render_pen(states, seconds=5.0, size=(64, 96), seed=3))
    again = list(render_pen(states, seconds=5.0, size=(64, 96), seed=3))
    other = list(render_pen(states, seconds=5.0, size=(64, 96), seed=4))
    assert len(first) == 40
    assert [seconds for _, seconds in first[:3]] == [0.0, 0.125, 0.25]
    assert all(f.shape == (64, 96, 3) and f.dtype == np.uint8 for f, _ in first)
    assert all((a[0] == b[0]).all() for a, b in zip(first, again, strict=True))
    assert any((a[0] != b[0]).any() for a, b in zip(first, other, strict=True))


def test_what_cannot_work_is_refused_with_a_reason() -> None:
    with pytest.raises(OptionError, match="hole or overlap"):
        plan_pen([(0.0, 4.0, "wake"), (5.0, 9.0, "NREM")], seconds=9.0, seed=0)
    with pytest.raises(OptionError, match="cover 0 to 9 s"):
        plan_pen([(0.0, 4.0, "wake")], seconds=9.0, seed=0)
    with pytest.raises(OptionError, match="wake, NREM or REM"):
        plan_pen([(0.0, 9.0, "doze")], seconds=9.0, seed=0)
    with pytest.raises(OptionError, match="at least 3"):
        plan_pen([(0.0, 9.0, "wake")], seconds=9.0, fps=1.0, seed=0)
    with pytest.raises(OptionError, match="even and 64 or more"):
        plan_pen([(0.0, 9.0, "wake")], seconds=9.0, size=(65, 64), seed=0)
    with pytest.raises(OptionError, match="seconds must be positive"):
        plan_pen([(0.0, 9.0, "wake")], seconds=-1.0, seed=0)
