"""Simulated recordings on disk: video, labels, description."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import av
import numpy as np
import pytest

from vigilia.errors import OptionError, OutputError
from vigilia.simulate import plan_recording, simulate_recording


def read_video(path: Path) -> tuple[np.ndarray, list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    pixels = np.stack([frame.to_ndarray(format="rgb24") for frame in frames])
    return pixels, [float(frame.pts * frame.time_base) for frame in frames]


def test_video_labels_and_description_tell_the_same_story(tmp_path: Path) -> None:
    video = tmp_path / "new" / "pen.mp4"
    labels = simulate_recording(video, seconds=60.0, seed=4, size=(64, 96), time_scale=1.0)
    plan = plan_recording(seconds=60.0, seed=4, size=(64, 96), time_scale=1.0)
    assert labels == tmp_path / "new" / "pen.csv"
    with labels.open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["start_seconds", "end_seconds", "label"]
    assert [(float(a), float(b), c) for a, b, c in rows[1:]] == list(plan.states)
    assert rows[1][0] == "0.000"
    assert rows[1][2] == "wake"
    assert rows[-1][1] == "60.000"
    pixels, times = read_video(video)
    assert pixels.shape == (480, 64, 96, 3)
    assert times == [index / 8.0 for index in range(480)]
    story = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))
    assert "simulation" in story["note"]
    assert story["seed"] == 4
    assert story["time_scale"] == 1.0
    assert story["hypnogram_provenance"]["licence"] == "CC-BY"
    assert [event["name"] for event in story["events"]] == [event.name for event in plan.events]


def test_the_same_seed_gives_the_same_pixels(tmp_path: Path) -> None:
    pixels = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        video = tmp_path / f"{name}.mp4"
        simulate_recording(video, seconds=5.0, seed=seed, size=(64, 64))
        pixels.append(read_video(video)[0])
    np.testing.assert_array_equal(pixels[0], pixels[1])
    assert (pixels[0] != pixels[2]).any()


@pytest.mark.parametrize("seed", range(10))
def test_half_an_hour_starts_awake_and_visits_every_state_three_times(seed: int) -> None:
    names = [state for _, _, state in plan_recording(seconds=1800.0, seed=seed).states]
    assert names[0] == "wake"
    assert min(names.count(state) for state in ("wake", "NREM", "REM")) >= 3


def test_a_frame_rate_of_broadcast_cameras_is_kept(tmp_path: Path) -> None:
    simulate_recording(tmp_path / "a.mp4", seconds=2.0, seed=1, fps=30000 / 1001, size=(64, 64))
    _, times = read_video(tmp_path / "a.mp4")
    np.testing.assert_allclose(times, np.arange(60) * 1001 / 30000, atol=1e-4)


def test_bad_destinations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"\.mp4"):
        simulate_recording(tmp_path / "pen.csv", seconds=5.0, seed=0)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        simulate_recording(tmp_path / "file" / "pen.mp4", seconds=5.0, seed=0, size=(64, 64))
