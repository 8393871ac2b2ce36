"""What a simulated animal does in each sleep state, as a list of events on a time axis.

Every change of state is marked by an event that one can see. Between events NREM, REM and quiet
wakefulness look the same: a lying, breathing animal. Whoever remembers the last mark, possibly
minutes old, knows the state; an 8-s clip mostly does not.

===========  =========  ====================================================================
event        state      what is seen
===========  =========  ====================================================================
wake_onset   wake       2 s, opens wake: the head comes up
look         wake       the head is up and turns; the animal may roll over
walk         wake       the animal gets up, walks to another place and lies down there
quiet        wake       5-30 s, the head drops at once and rests: looks like sleep, but is not
settle       NREM       3 s, opens NREM after wake: the body rocks while the head sinks
sigh         NREM       2 s, opens NREM after REM: one very deep breath
startle      NREM       one isolated twitch burst; rare, to mislead
rem_onset    REM        2.5 s, opens REM: the limbs stretch out and relax, with twitches
twitch       REM        0.4-1 s bursts of jerking ears, limbs, snout, two to four in a row;
                        then tonic REM without any, for an exponential time
visitor      any        5-9 s, another animal passes by
===========  =========  ====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vigilia.errors import OptionError

__all__ = ["MARKS", "PenEvent", "PenRecording", "clip_ambiguity", "plan_pen", "state_by_marks"]

MARKS = {
    "wake_onset": "wake",
    "look": "wake",
    "walk": "wake",
    "settle": "NREM",
    "sigh": "NREM",
    "rem_onset": "REM",
    "twitch": "REM",
}
"""Events that tell the state, and which."""

SLEEP_EVENTS = ("settle", "sigh", "startle", "rem_onset", "twitch")
WAKE_ONSET_SECONDS = 2.0
SETTLE_SECONDS = 3.0
SIGH_SECONDS = 2.0
REM_ONSET_SECONDS = 2.5
# With exponential tonic stretches of mean m and clusters of about 4 s, m exp(-8 / m) / (m + 4) of
# the 8-s windows hold no twitch: three quarters at 45 s, and still most where bouts are short.
TONIC_MEAN_SECONDS = 45.0
STARTLE_MEAN_SECONDS = 90.0
VISITOR_MEAN_SECONDS = 240.0


@dataclass(frozen=True)
class PenEvent:
    """Something that happens in the pen, from start (included) to end (excluded)."""

    start_seconds: float
    end_seconds: float
    name: str


@dataclass(frozen=True)
class PenRecording:
    """The script of a simulated recording; `vigilia.simulate.draw_pen` turns it into frames.

    Attributes:
        states: `(start_seconds, end_seconds, state)`, adjoining, from 0 to `seconds`.
        events: what happens, by start time.
        seconds: length.
        fps: frames per second.
        size: height and width in pixels.
        seed: of everything that is drawn by chance.
    """

    states: tuple[tuple[float, float, str], ...]
    events: tuple[PenEvent, ...]
    seconds: float
    fps: float
    size: tuple[int, int]
    seed: int


def plan_pen(
    states: Sequence[tuple[float, float, str]],
    *,
    seconds: float,
    fps: float = 8.0,
    size: tuple[int, int] = (128, 128),
    seed: int,
) -> PenRecording:
    """Decides what the animal does, given its states.

    The first bout opens without a mark, as any recording does.

    Args:
        states: as `sample_hypnogram` returns them, from 0 to at least `seconds`; cut there.
        seconds: length of the recording.
        fps: frames per second, at least 3.
        size: height and width in pixels, even, 64 or more.
        seed: the same seed gives the same plan.

    Raises:
        OptionError: states have a hole or an unknown name, or another argument cannot work.
    """
    if not 0 < seconds < float("inf"):
        raise OptionError(f"seconds must be positive and finite, got {seconds}")
    if not 3 <= fps < float("inf"):
        raise OptionError(f"fps must be at least 3, or twitches fall between frames; got {fps}")
    if min(size) < 64 or size[0] % 2 or size[1] % 2:
        raise OptionError(f"size must be (height, width), even and 64 or more, got {size}")
    bouts = [(float(a), min(float(b), seconds), state) for a, b, state in states if a < seconds]
    edges = [0.0, *(b for _, b, _ in bouts)]
    if [a for a, _, _ in bouts] != edges[:-1] or edges[-1] < seconds:
        raise OptionError(f"states must adjoin and cover 0 to {seconds:g} s; got a hole or overlap")
    generator = np.random.default_rng([seed, 1])
    events: list[PenEvent] = []
    previous: str | None = None
    for start, end, state in bouts:
        if state == "wake":
            events += _wake(start, end, previous, generator)
        elif state == "NREM":
            events += _nrem(start, end, previous, generator)
        elif state == "REM":
            events += _rem(start, end, previous, generator)
        else:
            raise OptionError(f"state must be wake, NREM or REM, got {state!r}")
        previous = state
    now = generator.exponential(VISITOR_MEAN_SECONDS)
    while now < seconds:
        duration = generator.uniform(5.0, 9.0)
        events.append(PenEvent(now, min(now + duration, seconds), "visitor"))
        now += duration + generator.exponential(VISITOR_MEAN_SECONDS)
    return PenRecording(
        states=tuple(bouts),
        events=tuple(sorted(events, key=lambda event: event.start_seconds)),
        seconds=float(seconds),
        fps=float(fps),
        size=(int(size[0]), int(size[1])),
        seed=int(seed),
    )


def _wake(
    start: float, end: float, previous: str | None, generator: np.random.Generator
) -> list[PenEvent]:
    events = []
    now = start
    if previous is not None:
        now = min(start + WAKE_ONSET_SECONDS, end)
        events.append(PenEvent(start, now, "wake_onset"))
    quiet_allowed = False
    while now < end:
        choice = generator.random()
        remaining = end - now
        # Walks and quiet stretches end with the animal lying, head up, before sleep may come.
        if choice < 0.35 and remaining > 20.0:
            duration, name = generator.uniform(6.0, 12.0), "walk"
        elif choice < 0.65 and remaining > 12.0 and quiet_allowed:
            duration, name = generator.uniform(5.0, min(30.0, remaining - 6.0)), "quiet"
        else:
            duration, name = generator.uniform(4.0, 14.0), "look"
        quiet_allowed = name != "quiet"
        events.append(PenEvent(now, min(now + duration, end), name))
        now += duration
    return events


def _nrem(
    start: float, end: float, previous: str | None, generator: np.random.Generator
) -> list[PenEvent]:
    events = []
    now = start
    if previous is not None:
        name, duration = (
            ("settle", SETTLE_SECONDS) if previous == "wake" else ("sigh", SIGH_SECONDS)
        )
        now = min(start + duration, end)
        events.append(PenEvent(start, now, name))
    now += generator.exponential(STARTLE_MEAN_SECONDS)
    while now + 1.0 < end:
        duration = generator.uniform(0.4, 1.0)
        events.append(PenEvent(now, now + duration, "startle"))
        now += duration + generator.exponential(STARTLE_MEAN_SECONDS)
    return events


def _rem(
    start: float, end: float, previous: str | None, generator: np.random.Generator
) -> list[PenEvent]:
    events = []
    now = start
    if previous is not None:
        now = min(start + REM_ONSET_SECONDS, end)
        events.append(PenEvent(start, now, "rem_onset"))
    now += generator.exponential(TONIC_MEAN_SECONDS)
    while now < end:
        for _ in range(generator.integers(2, 5)):
            duration = generator.uniform(0.4, 1.0)
            if now + duration < end:
                events.append(PenEvent(now, now + duration, "twitch"))
            now += duration + generator.uniform(0.4, 1.2)
        now += generator.exponential(TONIC_MEAN_SECONDS)
    return events


def state_by_marks(recording: PenRecording, seconds: float) -> str | None:
    """The state according to the last mark that began by then: what a perfect memory knows.

    Returns None before the first mark.
    """
    known = None
    for event in recording.events:
        if event.start_seconds > seconds:
            break
        known = MARKS.get(event.name, known)
    return known


def clip_ambiguity(
    recording: PenRecording,
    clip_seconds: float = 8.0,
    states: Sequence[str] = ("NREM", "REM"),
) -> float:
    """The share of clips within sleep that show nothing but a lying, breathing animal.

    Of all windows that lie wholly within one bout of the given states, measured over every
    position, not on a grid: the share that overlaps no settling, sigh, startle, REM onset or
    twitch. Such windows look the same in NREM and REM. (A startle misleads rather than tells; its
    windows count as telling, so the figure is a lower bound.)

    Returns:
        0 to 1; NaN when no such window exists.
    """
    possible = free = 0.0
    for start, end, state in recording.states:
        if state not in states:
            continue
        possible += max(0.0, end - start - clip_seconds)
        inside = [
            event
            for event in recording.events
            if event.name in SLEEP_EVENTS and start <= event.start_seconds < end
        ]
        edges = [(start, start), *((e.start_seconds, e.end_seconds) for e in inside), (end, end)]
        free += sum(max(0.0, b[0] - a[1] - clip_seconds) for a, b in pairwise(edges))
    return free / possible if possible > 0 else float("nan")
