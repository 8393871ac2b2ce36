"""`vigilia bench speed`: the least of every round counts, and ratios are to the first row."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from conftest import tiny_model
from vigilia.bench.speed.plots import plot_speed
from vigilia.bench.speed.speed import measure_speed
from vigilia.bench.speed.updates import Update, update_of
from vigilia.cli.bench_updates import print_speed, speed
from vigilia.errors import OptionError


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], None]]:
    """Calls that take so many seconds of processor time, one after another, and none in truth."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])

    def make(*seconds: float) -> Callable[[], None]:
        rest = list(seconds)

        def call() -> None:
            now[0] += rest.pop(0)

        return call

    return make


def test_the_least_time_counts_and_the_first_row_is_one(
    takes: Callable[..., Callable[[], None]],
) -> None:
    updates = [
        Update("window", "float32", takes(9.0, 8.0), 16.0, 0),
        Update("ours", "float32", takes(2.0, 4.0, 1.0, 5.0), 4.0, 7),
    ]
    told = []
    report = measure_speed(
        updates,
        rounds=2,
        repeats=2,
        processor_time=True,
        on_round=lambda number, name: told.append((number, name)),
    )
    window, ours = report.rows
    assert (window.seconds, window.times, window.mean_times) == (8.0, 1.0, 1.0)
    assert (ours.seconds, ours.mean_seconds) == (1.0, 3.0)
    assert ours.times == 8.0
    assert ours.mean_times == pytest.approx(8 / 3)
    assert ours.state_bytes == 7
    peak = report.peak_gflop_per_second["float32"]
    assert ours.share_of_peak == pytest.approx(4.0 / peak)
    assert told == [(0, "window"), (0, "ours"), (1, "window"), (1, "ours")]


def test_the_first_row_gets_a_quarter_of_the_repeats(
    takes: Callable[..., Callable[[], None]],
) -> None:
    updates = [
        Update("window", "float32", takes(9.0, 5.0), 16.0, 0),
        Update("ours", "float32", takes(*8 * [1.0]), 4.0, 7),
    ]
    report = measure_speed(updates, rounds=1, repeats=8, processor_time=True)
    assert (report.rows[0].seconds, report.rows[0].mean_seconds) == (5.0, 7.0)
    assert (report.rows[1].times, report.rows[1].mean_times) == (5.0, 7.0)


def test_an_update_of_a_model_moves_its_stream_on_and_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_model(memory="gru")
    calls = []

    def step(clip: torch.Tensor, state: object) -> object:
        calls.append(state.clips.item())
        return model.step(clip, state)

    one = update_of("tiny", model, precision="float32", step=step)
    assert one.gflop > 0
    assert one.state_bytes == model.init_state(1).nbytes
    report = measure_speed([one, one], rounds=1, repeats=2)
    assert calls == [0, 1, 2, 3]
    plot_speed(report, tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")
    print_speed(report, size=32, machine="here")
    assert "tiny" in capsys.readouterr().out
    assert json.dumps([row.name for row in report.rows]) == '["tiny", "tiny"]'


def test_eight_bits_have_no_peak_and_unknown_precisions_are_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = Update("ours", "int8", lambda: None, 4.0, 7)
    report = measure_speed([row], rounds=1)
    assert report.rows[0].share_of_peak is None
    print_speed(report, size=32, machine="here")
    assert "int8" in capsys.readouterr().out
    with pytest.raises(OptionError, match="float32, bf16, int8, got 'int4'"):
        speed(precision=["int4"])
