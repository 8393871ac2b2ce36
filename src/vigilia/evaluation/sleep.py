"""Sleep as a clinician or a sleep laboratory reports it, from a sequence of scored epochs.

| figure | how it is counted |
| --- | --- |
| recording time | from the first scored epoch to the last |
| TST, total sleep time | epochs of sleep, of any kind |
| sleep efficiency | TST / scored time |
| sleep latency | from the first scored epoch to the first of sleep |
| REM latency | from the first epoch of sleep to the first of REM |
| WASO | wake from the first epoch of sleep to the end of the recording (AASM) |
| WASO inside sleep | wake from the first epoch of sleep to the last (as YASA counts it) |

Epochs that nobody scored count as neither wake nor sleep, and end a bout. A latency is None where
the state never came. The AASM Manual for the Scoring of Sleep and Associated Events, Berry and
others 2020.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vigilia.errors import OptionError
from vigilia.evaluation.segments import bouts_of
from vigilia.evaluation.sleep_states import KINDS

__all__ = ["SleepFigures", "StateFigures", "sleep_figures", "transition_counts"]


@dataclass(frozen=True)
class StateFigures:
    """How one state fills a recording.

    Attributes:
        state: its name.
        seconds: time spent in it.
        share_of_scored: that time as a share of the scored time, 0 to 1.
        share_of_sleep: as a share of TST; None for wake, or without sleep.
        bouts: its number.
        mean_bout_seconds: None without a bout.
        median_bout_seconds: None without a bout.
        latency_seconds: from the first scored epoch; None if it never came.
    """

    state: str
    seconds: float
    share_of_scored: float
    share_of_sleep: float | None
    bouts: int
    mean_bout_seconds: float | None
    median_bout_seconds: float | None
    latency_seconds: float | None


@dataclass(frozen=True)
class SleepFigures:
    """Sleep of one recording by one scorer; see the module for how each figure is counted.

    Attributes:
        epoch_seconds: length of an epoch.
        recording_seconds: from the first scored epoch to the last.
        scored_seconds: of them, time that was scored.
        total_sleep_seconds: TST.
        sleep_efficiency: 0 to 1.
        sleep_latency_seconds: None if there was no sleep.
        rem_latency_seconds: from the onset of sleep; None if there was no REM.
        waso_seconds: wake after sleep onset, to the end of the recording.
        waso_inside_sleep_seconds: the same, to the last epoch of sleep.
        awakenings: bouts of wake after the onset of sleep.
        states: wake, NREM, REM, and sleep not told apart, those that are among the labels.
        stages: the labels themselves, where several mean the same kind of sleep (N1, N2, N3).
        transitions: S rows of S counts, from a state (down) to the next epoch's (across), in the
            order of `states`.
    """

    epoch_seconds: float
    recording_seconds: float
    scored_seconds: float
    total_sleep_seconds: float
    sleep_efficiency: float
    sleep_latency_seconds: float | None
    rem_latency_seconds: float | None
    waso_seconds: float
    waso_inside_sleep_seconds: float
    awakenings: int
    states: tuple[StateFigures, ...]
    stages: tuple[StateFigures, ...]
    transitions: tuple[tuple[int, ...], ...]

    def state(self, name: str) -> StateFigures | None:
        """The figures of a state or stage by its name."""
        return next((one for one in (*self.states, *self.stages) if one.state == name), None)


def transition_counts(codes: ArrayLike, states: int) -> NDArray[np.int64]:
    """Counts of pairs of neighbours: codes (N,) -> (S, S), from down, to across.

    A pair that holds a -1 is left out.
    """
    codes = np.asarray(codes, np.int64)
    before, after = codes[:-1], codes[1:]
    both = (before >= 0) & (after >= 0)
    pairs = before[both] * states + after[both]
    return np.bincount(pairs, minlength=states * states).reshape(states, states)


def sleep_figures(
    codes: ArrayLike,
    classes: Sequence[str],
    kinds: Mapping[str, str],
    *,
    epoch_seconds: float,
) -> SleepFigures | None:
    """All figures of one recording by one scorer.

    Args:
        codes: (N,) numbers of classes, one an epoch; -1 where nobody scored.
        classes: the names of the numbers.
        kinds: class to wake, NREM, REM or sleep; classes without an entry count as not scored.
        epoch_seconds: length of an epoch.

    Returns:
        None where no epoch is scored.

    Raises:
        OptionError: codes are no (N,) numbers of classes, or the length is not positive.
    """
    codes = np.asarray(codes, np.int64)
    if codes.ndim != 1 or (codes.size and codes.max() >= len(classes)):
        raise OptionError(f"codes must be (N,) and below {len(classes)}, got {codes.shape}")
    if not (np.isfinite(epoch_seconds) and epoch_seconds > 0):
        raise OptionError(f"epoch_seconds must be a positive number, got {epoch_seconds}")
    present = [kind for kind in KINDS if kind in kinds.values()]
    state_of = np.array([present.index(kinds[c]) if c in kinds else -1 for c in classes] + [-1])
    scored = np.flatnonzero(state_of[codes] >= 0)
    if not len(scored):
        return None
    codes = codes[scored[0] : scored[-1] + 1]
    states = state_of[codes]
    wake = states == present.index("wake") if "wake" in present else np.zeros(len(states), bool)
    asleep = (states >= 0) & ~wake
    rem = states == present.index("REM") if "REM" in present else np.zeros(len(states), bool)
    sleep = int(asleep.sum())
    known = int((states >= 0).sum())
    onset = int(asleep.argmax()) if sleep else None
    last = int(np.flatnonzero(asleep)[-1]) if sleep else None
    waso = 0 if onset is None else int(wake[onset:].sum())
    inside = 0 if onset is None or last is None else int(wake[onset:last].sum())
    awakenings = 0 if onset is None else len(bouts_of(np.where(wake[onset:], 0, -1)))
    fine = [
        label
        for label in classes
        if label in kinds and [kinds[c] for c in classes if c in kinds].count(kinds[label]) > 1
    ]

    def figures(name: str, codes: NDArray[np.int64], code: int, is_wake: bool) -> StateFigures:
        bouts = bouts_of(np.where(codes == code, 0, -1))
        lengths = (bouts.ends - bouts.starts) * epoch_seconds
        count = int((codes == code).sum())
        return StateFigures(
            state=name,
            seconds=count * epoch_seconds,
            share_of_scored=count / known,
            share_of_sleep=None if is_wake or not sleep else count / sleep,
            bouts=len(bouts),
            mean_bout_seconds=float(lengths.mean()) if len(bouts) else None,
            median_bout_seconds=float(np.median(lengths)) if len(bouts) else None,
            latency_seconds=float(bouts.starts[0] * epoch_seconds) if len(bouts) else None,
        )

    return SleepFigures(
        epoch_seconds=epoch_seconds,
        recording_seconds=len(states) * epoch_seconds,
        scored_seconds=known * epoch_seconds,
        total_sleep_seconds=sleep * epoch_seconds,
        sleep_efficiency=sleep / known,
        sleep_latency_seconds=None if onset is None else onset * epoch_seconds,
        rem_latency_seconds=(
            float((rem.argmax() - onset) * epoch_seconds)
            if onset is not None and rem.any()
            else None
        ),
        waso_seconds=waso * epoch_seconds,
        waso_inside_sleep_seconds=inside * epoch_seconds,
        awakenings=awakenings,
        states=tuple(
            figures(kind, states, code, kind == "wake") for code, kind in enumerate(present)
        ),
        stages=tuple(
            figures(label, codes, list(classes).index(label), kinds[label] == "wake")
            for label in fine
        ),
        transitions=tuple(map(tuple, transition_counts(states, len(present)).tolist())),
    )
