"""The semi-Markov model of sleep states: fitting and sampling."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vigilia.errors import LabelError, OptionError
from vigilia.simulate import (
    STATES,
    HypnogramModel,
    fit_hypnogram,
    load_hypnogram_model,
    sample_hypnogram,
)

CYCLE = HypnogramModel(
    transitions={"wake": {"NREM": 1.0}, "NREM": {"REM": 1.0}, "REM": {"wake": 1.0}},
    levels=(0.0, 1.0),
    dwell_seconds={
        ("wake", "NREM"): (10.0, 10.0),
        ("NREM", "REM"): (10.0, 10.0),
        ("REM", "wake"): (10.0, 10.0),
    },
    provenance={},
)


def test_a_short_recording_is_fitted_bout_by_bout() -> None:
    letters = {"w": "wake", "n": "NREM", "r": "REM"}
    model = fit_hypnogram([[letters[c] for c in "wnnwwnnnnrwn"]], epoch_seconds=4.0)
    assert model.transitions["NREM"] == {"wake": 0.5, "REM": 0.5}
    assert model.transitions["wake"] == {"NREM": 1.0}
    assert set(model.dwell_seconds["NREM", "wake"]) == {8.0}
    assert set(model.dwell_seconds["NREM", "REM"]) == {16.0}
    assert model.dwell_seconds["wake", "NREM"][0] == 4.0
    assert model.dwell_seconds["wake", "NREM"][-1] == 8.0
    assert len(model.levels) == len(model.dwell_seconds["wake", "NREM"]) == 33


def test_a_cycle_of_ten_second_bouts_is_sampled_as_such() -> None:
    bouts = sample_hypnogram(CYCLE, seconds=25.0, seed=0, start="wake")
    assert bouts == [(0.0, 10.0, "wake"), (10.0, 20.0, "NREM"), (20.0, 25.0, "REM")]
    stretched = sample_hypnogram(CYCLE, seconds=25.0, seed=0, start="NREM", time_scale=2.0)
    assert stretched == [(0.0, 20.0, "NREM"), (20.0, 25.0, "REM")]


@pytest.mark.parametrize("seed", range(5))
def test_bouts_adjoin_change_state_and_end_on_time(seed: int) -> None:
    seconds = float(np.random.default_rng(seed).uniform(100.0, 20_000.0))
    bouts = sample_hypnogram(load_hypnogram_model(), seconds=seconds, seed=seed)
    assert bouts[0][0] == 0.0
    assert bouts[-1][1] == seconds
    assert all(a[1] == b[0] and a[2] != b[2] for a, b in pairwise(bouts))
    assert all(start < end for start, end, _ in bouts)
    assert bouts == sample_hypnogram(load_hypnogram_model(), seconds=seconds, seed=seed)
    assert bouts != sample_hypnogram(load_hypnogram_model(), seconds=seconds, seed=seed + 1)


def test_resting_phase_has_no_wake_longer_than_five_minutes_and_keeps_sleep_as_it_is() -> None:
    model = load_hypnogram_model()
    day = sample_hypnogram(model, seconds=1e6, seed=1)
    rest = sample_hypnogram(model, seconds=1e6, seed=1, rest_only=True)

    def lengths(bouts: list[tuple[float, float, str]], state: str) -> list[float]:
        return [end - start for start, end, name in bouts[:-1] if name == state]

    assert max(lengths(day, "wake")) > 3600.0
    assert 200.0 < max(lengths(rest, "wake")) <= 300.01
    for state in ("NREM", "REM"):
        assert np.mean(lengths(rest, state)) == pytest.approx(np.mean(lengths(day, state)), rel=0.1)


@pytest.mark.parametrize("seed", range(20))
def test_half_an_hour_can_be_asked_to_hold_several_bouts_of_every_state(seed: int) -> None:
    bouts = sample_hypnogram(
        load_hypnogram_model(),
        seconds=1800.0,
        seed=seed,
        rest_only=True,
        min_bouts=3,
        time_scale=4.0,
    )
    assert all(sum(name == state for _, _, name in bouts) >= 3 for state in STATES)


def test_the_packaged_model_names_its_source_and_survives_writing(tmp_path: Path) -> None:
    model = load_hypnogram_model()
    assert "mxjan/SWDMr" in str(model.provenance["source"])
    assert model.provenance["licence"] == "CC-BY"
    assert model.provenance["animals"] == "8 mice, 96 h each"
    for row in model.transitions.values():
        assert sum(row.values()) == pytest.approx(1.0)
    for table in model.dwell_seconds.values():
        assert list(table) == sorted(table)
    file = tmp_path / "model.json"
    file.write_text(model.to_json(), encoding="utf-8")
    assert load_hypnogram_model(file) == model


def test_what_cannot_work_is_refused_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="seconds must be positive"):
        sample_hypnogram(CYCLE, seconds=0.0, seed=0)
    with pytest.raises(OptionError, match="start must be one of"):
        sample_hypnogram(CYCLE, seconds=9.0, seed=0, start="n")
    with pytest.raises(OptionError, match="fewer bouts"):
        sample_hypnogram(CYCLE, seconds=30.0, seed=0, min_bouts=2)
    with pytest.raises(OptionError, match="time_scale"):
        sample_hypnogram(CYCLE, seconds=30.0, seed=0, time_scale=-1.0)
    with pytest.raises(LabelError, match="map states"):
        fit_hypnogram([["wake", "doze", "wake"]], epoch_seconds=4.0)
    with pytest.raises(LabelError, match="no complete bout"):
        fit_hypnogram([["wake", "NREM", "wake"]], epoch_seconds=4.0)
    with pytest.raises(LabelError, match="check the path"):
        load_hypnogram_model(tmp_path / "absent.json")
    (tmp_path / "other.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(LabelError, match="not a hypnogram model"):
        load_hypnogram_model(tmp_path / "other.json")
