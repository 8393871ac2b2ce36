"""The temporal check: changes keep their bounds and their times, and find what there is to find."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vigilia.checkpoint import load_classifier
from vigilia.cli import main
from vigilia.errors import InputError, OptionError
from vigilia.evaluation.stress import KINDS, perturb, stress_recording

FRAMES = torch.randint(20, 230, (6, 8, 8, 3), generator=torch.Generator().manual_seed(0)).float()


def brighter(frames: Tensor) -> Tensor:
    """Two classes: is the clip brighter than it is on average? Just so."""
    margin = frames.mean() - FRAMES.mean() + 0.5
    return torch.stack([margin, -margin])


def later(frames: Tensor) -> Tensor:
    """Is the last frame brighter than the first?"""
    margin = frames[-1].mean() - frames[0].mean()
    return torch.stack([margin, -margin])


def changed(kind: str, say: Callable[[Tensor], Tensor] = brighter, levels: float = 2.0) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    label = int(say(FRAMES).argmax())
    return perturb(say, FRAMES, label, kind, grey_levels=levels, steps=8, generator=draw)


@pytest.mark.parametrize("kind", ["noise", "clip", "frame", "flicker", "past"])
def test_no_pixel_moves_by_more_than_was_allowed(kind: str) -> None:
    moved = changed(kind) - FRAMES
    assert 0 < moved.abs().max() <= 2.0 + 1e-4
    assert changed(kind, levels=0.0).equal(FRAMES)
    assert changed(kind, levels=255.0).min() >= 0
    assert changed(kind, levels=255.0).max() <= 255


def test_each_kind_stays_in_its_time() -> None:
    assert not (changed("frame") - FRAMES)[:-1].any()
    flicker = changed("flicker") - FRAMES
    assert torch.allclose(flicker, flicker[:, :1, :1].expand_as(flicker), atol=1e-4)
    assert changed("frozen").equal(FRAMES[-1:].expand_as(FRAMES))
    assert changed("reversed").equal(FRAMES.flip(0))


def test_what_a_search_finds_noise_does_not() -> None:
    """Half a grey level decides; a search moves the mean by two, noise hardly at all."""
    assert brighter(FRAMES).argmax() == 0
    assert brighter(changed("clip")).argmax() == 1
    assert brighter(changed("flicker")).argmax() == 1
    assert brighter(changed("noise")).argmax() == 0
    assert brighter(changed("frame")).argmax() == 0  # a sixth of two levels is too little
    assert later(FRAMES).argmax() != later(FRAMES.flip(0)).argmax()


def test_a_recording_is_tried_and_only_memory_carries_the_past(
    make_video: Callable[..., Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", 60)
    told = []
    model = load_classifier(model_files["fam"])
    kept = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = stress_recording(video, model, clips=4, steps=3, grey_levels=8, on_clip=told.append)
    assert [one.kind for one in found] == list(KINDS)
    assert told == [1, 2, 3, 4]
    by_kind = {one.kind: one for one in found}
    assert all(one.clips == 4 for one in found)
    assert by_kind["clip"].left < by_kind["noise"].left  # what is searched for is found
    assert by_kind["past"].left != by_kind["past"].confidence
    again = stress_recording(video, model, clips=4, steps=3, grey_levels=8)
    assert again == found
    assert all(torch.equal(kept[name], tensor) for name, tensor in model.state_dict().items())
    assert all(one.requires_grad for one in model.parameters())
    # Without memory the clip before is gone.
    from conftest import tiny_model

    plain = stress_recording(video, tiny_model(memory="none"), clips=3, steps=2, grey_levels=8)
    past = next(one for one in plain if one.kind == "past")
    assert past.flipped == 0
    assert past.left == pytest.approx(past.confidence)


def test_what_cannot_be_tried_is_told(
    make_video: Callable[..., Path], model_files: dict[str, Path], tmp_path: Path
) -> None:
    model = load_classifier(model_files["gru"])
    with pytest.raises(InputError, match="fewer than two clips"):
        stress_recording(make_video(tmp_path / "short.mp4", 4), model)
    with pytest.raises(OptionError, match=r"grey_levels must lie in 0\.\.255"):
        stress_recording(tmp_path / "x.mp4", model, grey_levels=-1)


def test_the_command_prints_a_table_or_json(
    make_video: Callable[..., Path],
    model_files: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    video = make_video(tmp_path / "a.mp4", 40)
    given = [
        "stress",
        str(video),
        "--model",
        str(model_files["gru"]),
        "--clips",
        "2",
        "--steps",
        "1",
    ]
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "2 clips, up to 2 grey levels" in said
    assert "reversed" in said
    assert main([*given, "--json"]) == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == list(KINDS)
