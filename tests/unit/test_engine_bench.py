"""`vigilia bench decode | streams | soak`: limits that are known are found."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import vigilia.bench.speed.soak as soak_module
from conftest import tiny_model
from vigilia.bench.speed import limits, live
from vigilia.bench.speed.decode import make_recording, measure_decoding, with_pyav, with_vigilia
from vigilia.bench.speed.limits import DecodingCost, Limits, derive_streams
from vigilia.bench.speed.live import SkippingClock, best_batch, find_streams, try_streams
from vigilia.bench.speed.soak import slope, soak
from vigilia.cli import main
from vigilia.engine.stepping import BatchStepper, Begun
from vigilia.errors import OptionError
from vigilia.stream import StreamClassifier

StepTakes = Callable[[float], None]


@pytest.fixture(scope="module")
def model() -> StreamClassifier:
    return tiny_model(memory="gru")


class StandingClock:
    """Time that only steps and skipping move: trials take none and are the same on any machine."""

    now = 0.0

    def __call__(self) -> float:
        return StandingClock.now

    def skip_to(self, seconds: float) -> None:
        StandingClock.now = max(StandingClock.now, seconds)


@pytest.fixture
def step_takes(monkeypatch: pytest.MonkeyPatch) -> StepTakes:
    """Steps that compute nothing and take so many seconds of the standing clock."""
    monkeypatch.setattr(live, "SkippingClock", StandingClock)

    def install(seconds: float) -> None:
        def begin(self: BatchStepper, rows: list[int], *_: object) -> Begun:
            StandingClock.now += seconds
            return Begun(torch.zeros(len(rows), 3))

        monkeypatch.setattr(BatchStepper, "begin", begin)

    return install


def test_the_clock_runs_and_skips_forward_only() -> None:
    clock = SkippingClock()
    first = clock()
    clock.skip_to(100.0)
    assert 100 <= clock() < 101
    clock.skip_to(5.0)
    assert clock() >= 100
    assert first < 1


def test_a_device_holds_as_many_streams_as_its_steps_fit_into_an_interval(
    model: StreamClassifier, step_takes: StepTakes
) -> None:
    # 40 ms a step, one update a second: 25 streams.
    step_takes(0.04)
    few = try_streams(model, 5, batch=1)
    assert few.dropped == 0
    assert few.lag_p95_seconds == pytest.approx(0.04)
    assert few.busy == pytest.approx(0.2, abs=0.02)
    assert few.rows == 1
    assert try_streams(model, 25, batch=1).lag_p95_seconds < 1
    many = try_streams(model, 80, batch=1)
    assert many.busy > 0.99
    assert many.lag_p95_seconds > 1
    assert many.dropped > 0.3
    # Two rows a step are twice the streams.
    assert try_streams(model, 49, batch=2).lag_p95_seconds < 1


def test_the_search_ends_between_a_number_that_is_held_and_one_that_is_not(
    model: StreamClassifier, step_takes: StepTakes
) -> None:
    step_takes(0.1)
    held, trials = find_streams(model, batch=1, step_seconds=0.1)
    assert 10 <= held <= 12
    lags = {trial.streams: trial.lag_p95_seconds for trial in trials}
    assert lags[held] < 1
    assert lags[held + 1] >= 1
    assert list(lags) == sorted(lags)


def test_batches_grow_while_they_pay(model: StreamClassifier, step_takes: StepTakes) -> None:
    step_takes(0.02)  # the same for any number of rows: more always pays
    batch, seconds = best_batch(model, sizes=(1, 2, 4))
    assert batch == 4
    assert seconds == pytest.approx(0.02)


def test_streams_are_derived_from_counts_and_a_data_sheet() -> None:
    found = derive_streams(
        flop_per_step=44e9,
        interval_seconds=2.0,
        state_bytes=20_000_000,
        waiting_bytes=10_000_000,
        peak_flop_per_second=989e12,
        fraction_of_peak=0.3,
        memory_bytes=141e9,
    )
    assert found.computing == pytest.approx(13486, abs=1)
    assert found.memory == pytest.approx(3760)
    assert found.binds == "memory"
    assert Limits(5.0, None, 4.0, 1, 1).binds == "decoding"
    with pytest.raises(OptionError, match="fraction"):
        derive_streams(
            flop_per_step=1,
            interval_seconds=1,
            state_bytes=1,
            waiting_bytes=1,
            peak_flop_per_second=1,
            fraction_of_peak=1.5,
            memory_bytes=1,
        )


def test_a_slope_is_that_of_the_line() -> None:
    assert slope([0.0, 1.0, 2.0, 3.0], [5, 7, 9, 11]) == pytest.approx((2.0, 0.0), abs=1e-9)
    found, error = slope([0.0, 1.0, 2.0, 3.0], [5, 9, 7, 11])
    assert found == pytest.approx(1.6)
    assert error > 0.5


def test_a_soak_goes_through_everything_and_its_state_does_not_grow(
    model: StreamClassifier,
) -> None:
    report = soak(model, hours=0.04, streams=2, looks=10)
    assert report.hours == pytest.approx(0.04)
    assert report.kept > 10
    assert report.dropped > 0
    clips = 2 * 144
    assert 0.9 * clips < report.steps + report.kept + report.dropped <= clips + 10
    assert len(report.samples) == 10
    assert not report.state_bytes_changed
    with pytest.raises(OptionError, match="hours"):
        soak(model, hours=0.0)


def test_a_soak_tells_what_grows_on_the_device_too(
    model_files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step_takes: StepTakes,
) -> None:
    step_takes(0.0)
    command = ["bench", "soak", "--hours", "0.02", "--streams", "1"]
    command += ["--model", str(model_files["gru"])]
    assert main(command) == 0
    assert "device" not in capsys.readouterr().out
    grown = itertools.count(5_000_000, 1_000_000)
    monkeypatch.setattr(soak_module, "_device_bytes", lambda _: next(grown))
    assert main(command) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "on the device" in told
    slope_told = re.search(r"the device's \+(\d+\.\d+) MB an hour", told)
    assert slope_told
    assert float(slope_told[1]) > 100  # a megabyte a look


@pytest.mark.parametrize("command", ["decode", "streams", "soak", "speed"])
def test_a_picture_that_cannot_be_written_is_told_before_anything_is_measured(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = str(tmp_path / "nowhere" / "a.png")
    assert main(["bench", command, "--plot", where]) == 2
    assert "does not exist; make it first" in " ".join(capsys.readouterr().err.split())


def test_a_derivation_that_cannot_work_is_told_before_anything_is_measured(
    model_files: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "best_batch", lambda *_, **__: pytest.fail("it was measured"))
    command = ["bench", "streams", "--model", str(model_files["gru"]), "--fraction", "2"]
    assert main(command) == 2
    assert "the fraction of the peak in 0..1" in " ".join(capsys.readouterr().err.split())


def test_readers_keep_the_same_samples_and_ratios_are_ours(tmp_path: Path) -> None:
    path = make_recording(tmp_path / "a.mp4", seconds=1.0, width=64, height=48)
    rows = measure_decoding(
        path, {"vigilia": with_vigilia, "PyAV": with_pyav}, rounds=1, side_by_side=(2,)
    )
    assert [(row.reader, row.recordings, row.samples) for row in rows] == [
        ("vigilia", 1, 4),
        ("PyAV", 1, 4),
        ("vigilia", 2, 8),
    ]
    assert rows[0].ratio == rows[0].processor_ratio == 1
    expected = (4 / rows[1].wall_seconds) / (4 / rows[0].wall_seconds)
    assert rows[1].ratio == pytest.approx(expected)


def test_the_commands_print_json_and_draw(
    model_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    step_takes: StepTakes,
) -> None:
    def told(*words: object) -> dict:
        capsys.readouterr()
        picture = tmp_path / f"{words[0]}.png"
        assert main(["bench", *map(str, words), "--json", "--plot", str(picture)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        return json.loads(capsys.readouterr().out)

    video = make_recording(tmp_path / "a.mp4", seconds=1.0, width=64, height=48)
    decoded = told("decode", video, "--rounds", 1)
    assert [row["reader"] for row in decoded["rows"]][:2] == ["vigilia", "PyAV, every frame"]
    assert set(decoded["absent"]) <= {"OpenCV", "torchcodec"}
    step_takes(0.1)
    monkeypatch.setattr(limits, "measure_camera", lambda: DecodingCost(0.5, "a film"))
    found = told("streams", "--model", model_files["gru"], "--batch", 1, "--intervals", 2)
    assert 10 <= found["streams"] <= 15  # two intervals see a backlog late
    assert found["limits"]["decoding"] > 1
    assert found["derived"]["peak_tflops"] == 989
    assert all(math.isfinite(trial["busy"]) for trial in found["trials"])
    step_takes(0.0)
    soaked = told("soak", "--model", model_files["gru"], "--hours", 0.02, "--streams", 1)
    assert soaked["state_bytes_changed"] is False
    assert "slope_bytes_per_hour" in soaked
