"""Training on recordings of an event camera, and running what was trained."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vigilia import load_model, run
from vigilia.cli import main
from vigilia.errors import InputError, OptionError
from vigilia.events import Binning, fit_events, make_events, model_bins, write_events
from vigilia.running.events import run_events
from vigilia.spiking import create_spiking_model
from vigilia.timeline import Interval, Labels
from vigilia.training import TrainOptions
from vigilia.training.event_recordings import prepare_event_recording, unpack_bins
from vigilia.training.event_start import EVENT_DEFAULTS, train_event_recordings
from vigilia.training.event_view import EventTeaching, EventView
from vigilia.training.loop import TrainingUpdate
from vigilia.training.rows import first_cursor, make_places, next_batch
from vigilia.training.sources import Annotated

SIDE, BIN = 16, 0.05


def write_recording(path: Path, *, seed: int = 0, seconds: float = 6.0, zero_us: int = 0) -> Labels:
    """A bar of events on the left or on the right of a 32x32 sensor, a second each, in turn."""
    random = np.random.default_rng(seed)
    t = np.sort(random.integers(0, round(seconds * 1e6), round(400 * seconds)))
    on_right = (t // 1_000_000) % 2 == 1
    x = random.integers(0, 8, len(t)) + np.where(on_right, 20, 4)
    events = make_events(
        t + zero_us, x, random.integers(8, 24, len(t)), random.integers(0, 2, len(t))
    )
    write_events(path, events, width=32, height=32)
    cuts = range(round(seconds))
    intervals = tuple(Interval(float(s), s + 1.0, "right" if s % 2 else "left") for s in cuts)
    return Labels(intervals, path.with_suffix(".csv"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Annotated]:
    folder = tmp_path_factory.mktemp("recorded")
    return [
        Annotated(folder / f"{seed}.dat", write_recording(folder / f"{seed}.dat", seed=seed))
        for seed in range(2)
    ]


OPTIONS = TrainOptions(
    epochs=4, rows=2, chunk_clips=10, learning_rate=1e-2, mirror=False, weight_decay=0.0
)


def trained(recorded: list[Annotated], out: Path, **changes: Any) -> list[dict[str, Any]]:
    arguments: dict[str, Any] = {
        "options": OPTIONS,
        "teaching": EventTeaching(longest_gap=3),
        "fps": 1 / BIN,
        "size": SIDE,
        "validation": ("1.dat",),
        "cache": out.parent / "bins",
    }
    return train_event_recordings(recorded, out=out, **{**arguments, **changes})


def test_events_are_moved_to_the_models_size_as_a_whole() -> None:
    events = make_events([1, 2], [0, 31], [5, 16], [1, 0])
    moved = fit_events(events, (32, 32), (16, 8))
    assert moved["x"].tolist() == [0, 15]
    assert moved["y"].tolist() == [1, 4]
    assert events["x"].tolist() == [0, 31]


def test_bins_lie_on_the_files_clock_and_an_epoch_clock_starts_at_its_first_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for zero_us, first in ((0, 7.3), (10**15, 0.0)):
        events = make_events([zero_us + 7_310_000, zero_us + 7_420_000], [1, 2], [3, 4], [1, 0])

        @contextmanager
        def opened(path: Path, events: np.ndarray = events) -> Iterator[Any]:
            reader = _Reader(iter([events]))
            yield reader

        monkeypatch.setattr("vigilia.events.streaming.open_events", opened)
        parts = list(model_bins("any", height=SIDE, width=SIDE, bin_seconds=BIN))
        starts = np.concatenate([starts for _, starts in parts])
        np.testing.assert_allclose(starts, first + BIN * np.arange(3), atol=1e-9)
        frames = np.concatenate([bins.frames for bins, _ in parts])
        assert frames.sum() == 2
        assert frames[0, 1, 1, 0] == 1
        assert frames[-1, 0, 2, 1] == 1


class _Reader:
    width = height = 32

    def __init__(self, pieces: Iterator[np.ndarray]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[np.ndarray]:
        return self.pieces


def test_a_recording_is_binned_once_and_each_bin_has_its_label(
    tmp_path: Path, recorded: list[Annotated]
) -> None:
    spec = create_spiking_model(
        "neuro_svt_nano", classes=("left", "right"), height=SIDE, width=SIDE, bin_seconds=BIN
    ).spec
    seen: list[float] = []
    path, labels = recorded[0].video, recorded[0].labels
    recording = prepare_event_recording(
        path, labels, spec=spec, cache=tmp_path, on_frame=lambda s, _: seen.append(s)
    )

    def refuse(seconds: float, duration: float | None) -> None:
        raise AssertionError("it was binned again")

    once = len(seen)
    prepare_event_recording(path, labels, spec=spec, cache=tmp_path, on_frame=refuse)
    assert once > 0
    assert len(recording) == round(6 / BIN)
    bins = unpack_bins(recording.frames, SIDE, SIDE)
    half = SIDE // 2
    for at, label in enumerate(recording.labels):
        columns = bins[at].sum((0, 1))
        assert (columns[half:].sum() > 0) == (label == 1)
        assert (columns[:half].sum() > 0) == (label == 0)


def test_a_small_task_is_learned_and_its_timeline_is_right(
    tmp_path: Path, recorded: list[Annotated]
) -> None:
    out = tmp_path / "side.safetensors"
    history = trained(recorded, out)
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["accuracy"] > 0.8
    model = load_model(out)
    assert model.card["teaching"]["longest_gap"] == 3
    assert "Bins of 50 ms" in out.with_name(out.name + ".card.md").read_text()
    timeline = run(recorded[1].video, model=out, out=tmp_path / "said")
    assert (tmp_path / "said" / "timeline.csv").exists()
    assert timeline.start_seconds == 0.0
    right = sum(
        max(0.0, min(s.end_seconds, i.end_seconds) - max(s.start_seconds, i.start_seconds))
        for s in timeline.segments
        for i in recorded[1].labels.intervals
        if s.label == i.label
    )
    assert right / 6 > 0.75
    with pytest.raises(OptionError, match="fps is for video"):
        run(recorded[1].video, model=model, fps=3)


def test_a_killed_training_goes_on_to_the_same_bits(
    tmp_path: Path, recorded: list[Annotated]
) -> None:
    options = dataclasses.replace(OPTIONS, epochs=2, chunk_clips=30)
    whole, cut = tmp_path / "a" / "m.safetensors", tmp_path / "b" / "m.safetensors"
    trained(recorded, whole, options=options)

    def kill(update: TrainingUpdate) -> None:
        if update.figures is not None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(recorded, cut, options=options, on_update=kill)
    trained(recorded, cut, options=options)
    one, two = load_model(whole).state_dict(), load_model(cut).state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_hidden_bins_grow_over_the_course_and_labels_stay(
    tmp_path: Path, recorded: list[Annotated]
) -> None:
    model = create_spiking_model(
        "neuro_svt_nano", classes=("left", "right"), height=SIDE, width=SIDE, bin_seconds=BIN
    )
    cache = tmp_path / "bins"
    recordings = [
        prepare_event_recording(one.video, one.labels, spec=model.spec, cache=cache)
        for one in recorded
    ]
    places = make_places(recordings, dataclasses.replace(OPTIONS, rows=16))
    cursor, batches = first_cursor(places), []
    for _ in range(12):
        batch, cursor = next_batch(places, cursor)
        batches.append(batch)
    teaching = EventTeaching(longest_gap=8, hidden_noise=0.0)
    view = EventView(model, recordings, teaching)
    shown = view._load(batches)
    counts = []
    for course in (0.0, 0.2, 1.0):
        changed, hidden = view.at(course)._changed(shown.clone(), batches, teaching)
        assert torch.equal(changed[~hidden], shown[~hidden])
        assert not changed[hidden].any()
        assert not hidden[0].any()
        counts.append(int(hidden.sum(0).max()))
    assert counts[0] == 0
    assert 0 < counts[1] <= 4 < counts[2] <= 8
    again = view.at(1.0)._changed(shown.clone(), batches, teaching)
    assert torch.equal(again[0], changed)


def test_the_gate_is_told_and_spikes_on_nothing_cost(
    tmp_path: Path, recorded: list[Annotated]
) -> None:
    model = create_spiking_model(
        "neuro_svt_nano", classes=("left", "right"), height=SIDE, width=SIDE, bin_seconds=BIN
    )
    recordings = [
        prepare_event_recording(one.video, one.labels, spec=model.spec, cache=tmp_path)
        for one in recorded
    ]
    places = make_places(recordings, OPTIONS)
    cursor, batches = first_cursor(places), []
    for _ in range(8):
        batch, cursor = next_batch(places, cursor)
        batches.append(batch)

    def extra(**options: float) -> float:
        teaching = EventTeaching(
            longest_gap=6, **{"gate_weight": 0.0, "quiet_weight": 0.0} | options
        )  # type: ignore[arg-type]
        view = EventView(model, recordings, teaching, course=1.0)
        with torch.no_grad():
            return float(view.taught(batches, model.init_state(2))[1])

    model.eval()

    assert extra() == 0
    assert extra(gate_weight=1.0) > 0
    assert extra(gate_weight=2.0) == pytest.approx(2 * extra(gate_weight=1.0))


def test_bad_input_is_one_clear_line(tmp_path: Path, recorded: list[Annotated]) -> None:
    out = tmp_path / "m.safetensors"
    with pytest.raises(OptionError, match="mixup is for video"):
        trained(recorded, out, options=dataclasses.replace(OPTIONS, mixup=0.5))
    with pytest.raises(OptionError, match="no memory named 'fam'"):
        trained(recorded, out, memory="fam")
    with pytest.raises(OptionError, match="longest_gap"):
        EventTeaching(longest_gap=-1)
    write_events(tmp_path / "none.dat", make_events([], [], [], []), width=32, height=32)
    with pytest.raises(InputError, match="holds no event"):
        run_events(
            tmp_path / "none.dat",
            model=create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16),
        )
    shutil.rmtree(tmp_path)


def test_a_timeline_says_what_of_the_events_was_put_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = create_spiking_model(
        "neuro_svt_nano", num_classes=2, height=16, width=16, bin_seconds=0.05
    ).eval()
    write_recording(tmp_path / "good.dat", seconds=1.0)
    told = run_events(tmp_path / "good.dat", model=model).assumptions["events_repaired"]
    assert told == "none"
    content = (tmp_path / "good.dat").read_bytes()
    (tmp_path / "cut.dat").write_bytes(content[:-3])
    told = run_events(tmp_path / "cut.dat", model=model).assumptions["events_repaired"]
    assert told == "5 bytes at the end are less than an event: the file was cut off"
    # Of a flood what a bin cannot hold is dropped, and that is said.
    monkeypatch.setattr("vigilia.events.streaming.Binning", partial(Binning, most_events=2))
    found = dict[str, int]()
    kept = model_bins(tmp_path / "cut.dat", height=16, width=16, bin_seconds=0.05, found=found)
    counted = sum(int(bins.events.sum()) for bins, _ in kept)
    assert counted + found["dropped_events"] == 399
    assert found["dropped_events"] > 300
    told = run_events(tmp_path / "cut.dat", model=model).assumptions["events_repaired"]
    assert f"{found['dropped_events']} events beyond what a bin may hold were left out" in str(told)


def test_the_commands_train_and_run_on_events(
    tmp_path: Path, recorded: list[Annotated], capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels"
    labels.mkdir()
    for one in recorded:
        rows = [f"{i.start_seconds},{i.end_seconds},{i.label}" for i in one.labels.intervals]
        (labels / f"{one.video.stem}.csv").write_text("\n".join(["start,end,label", *rows]))
    out, folder = tmp_path / "m.safetensors", recorded[0].video.parent
    train = ["train", str(folder), str(labels), "--out", str(out), "--model", "neuro_svt_nano"]
    assert main([*train, "--zoom", "0.1"]) == 2
    assert "zoom is for video" in capsys.readouterr().err
    assert main([*train, "--clip-frames", "8"]) == 2
    assert "--clip-frames is for video" in capsys.readouterr().err
    assert main([*train, "--epochs", "1", "--size", "16", "--fps", "20"]) == 0
    model = load_model(out)
    assert model.card["options"]["chunk_clips"] == EVENT_DEFAULTS["chunk_clips"]
    assert model.card["options"]["learning_rate"] == EVENT_DEFAULTS["learning_rate"]
    assert (model.spec.height, model.spec.bin_seconds) == (16, 0.05)
    both = [str(one.video) for one in recorded]
    assert main(["run", *both, "--model", str(out), "--out", str(tmp_path / "said")]) == 0
    assert all((tmp_path / "said" / name / "timeline.csv").exists() for name in "01")
    capsys.readouterr()
    # One that cannot be read is named, and the others are run all the same.
    empty = tmp_path / "empty.dat"
    empty.touch()
    several = [both[0], str(empty), both[1]]
    assert main(["run", *several, "--model", str(out), "--out", str(tmp_path / "again")]) == 2
    assert "empty.dat: the file is empty" in capsys.readouterr().err
    assert all((tmp_path / "again" / name / "timeline.csv").exists() for name in "01")
    assert main(["run", both[0], "--model", str(out), "--gate"]) == 2
    assert "gate is for video" in capsys.readouterr().err
