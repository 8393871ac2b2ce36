"""Calibration: no answer changes, probabilities become as large as the answers are right."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from training_noise import recording, tiny

from vigilia import run
from vigilia.checkpoint import load_classifier, save_model
from vigilia.cli import main
from vigilia.errors import InputError
from vigilia.stream import StreamClassifier
from vigilia.training.calibrating import calibrate_model

DAYS = [recording(f"day{seed}.mp4", 40, seed) for seed in range(3)]


def too_sure() -> StreamClassifier:
    """Mostly right about what is bright, and as good as certain every time."""
    model = tiny("none").eval()
    clips = [torch.from_numpy(one.frames[one.clips]) for one in DAYS]
    with torch.no_grad():
        seen = torch.cat(
            [model.backbone.pool(model.backbone(model.preprocessing.to_clip(x))) for x in clips]
        )
        labels = torch.from_numpy(np.concatenate([one.labels for one in DAYS]))
        bright, dark = seen[labels == 1].mean(0), seen[labels == 0].mean(0)
        way = (bright - dark) / (bright - dark).square().sum()
        model.head.weight.copy_(torch.stack([-way, way]))
        middle = float(way @ (bright + dark) / 2)
        model.head.bias.copy_(torch.tensor([middle, -middle]))
        model.head.weight.mul_(20)
        model.head.bias.mul_(20)
    return model


def test_a_model_that_was_too_sure_is_as_sure_as_it_is_right() -> None:
    model = too_sure()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = calibrate_model(model, DAYS)
    assert found.temperature > 2
    assert found.left_out
    assert found.clips == sum(int((one.labels >= 0).sum()) for one in DAYS)
    assert found.error[1] < 0.8 * found.error[0]
    assert found.loss[1] < found.loss[0] / 2
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    clip = torch.randn(2, 3, 4, 16, 16)
    old, _ = model.step(clip, model.init_state(2))
    new, _ = found.model.step(clip, found.model.init_state(2))
    torch.testing.assert_close(new, old / found.temperature)
    # What is calibrated needs nothing more.
    assert calibrate_model(found.model, DAYS).temperature == pytest.approx(1.0, abs=1e-3)


def test_of_one_recording_it_is_said_that_none_was_left_out() -> None:
    found = calibrate_model(too_sure(), DAYS[:1])
    assert not found.left_out
    nothing = dataclasses.replace(DAYS[0], labels=np.full(len(DAYS[0]), -1))
    assert calibrate_model(too_sure(), [DAYS[0], nothing]).as_dict() == found.as_dict()
    with pytest.raises(InputError, match="no clip is labelled"):
        calibrate_model(too_sure(), [nothing])


def test_the_command_writes_a_model_that_says_the_same_less_surely(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = too_sure()
    save_model(model, tmp_path / "sow.safetensors", card={"recordings": ["b.mp4"]})
    videos = [make_video(tmp_path / name, 64, seed=n) for n, name in enumerate(("a.mp4", "b.mp4"))]
    labels = tmp_path / "labels.csv"
    rows = [
        f"{name},{start},{start + 1},{'dark' if start % 2 else 'bright'}"
        for name in ("a.mp4", "b.mp4")
        for start in range(4)
    ]
    labels.write_text("\n".join(["video,start,end,label", *rows]) + "\n")
    given = ["calibrate", *map(str, videos), str(labels)]
    given += ["--model", str(tmp_path / "sow.safetensors"), "--out", str(tmp_path / "new")]
    assert main([*given[:-1], str(tmp_path)]) == 2
    given[-1] += ".safetensors"
    capsys.readouterr()
    assert main([*given, "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["left_out"]
    assert "learned from a recording called b.mp4" in told.err
    written = load_classifier(tmp_path / "new.safetensors")
    assert written.card["calibrated"]["temperature"] == found["temperature"]
    assert written.card["calibrated"]["recordings"] == ["a.mp4", "b.mp4"]
    old, new = (run(videos[0], model=one) for one in (model, written))
    assert old.scores is not None
    assert new.scores is not None
    assert np.array_equal(
        old.scores.probabilities.argmax(axis=1), new.scores.probabilities.argmax(axis=1)
    )
    assert new.scores.probabilities.max(axis=1).mean() < old.scores.probabilities.max(axis=1).mean()
    assert main(given) == 0
    assert "expected calibration error is" in capsys.readouterr().out
