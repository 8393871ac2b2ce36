"""What a model knows lies in its card, and a recording that is unlike it is flagged."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from training_noise import recording, tiny

from conftest import write_pictures
from vigilia.checkpoint import load_model
from vigilia.cli import main
from vigilia.errors import CheckpointError, OptionError
from vigilia.evaluation.familiar import AppearanceWatch, watch_familiarity
from vigilia.evaluation.known import Known, Light, embed_clips, fit_known, known_of
from vigilia.models import resolve_model
from vigilia.simulate import simulate_recording
from vigilia.stream import create_model
from vigilia.training.knowing import know_recordings
from vigilia.video import Gap, Sample

TINY = "--size 16 --clip-frames 4 --stride-frames 2 --slots 2 --summary-tokens 2 "
TINY += "--feedback-tokens 2 --epochs 1 --rows 2 --chunk-clips 2"


def pen(path: Path, seed: int, *, gain: float = 1.0, frames: int = 64) -> Path:
    """One scene, in which something moves; each recording has noise of its own."""
    scene = np.random.default_rng(0).integers(40, 200, (12, 16, 3)).repeat(4, 0).repeat(4, 1)
    random = np.random.default_rng([seed, 1])
    pictures = scene + random.normal(0, 4, (frames, *scene.shape))
    for number in range(frames):
        top = round(16 + 14 * np.sin(number / 5 + seed))
        pictures[number, top : top + 12, 20:36] = 230
    pictures = (gain * pictures).clip(0, 255).astype(np.uint8)
    return write_pictures(path, pictures, [125 * k for k in range(frames)])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings of a day, one of a night, and a model that learned from three of the days."""
    folder = tmp_path_factory.mktemp("familiar")
    days = [pen(folder / f"day{seed}.mp4", seed) for seed in range(4)]
    pen(folder / "night.mp4", 9, gain=0.15)
    rows = [f"{one.name},{s},{s + 2},{'ab'[s // 2 % 2]}" for one in days for s in range(0, 8, 2)]
    (folder / "labels.csv").write_text("\n".join(["recording,start,end,label", *rows]))
    given = [
        *map(str, days[:3]),
        str(folder / "labels.csv"),
        "--out",
        str(folder / "m.safetensors"),
    ]
    assert main(["train", *given, *TINY.split()]) == 0
    return folder


def test_training_writes_what_the_model_knows(home: Path) -> None:
    model = load_model(home / "m.safetensors")
    known = known_of(model.card)
    assert known is not None
    assert known.appearance is not None
    assert known.appearance.recordings == 3
    assert known.embeddings is not None
    assert len(known.embeddings.mean) == model.backbone.embedding_dim
    assert 0.3 < known.light.mean[0] < 0.7
    assert known_of({"trained_on": "x"}) is None
    with pytest.raises(CheckpointError, match="training recordings is damaged"):
        known_of({"known": {"light": {"mean": [1, 2]}}})


def test_what_is_known_survives_the_card_and_one_recording_gives_light_alone() -> None:
    model = tiny().eval()
    several = know_recordings(model, [recording(f"{n}.mp4", 12, n) for n in range(3)])
    back = known_of(json.loads(json.dumps({"known": several.as_card()})))
    assert back is not None
    assert back.light == several.light
    assert back.appearance is not None
    assert several.appearance is not None
    assert back.appearance.limit == several.appearance.limit
    alone = know_recordings(model, [recording("1.mp4", 12, 1)])
    assert (alone.appearance, alone.embeddings) == (None, None)
    again = known_of({"known": alone.as_card()})
    assert again == Known(alone.light, None, None)


def test_of_many_or_long_recordings_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def count(model: object, clips: object) -> np.ndarray:
        many = len(list(clips))  # type: ignore[call-overload]
        seen.append(many)
        return np.random.default_rng(len(seen)).normal(size=(many, 5))

    monkeypatch.setattr("vigilia.training.knowing.embed_clips", count)
    one = recording("x.mp4", 90, 0)
    know_recordings(tiny().eval(), [one] * 2)
    assert seen == [64, 64]
    seen.clear()
    know_recordings(tiny().eval(), [one] * 100)
    assert sum(seen) <= 256
    assert set(seen) == {8}


def test_embeddings_are_those_of_streaming_with_memory() -> None:
    one = recording("x.mp4", 6, 3)
    model = tiny().eval()
    clips = [(one.frames[n], float(end)) for n, end in zip(one.clips, one.end_seconds, strict=True)]
    found = embed_clips(model, clips)
    assert found.shape == (6, model.backbone.embedding_dim)
    assert not np.allclose(found[0], found[-1])
    assert np.array_equal(found, embed_clips(model, clips))


def familiar(home: Path, name: str, out: Path, *more: str) -> int:
    return main(
        [
            "familiar",
            str(home / name),
            "--model",
            str(home / "m.safetensors"),
            "--out",
            str(out),
            *more,
        ]
    )


def test_a_night_is_flagged_and_another_day_is_not(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert familiar(home, "day3.mp4", tmp_path / "day") == 0
    assert "picture: like the training" in capsys.readouterr().out
    assert familiar(home, "night.mp4", tmp_path / "night") == 1
    assert "picture: unlike the training: 100 % of the clips lie beyond" in capsys.readouterr().out
    for name in ("timeline.csv", "timeline.json", "familiarity.png"):
        assert (tmp_path / "night" / name).stat().st_size > 50
    with (tmp_path / "night" / "familiarity.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["start_seconds"] for row in rows] == [f"{s}.000" for s in range(8)]  # one a second
    assert all(float(row["appearance"]) > 1 for row in rows)
    assert all(0 <= float(row["doubt"]) <= 1 for row in rows)
    assert familiar(home, "night.mp4", tmp_path / "json", "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told["unfamiliar"]
    assert told["picture"]["share_beyond"] == 1.0


def test_a_run_notes_it_and_the_timeline_is_the_same(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = ["--model", str(home / "m.safetensors")]
    assert main(["run", str(home / "night.mp4"), *model, "--out", str(tmp_path / "n")]) == 0
    assert "note: this recording looks unlike those the model learned" in capsys.readouterr().err
    assert main(["run", str(home / "day3.mp4"), *model, "--out", str(tmp_path / "d")]) == 0
    assert "unlike" not in capsys.readouterr().err
    seen = watch_familiarity(home / "night.mp4", resolve_model(home / "m.safetensors"))
    seen.timeline.to_csv(tmp_path / "again.csv")
    assert (tmp_path / "n" / "timeline.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_a_model_that_does_not_know_says_so(
    model_files: dict[str, Path], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["familiar", str(home / "day3.mp4"), "--model", str(model_files["fam"])]
    assert main(given) == 2
    assert "card does not say what its training recordings look like" in capsys.readouterr().err


def test_a_hole_begins_a_new_clip() -> None:
    shown = [np.random.default_rng(n).integers(0, 255, (5, 4, 8, 8, 3)) for n in range(2)]
    known = fit_known([one.astype(np.uint8) for one in shown], [np.eye(5, 6)[:, :6]] * 2)
    assert isinstance(known.light, Light)
    assert known.appearance is not None
    watch = AppearanceWatch(known.appearance, frames=4)
    assert watch.verdict() is None
    pixels = np.zeros((8, 8, 3), np.uint8)
    for _ in range(3):
        watch.take(Sample(pixels, 0.0, 0.0))
    watch.take(Gap(1.0, 9.0))
    for _ in range(4):
        watch.take(Sample(pixels, 0.0, 0.0))
    assert len(watch.rows) == 1
    assert watch.verdict() is not None


@pytest.mark.long
def test_the_bundled_model_knows_the_pen_and_no_mouse_and_no_horse(
    shared_data: Path, tmp_path: Path
) -> None:
    """Another day of the simulation is familiar; other species, other cameras are not."""
    model = resolve_model("pen")
    day = tmp_path / "day.mp4"
    simulate_recording(day, seconds=90, seed=7001)
    assert not watch_familiarity(day, model).unfamiliar
    mouse = shared_data / "continuous" / "mouse_openfield_77s.mp4"
    horse = shared_data / "animals" / "horse_walking.mp4"
    for other in (mouse, horse):
        found = watch_familiarity(other, model)
        assert found.unfamiliar
        assert found.looks is not None
        assert found.looks.median_distance > 1
    other_model = create_model("conv3d_nano", num_classes=2, memory="none")
    with pytest.raises(OptionError, match="train it again"):
        watch_familiarity(day, other_model)
