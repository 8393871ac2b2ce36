"""Which moments mattered, over a recording: as a table, as a picture, and for no other memory."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vigilia import run
from vigilia.checkpoint import save_model
from vigilia.cli import main
from vigilia.evaluation.moments import watch_moments
from vigilia.stream import StreamClassifier, create_model


def weighing() -> StreamClassifier:
    torch.manual_seed(0)
    model = create_model(
        "conv3d_nano",
        classes=("a", "b", "c"),
        memory="multiscale",
        fps=8,
        clip_frames=8,
        stride_frames=4,
        height=32,
        width=32,
        recent_clips=3,
        value_dim=16,
        heads=2,
    )
    torch.nn.init.normal_(model.memory.gate)
    return model.eval()


def test_the_weights_of_a_recording_are_those_of_its_steps(
    make_video: Callable[..., Path], tmp_path: Path
) -> None:
    video, model = make_video(tmp_path / "clip.mp4", frames=40), weighing()
    found = watch_moments(video, model)
    assert found.timeline.segments == run(video, model=model).segments
    clips = len(found.start_seconds)
    assert clips > 3
    assert found.moments.taken.shape == found.moments.kept.shape == (clips,)
    assert found.moments.taken[0] == pytest.approx(1.0)  # before it there was nothing
    assert found.moments.kept.sum() == pytest.approx(1.0)
    assert np.allclose(found.moments.scales.sum(axis=1), 1)
    assert np.allclose(found.moments.end_seconds, found.end_seconds)


def test_the_command_plots_them_and_names_the_weightiest(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video, model = str(make_video(tmp_path / "clip.mp4", frames=40)), weighing()
    save_model(model, tmp_path / "m.safetensors", card={"trained_on": "noise"})
    given = ["moments", video, "--model", str(tmp_path / "m.safetensors")]
    given += ["--out", str(tmp_path / "seen")]
    assert main([*given, "--top", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = watch_moments(video, model)
    assert told["clips"] == len(found.moments.taken)
    assert [one["relevance"] for one in told["weightiest"]] == pytest.approx(
        sorted(found.moments.taken, reverse=True)[:2]
    )
    with (tmp_path / "seen" / "moments.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["relevance"]) for row in rows] == pytest.approx(
        found.moments.taken.tolist(), rel=1e-4
    )
    assert (tmp_path / "seen" / "moments.png").stat().st_size > 5_000
    assert main(given) == 0
    assert "of what was remembered came with it" in capsys.readouterr().out
    other = create_model("conv3d_nano", num_classes=2, memory="none", height=32, width=32)
    save_model(other, tmp_path / "none.safetensors", card={"trained_on": "noise"})
    assert main(["moments", video, "--model", str(tmp_path / "none.safetensors")]) == 2
    assert "train one with --memory multiscale" in capsys.readouterr().err
