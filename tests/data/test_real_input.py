"""Real recordings through `vigilia run`: each second of each gets exactly one label."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import vigilia
from vigilia.checkpoint import load_model
from vigilia.errors import BrokenVideoError
from vigilia.stream import StreamClassifier
from vigilia.timeline import Timeline
from vigilia.video import probe

CONTINUOUS = [
    "exercise_39s.avi",
    "fly_centred_73s.mp4",
    "fly_pair_120s.mp4",
    "mabe_triplet_60s.mp4",
    "mouse_openfield_77s.mp4",
    "vtest.avi",
]
CLIPS = [
    "apply_eye_makeup__test.avi",
    "flipping_pancake__flipping_a_pancake.mkv",
    "gif_baseball/bunt__bunt1.gif",
]


@pytest.fixture(scope="module")
def model(model_files: dict[str, Path]) -> StreamClassifier:
    return load_model(model_files["fam"])


def test_no_continuous_recording_is_left_out(shared_data: Path) -> None:
    found = {
        path.name
        for path in (shared_data / "continuous").iterdir()
        if path.suffix in (".avi", ".mp4", ".mkv", ".mov")
    }
    assert found == set(CONTINUOUS)


@pytest.mark.parametrize(
    "name",
    [f"continuous/{name}" for name in CONTINUOUS] + [f"clips/{name}" for name in CLIPS],
)
def test_every_second_of_a_real_recording_gets_exactly_one_label(
    name: str, shared_data: Path, model: StreamClassifier, tmp_path: Path
) -> None:
    video = shared_data / name
    try:
        timeline = vigilia.run(video, model=model, fps=1.0, out=tmp_path)
    except BrokenVideoError as error:
        pytest.fail(f"{name} is whole, but: {error}")
    duration = probe(video).duration_seconds
    assert duration is not None
    # A sample stands for a second, which may reach past the last frame.
    assert duration - 0.25 <= timeline.duration_seconds < duration + 1.25
    for before, after in itertools.pairwise(timeline.segments):
        assert before.end_seconds == after.start_seconds
    assert all(one.label in model.classes for one in timeline.segments), "none is unobserved"
    assert timeline.scores is not None
    assert len(timeline.scores) == round(timeline.duration_seconds)
    for row in range(len(timeline.scores)):
        middle = float(timeline.scores.start_seconds[row] + timeline.scores.end_seconds[row]) / 2
        best = int(timeline.scores.probabilities[row].argmax())
        assert timeline.label_at(middle) == model.classes[best]
    written = Timeline.read(tmp_path / "timeline.json")
    assert written.segments == timeline.segments
    assert written.source == video.name
