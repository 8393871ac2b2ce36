"""Sleep states as a semi-Markov process, fitted to scored recordings and sampled from a seed.

A hypnogram is a chain of bouts. The next state depends on the present one; how long a bout lasts
depends on the state and on the state that follows it. Dwell times are kept as tables of quantiles,
so that drawing one is reading the inverse of its distribution at a uniform number.

The packaged `hypnogram.json` was fitted by `scripts/fit_hypnogram.py` to 8 mice, 96 h each. Mice
sleep in short bouts and stay awake for hours; see `rest_only`, `min_bouts` and `time_scale` of
`sample_hypnogram` for what turns this into a short recording, and what that does to the statistics.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vigilia.errors import LabelError, OptionError

__all__ = [
    "REST_WAKE_SECONDS",
    "STATES",
    "HypnogramModel",
    "fit_hypnogram",
    "load_hypnogram_model",
    "sample_hypnogram",
]

STATES = ("wake", "NREM", "REM")
REST_WAKE_SECONDS = 300.0
"""`rest_only` draws only wake bouts up to this long, in the fitted animal's seconds."""

# Finer towards the end: a wake bout in a hundred lasts an hour, and carries much of the mean.
QUANTILE_LEVELS = np.concatenate(
    [np.linspace(0.0, 0.9, 22), 1.0 - 0.1 * 0.5 ** np.arange(1, 11), [1.0]]
)
ATTEMPTS = 10_000


@dataclass(frozen=True)
class HypnogramModel:
    """A semi-Markov chain over sleep states.

    Attributes:
        transitions: state -> next state -> probability; each row sums to 1.
        levels: the cumulative probabilities, rising from 0 to 1, that every quantile table uses.
        dwell_seconds: (state, next state) -> bout length in seconds at each level.
        provenance: where the data came from, under which licence, and how they were fitted.
    """

    transitions: Mapping[str, Mapping[str, float]]
    levels: tuple[float, ...]
    dwell_seconds: Mapping[tuple[str, str], tuple[float, ...]]
    provenance: Mapping[str, object]

    def to_json(self) -> str:
        """The model as text that `load_hypnogram_model` reads, one quantile table a line."""
        tables = {f"{a}->{b}": list(values) for (a, b), values in self.dwell_seconds.items()}
        parts = [
            f'  "provenance": {json.dumps(dict(self.provenance), indent=2)}',
            f'  "transitions": {json.dumps({a: dict(row) for a, row in self.transitions.items()})}',
            f'  "levels": {json.dumps(list(self.levels))}',
            '  "dwell_seconds": {\n'
            + ",\n".join(f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in tables.items())
            + "\n  }",
        ]
        return "{\n" + ",\n".join(parts) + "\n}\n"


def fit_hypnogram(
    recordings: Sequence[Sequence[str]],
    *,
    epoch_seconds: float,
    provenance: Mapping[str, object] | None = None,
) -> HypnogramModel:
    """Fits transition probabilities and dwell times to scored epochs.

    The first and the last bout of a recording are cut off by its ends, so their lengths are unknown
    and they are left out.

    Args:
        recordings: one sequence of state names per recording, one name per epoch.
        epoch_seconds: length of an epoch.
        provenance: kept in the model as it is.

    Raises:
        LabelError: a name is not one of `STATES`, or a state is never left.
    """
    dwell: dict[tuple[str, str], list[float]] = {}
    for number, recording in enumerate(recordings, start=1):
        names = np.asarray(recording)
        unknown = sorted(set(names.tolist()) - set(STATES))
        if unknown:
            raise LabelError(
                f"recording {number} has the state {unknown[0]!r}; map states to {STATES} first"
            )
        starts = np.concatenate([[0], np.flatnonzero(names[1:] != names[:-1]) + 1])
        lengths = np.diff(starts)
        for index in range(1, len(starts) - 1):
            pair = (str(names[starts[index]]), str(names[starts[index + 1]]))
            dwell.setdefault(pair, []).append(float(lengths[index]) * epoch_seconds)
    transitions: dict[str, dict[str, float]] = {}
    for state in STATES:
        counts = {b: len(dwell[state, b]) for b in STATES if (state, b) in dwell}
        if not counts:
            raise LabelError(f"no complete bout of {state} in the data; add longer recordings")
        transitions[state] = {b: n / sum(counts.values()) for b, n in counts.items()}
    return HypnogramModel(
        transitions=transitions,
        levels=tuple(round(float(level), 8) for level in QUANTILE_LEVELS),
        dwell_seconds={
            pair: tuple(round(float(q), 2) for q in np.quantile(values, QUANTILE_LEVELS))
            for pair, values in sorted(dwell.items())
        },
        provenance=dict(provenance or {}),
    )


def load_hypnogram_model(path: str | Path | None = None) -> HypnogramModel:
    """Reads a fitted model; without a path, the one that comes with the package (8 mice).

    Raises:
        LabelError: the file is absent or is not such a model.
    """
    file = Path(path) if path is not None else Path(__file__).with_name("hypnogram.json")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        dwell_seconds: dict[tuple[str, str], tuple[float, ...]] = {}
        for key, values in content["dwell_seconds"].items():
            state, following = key.split("->")
            dwell_seconds[state, following] = tuple(values)
        return HypnogramModel(
            transitions=content["transitions"],
            levels=tuple(content["levels"]),
            dwell_seconds=dwell_seconds,
            provenance=content["provenance"],
        )
    except OSError as error:
        raise LabelError(f"{file}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabelError(
            f"{file}: not a hypnogram model; make one with scripts/fit_hypnogram.py"
        ) from error


def sample_hypnogram(
    model: HypnogramModel,
    *,
    seconds: float,
    seed: int,
    start: str | None = None,
    rest_only: bool = False,
    min_bouts: int = 0,
    time_scale: float = 1.0,
) -> list[tuple[float, float, str]]:
    """Draws a hypnogram: adjoining bouts from 0 to `seconds`, the last one cut there.

    Args:
        model: transition probabilities and dwell times.
        seconds: length of the hypnogram.
        seed: the same seed gives the same hypnogram.
        start: state of the first bout; None draws it as often as the state is entered.
        rest_only: draw wake only from the dwell times up to `REST_WAKE_SECONDS` (their distribution
            conditioned on that limit), as in the animal's resting phase. The share of wake falls
            from more than half to about a fifth; everything else is as fitted.
        min_bouts: draw again until every state has at least so many bouts. This selects eventful
            stretches, as one does by hand for a short demonstration; state shares are then no
            longer those of the animal.
        time_scale: factor on every dwell time. A mouse's REM bout lasts half a minute; 4 gives the
            minutes of a larger animal with the mouse's pattern.

    Returns:
        `(start_seconds, end_seconds, state)` in order, half-open.

    Raises:
        OptionError: an argument has a value that cannot work, or `min_bouts` asks for more bouts
            than such a length holds.
    """
    if not 0 < seconds < float("inf"):
        raise OptionError(f"seconds must be positive and finite, got {seconds}")
    if not 0 < time_scale < float("inf"):
        raise OptionError(f"time_scale must be positive and finite, got {time_scale}")
    if start is not None and start not in STATES:
        raise OptionError(f"start must be one of {STATES} or None, got {start!r}")
    generator = np.random.default_rng(seed)
    for _ in range(ATTEMPTS if min_bouts > 0 else 1):
        bouts = _draw(model, seconds / time_scale, generator, start, rest_only)
        if all(sum(b[2] == state for b in bouts) >= min_bouts for state in STATES):
            scaled = [(a * time_scale, b * time_scale, state) for a, b, state in bouts]
            scaled[-1] = (scaled[-1][0], float(seconds), scaled[-1][2])
            return scaled
    raise OptionError(
        f"min_bouts={min_bouts} of every state do not fit into {seconds:g} s at "
        f"time_scale={time_scale:g}; ask for fewer bouts or a longer hypnogram"
    )


def _draw(
    model: HypnogramModel,
    seconds: float,
    generator: np.random.Generator,
    start: str | None,
    rest_only: bool,
) -> list[tuple[float, float, str]]:
    rows = {a: (list(row), np.cumsum(list(row.values()))) for a, row in model.transitions.items()}
    levels = np.array(model.levels)
    tables = {pair: np.log(values) for pair, values in model.dwell_seconds.items()}
    limits = {
        pair: float(np.interp(np.log(REST_WAKE_SECONDS), table, levels))
        if rest_only and pair[0] == "wake"
        else 1.0
        for pair, table in tables.items()
    }
    state = start if start is not None else _entered_state(model, generator)
    bouts: list[tuple[float, float, str]] = []
    now = 0.0
    while now < seconds:
        names, cumulative = rows[state]
        following = names[min(int(np.searchsorted(cumulative, generator.random())), len(names) - 1)]
        level = generator.random() * limits[state, following]
        # Logarithms: dwell times spread over four decades, and a straight line between the last
        # two quantiles would put far too much time into the longest bouts.
        dwell = round(float(np.exp(np.interp(level, levels, tables[state, following]))), 3)
        bouts.append((now, min(now + dwell, seconds), state))
        now += dwell
        state = following
    return bouts


def _entered_state(model: HypnogramModel, generator: np.random.Generator) -> str:
    matrix = np.array([[model.transitions[a].get(b, 0.0) for b in STATES] for a in STATES])
    # Averaging two powers converges even where the chain is periodic (wake-sleep-wake-sleep).
    power = np.linalg.matrix_power(matrix, 256)
    stationary = (power + power @ matrix)[0] / 2
    return str(STATES[int(generator.choice(len(STATES), p=stationary / stationary.sum()))])
