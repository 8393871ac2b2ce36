"""Where a sow's body, feet, ears, snout and head are in every frame, worked out from the script.

Lengths and angles are those of `vigilia.simulate.pen`. What must not tell the state does not depend
on it: breathing keeps one slowly wandering rate, postures change only while awake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vigilia.simulate.behaviour import PenEvent, PenRecording

__all__ = ["Floats", "Motion", "move", "wander"]

Floats = NDArray[np.float32]

PARTS = 7
"""What can twitch: the feet (front left, front right, hind left, hind right), ears, the snout."""

# (foot x, foot y) in the body's axes for the four feet.
STERNAL_FEET = ((17.0, 14.0), (17.0, -14.0), (-13.0, 16.0), (-13.0, -16.0))
LEFT_FEET = ((13.0, 25.0), (21.0, 20.0), (-15.0, 26.0), (-23.0, 21.0))
RIGHT_FEET = ((21.0, -20.0), (13.0, -25.0), (-23.0, -21.0), (-15.0, -26.0))
STANDING_FEET = ((14.0, 11.0), (14.0, -11.0), (-15.0, 11.0), (-15.0, -11.0))
LYING_FEET = {0: STERNAL_FEET, 1: LEFT_FEET, 2: RIGHT_FEET}

TWITCH_STEP_SECONDS = 0.25


@dataclass(frozen=True)
class Motion:
    """Where everything is, frame by frame (n frames)."""

    centre: Floats  # (n, 2) x to the right, y down
    heading: Floats  # (n,)
    width: Floats  # (n,) half width of the body, breathing included
    length: Floats  # (n,) half length of the body
    feet: Floats  # (n, 4, 2) in the body's axes
    ears: Floats  # (n, 2) angles added to the resting ears
    head: Floats  # (n,) 0 resting on the ground .. 1 up
    turn: Floats  # (n,) of the head against the body
    snout: Floats  # (n,) sideways jerk of the snout
    visitor: Floats  # (n, 3) x, y, heading; NaN when there is none


def wander(seed: int, stream: int, times: NDArray[np.float64], periods: Sequence[float]) -> Floats:
    """A smooth random curve within -1..1: sinusoids of the given periods in seconds."""
    phases = np.random.default_rng([seed, stream]).uniform(0.0, 2 * np.pi, len(periods))
    waves = [np.sin(2 * np.pi * times / p + q) for p, q in zip(periods, phases, strict=True)]
    return (np.sum(waves, axis=0) / len(periods)).astype(np.float32)


def move(recording: PenRecording, times: NDArray[np.float64], world: tuple[float, float]) -> Motion:
    """Turns the script into positions: piecewise targets, smoothed, plus jerks that are not."""
    generator = np.random.default_rng([recording.seed, 2])
    frames = len(times)
    centre = np.empty((frames, 2))
    heading = np.empty(frames)
    feet = np.empty((frames, 4, 2))
    lateral = np.empty(frames)
    head = np.zeros(frames)
    turn = np.empty(frames)
    standing = np.zeros(frames)
    rocking = np.zeros(frames)
    stretch = np.zeros(frames)
    sigh = np.zeros(frames)
    jerks = np.zeros((frames, PARTS))
    visitor = np.full((frames, 3), np.nan)

    place, direction = _spot(generator, world, None)
    posture, rest_turn = _pose(generator)
    centre[:], heading[:], feet[:] = place, direction, LYING_FEET[posture]
    turn[:], lateral[:] = rest_turn, float(posture != 0)

    def lie_from(first: int) -> None:
        feet[first:] = LYING_FEET[posture]
        lateral[first:] = float(posture != 0)
        turn[first:] = rest_turn

    for event in recording.events:
        first, last = np.searchsorted(times, (event.start_seconds, event.end_seconds))
        if first == last:
            continue
        span = slice(int(first), int(last))
        progress = (times[span] - event.start_seconds) / (event.end_seconds - event.start_seconds)
        bump = 0.5 - 0.5 * np.cos(2 * np.pi * progress)
        if event.name in ("wake_onset", "look", "walk"):
            head[span] = 1.0
        if event.name in ("wake_onset", "look"):
            if event.name == "look" and generator.random() < 0.4:
                posture, rest_turn = _pose(generator)
                lie_from(span.start)
            turn[span] = _glances(times[span], generator)
        elif event.name == "walk":
            target, new_direction = _spot(generator, world, place)
            posture, rest_turn = _pose(generator)
            eased = np.clip((progress - 0.15) / 0.65, 0.0, 1.0)
            eased = eased * eased * (3.0 - 2.0 * eased)
            swing = (new_direction - direction + np.pi) % (2 * np.pi) - np.pi
            lie_from(span.start)
            centre[span.start :] = target
            centre[span] = place + eased[:, None] * (target - place)
            heading[span.start :] = direction + swing
            heading[span] = direction + np.clip(eased * 1.6, 0.0, 1.0) * swing
            up = progress < 0.85
            standing[span] = up
            pace = 5.0 * np.sin(2 * np.pi * 1.1 * times[span])
            stepping = np.array(STANDING_FEET) + np.stack(
                [np.stack([s * pace, 0 * pace], -1) for s in (1.0, -1.0, -1.0, 1.0)], 1
            )
            feet[span][up] = stepping[up]
            turn[span] = 0.3 * np.sin(2 * np.pi * 0.4 * times[span])
            place, direction = target, direction + swing
        elif event.name == "settle":
            head[span] = np.clip(1.0 - progress / 0.85, 0.0, 1.0)
            rocking[span] = bump * np.sin(2 * np.pi * (times[span] - event.start_seconds) / 1.4)
        elif event.name == "rem_onset":
            stretch[span] = bump
            jerks[span] += _jerks(times[span], event, generator, parts=4) * (bump > 0.3)[:, None]
        elif event.name == "sigh":
            sigh[span] = bump
        elif event.name in ("twitch", "startle"):
            parts = int(generator.integers(2, 5))
            jerks[span] += _jerks(times[span], event, generator, parts)
        elif event.name == "visitor":
            visitor[span] = _passage(progress, place, world, generator)

    fps = recording.fps
    centre, feet = _settle(centre, 0.4, fps), _settle(feet, 0.5, fps)
    heading, turn = _settle(heading, 0.5, fps), _settle(turn, 0.5, fps)
    head, standing, lateral = (_settle(a, 0.5, fps) for a in (head, standing, lateral))
    rate = 0.325 + 0.075 * wander(recording.seed, 12, times, (37.0, 61.0, 103.0))
    breath = np.sin(2 * np.pi * np.cumsum(rate.astype(np.float64)) / fps)
    width = (13.0 + 1.5 * lateral - 2.0 * standing) * (
        1.0 + 0.06 * breath * (1.0 - sigh) + 0.30 * sigh + 0.08 * stretch
    )
    # On its side, an animal stretches all four legs the way they point already.
    along = np.broadcast_to(np.array([0.5, 0.5, -0.5, -0.5]), (frames, 4))
    outward = np.stack([along, np.sign(feet[..., 1])], axis=-1)
    feet = feet + outward * (7.0 * stretch[:, None, None] + 6.5 * jerks[:, :4, None])
    return Motion(
        centre=_single(centre + 1.5 * rocking[:, None]),
        heading=_single(heading + 0.16 * rocking),
        width=_single(width),
        length=_single(24.0 + 1.0 * sigh + 1.0 * stretch - 0.5 * standing),
        feet=_single(feet),
        ears=_single(jerks[:, 4:6]),
        head=_single(head),
        turn=_single(turn),
        snout=_single(jerks[:, 6] * 4.5),
        visitor=_single(visitor),
    )


def _single(array: NDArray[np.float64]) -> Floats:
    return np.ascontiguousarray(array, np.float32)


def _settle(values: NDArray[np.float64], seconds: float, fps: float) -> NDArray[np.float64]:
    """Averages over the time up to each frame (n, ...): no move begins before its event."""
    taps = max(1, round(seconds * fps))
    total = np.cumsum(np.concatenate([np.repeat(values[:1], taps, axis=0), values]), axis=0)
    return (total[taps:] - total[:-taps]) / taps


def _pose(generator: np.random.Generator) -> tuple[int, float]:
    """How it will lie: 0 sternal, 1 feet to the left, 2 feet to the right; and the head turn."""
    return int(generator.integers(0, 3)), float(generator.uniform(-0.5, 0.5))


def _spot(
    generator: np.random.Generator,
    world: tuple[float, float],
    present: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], float]:
    """A place (2,) and heading where the whole animal fits, straight ahead if possible."""
    best: tuple[float, NDArray[np.float64], float] | None = None
    for _ in range(400):
        centre = generator.uniform((30.0, 30.0), (world[0] - 30.0, world[1] - 30.0))
        direction = float(generator.uniform(-np.pi, np.pi))
        ahead = np.array([np.cos(direction), np.sin(direction)])
        tips = np.stack([centre + 42.0 * ahead, centre - 28.0 * ahead])
        if (tips < 7.0).any() or (tips > np.array(world) - 7.0).any():
            continue
        way = np.zeros(2) if present is None else centre - present
        distance = float(np.hypot(*way))
        if present is not None and distance < 8.0:
            continue
        score = float(way @ ahead) / max(distance, 1e-9)
        if best is None or score > best[0]:
            best = (score, centre, direction)
        if best[0] > 0.8 or present is None:
            break
    assert best is not None, "no place for the animal; the pen is at least 128 units wide"
    return best[1], best[2]


def _glances(times: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Head turns (n,) that change every 1.5 s."""
    steps = ((times - times[0]) / 1.5).astype(int)
    angles = generator.uniform(0.35, 1.0, steps[-1] + 1) * generator.choice((-1, 1), steps[-1] + 1)
    return angles[steps]


def _jerks(
    times: NDArray[np.float64], event: PenEvent, generator: np.random.Generator, parts: int
) -> NDArray[np.float64]:
    """Deflections (n, PARTS): some parts flip to and fro, never near rest while the burst lasts."""
    which = generator.permutation(PARTS)[:parts]
    steps = ((times - event.start_seconds) / TWITCH_STEP_SECONDS).astype(int)
    strength = generator.uniform(0.75, 1.0, (steps[-1] + 1, parts))
    sign = np.where((np.arange(steps[-1] + 1)[:, None] + which) % 2, 1.0, -0.5)
    result = np.zeros((len(times), PARTS))
    result[:, which] = (strength * sign)[steps]
    return result


def _passage(
    progress: NDArray[np.float64],
    place: NDArray[np.float64],
    world: tuple[float, float],
    generator: np.random.Generator,
) -> NDArray[np.float64]:
    """The visitor's path (n, 3): straight along the side of the pen farthest from the animal."""
    sides = np.array([place[0], world[0] - place[0], place[1], world[1] - place[1]])
    side = int(np.argmax(sides))
    backwards = generator.random() < 0.5
    axis = 1 if side < 2 else 0
    travel = -25.0 + progress * (world[axis] + 50.0)
    path = np.empty((len(progress), 3))
    path[:, axis] = world[axis] - travel if backwards else travel
    path[:, 1 - axis] = 14.0 if side % 2 == 0 else world[1 - axis] - 14.0
    path[:, 2] = (np.pi / 2 if axis == 1 else 0.0) + (np.pi if backwards else 0.0)
    return path
