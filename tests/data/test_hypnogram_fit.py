"""The packaged hypnogram model against the 8 scored mice that it was fitted to."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from itertools import groupby, pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from vigilia.simulate import STATES, load_hypnogram_model, sample_hypnogram

Bouts = list[tuple[float, str]]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "scripts" / "fit_hypnogram.py"
    specification = importlib.util.spec_from_file_location("fit_hypnogram", path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["fit_hypnogram"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mice(shared_data: Path) -> Path:
    return shared_data / "labels" / "sleep_mouse_96h"


@pytest.fixture(scope="module")
def real(script: ModuleType, mice: Path) -> list[Bouts]:
    return [
        [(4.0 * len(list(run)), state) for state, run in groupby(script.read_recording(file))]
        for file in sorted(mice.glob("*.txt"))
    ]


@pytest.fixture(scope="module")
def drawn() -> list[Bouts]:
    model = load_hypnogram_model()
    hours = 96 * 3600.0
    return [
        [(b - a, state) for a, b, state in sample_hypnogram(model, seconds=hours, seed=seed)]
        for seed in range(40)
    ]


def share(bouts: list[Bouts], state: str) -> float:
    total = sum(length for recording in bouts for length, _ in recording)
    return sum(length for recording in bouts for length, name in recording if name == state) / total


def lengths(bouts: list[Bouts], state: str) -> list[float]:
    return [length for recording in bouts for length, name in recording if name == state]


def transitions(bouts: list[Bouts]) -> dict[tuple[str, str], float]:
    pairs = Counter((a[1], b[1]) for recording in bouts for a, b in pairwise(recording))
    leaving: Counter[str] = Counter()
    for (state, _), count in pairs.items():
        leaving[state] += count
    return {pair: count / leaving[pair[0]] for pair, count in pairs.items()}


def test_the_script_reproduces_the_packaged_model(script: ModuleType, mice: Path) -> None:
    assert script.fit_folder(mice) == load_hypnogram_model()


def test_shares_of_states_match_the_mice(real: list[Bouts], drawn: list[Bouts]) -> None:
    for state in STATES:
        assert share(drawn, state) == pytest.approx(share(real, state), abs=0.015)


def test_bout_lengths_match_the_mice(real: list[Bouts], drawn: list[Bouts]) -> None:
    for state in STATES:
        ours, theirs = lengths(drawn, state), lengths(real, state)
        assert np.mean(ours) == pytest.approx(np.mean(theirs), rel=0.05)
        # Ours are continuous, theirs come in epochs of 4 s.
        assert abs(np.median(ours) - np.median(theirs)) <= 4.0
        assert np.quantile(ours, 0.9) == pytest.approx(np.quantile(theirs, 0.9), rel=0.15)


def test_transitions_match_the_mice(real: list[Bouts], drawn: list[Bouts]) -> None:
    expected, found = transitions(real), transitions(drawn)
    assert found.keys() == expected.keys()
    for pair, probability in expected.items():
        assert found[pair] == pytest.approx(probability, abs=0.015)


def test_the_first_mouse_is_awake_half_of_the_time(real: list[Bouts]) -> None:
    # BL601: 41903 epochs w and 1887 epochs 1 of 86400.
    assert share(real[:1], "wake") == pytest.approx(43790 / 86400)
