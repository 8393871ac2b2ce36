"""A new camera: light is matched by hand, norms anew, and what gets worse is refused."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_noise import SIZE, opened, recording, tiny

from vigilia.adaptation import AdaptOptions, Seen, judge_change
from vigilia.adaptation.entropy import entropy_loss, minimise_entropy, norm_parameters, prior_of
from vigilia.adaptation.judging import first_held_out, look
from vigilia.adaptation.light import match_light
from vigilia.adaptation.norms import OLD_CLIPS, batch_norms, renorm
from vigilia.adaptation.start import adapt_model
from vigilia.checkpoint import load_model, save_model
from vigilia.cli import main
from vigilia.errors import InputError, OptionError
from vigilia.evaluation.known import Light, light_of
from vigilia.preprocessing import Preprocessing
from vigilia.stream import StreamClassifier, create_model
from vigilia.training import Recording
from vigilia.training.knowing import know_recordings

DAY = [recording(f"day{seed}.mp4", 24, seed) for seed in range(4)]


def darker(one: Recording, gain: float = 0.4, offset: float = 6.0) -> Recording:
    frames = (np.asarray(one.frames, np.float64) * gain + offset).round().astype(np.uint8)
    return dataclasses.replace(one, frames=frames)


def knowing(**options: Any) -> StreamClassifier:
    """A model whose card says what it learned from."""
    model = opened(tiny(**options)).eval()
    model.card = {"trained_on": "noise", "known": know_recordings(model, DAY).as_card()}
    return model


def test_light_is_matched_by_hand() -> None:
    # Half the deviation, a mean that moved: what the backbone sees is what it saw.
    plain = Preprocessing(clip_frames=2, stride_frames=2, height=8, width=8)
    known, found = Light((0.5,) * 3, (0.2,) * 3), Light((0.3,) * 3, (0.1,) * 3)
    new = match_light(plain, known, found)
    assert new.std == pytest.approx([0.5 * one for one in plain.std])
    pixels = torch.randint(40, 110, (1, 2, 8, 8, 3), dtype=torch.uint8)
    day = ((pixels.float() / 255 - 0.3) / 0.1 * 0.2 + 0.5) * 255  # as the training's camera saw it
    mean, std = (torch.tensor(one).view(1, 3, 1, 1, 1) for one in (plain.mean, plain.std))
    expected = (day.permute(0, 4, 1, 2, 3) / 255 - mean) / std
    assert torch.allclose(new.to_clip(pixels), expected, atol=1e-4)
    assert match_light(plain, known, known) == plain
    with pytest.raises(InputError, match="Is the lens covered"):
        match_light(plain, known, Light((0.1,) * 3, (0.001,) * 3))


def test_a_darker_camera_is_seen_as_the_old_one() -> None:
    model = knowing()
    night = [darker(one) for one in DAY]
    adapted = adapt_model(model, night, options=AdaptOptions(methods=("light",)))
    assert adapted.refused == ()
    assert set(adapted.done) == {"light"}
    old, new = look(model, DAY, None), adapted.change.after
    before = adapted.change.before
    off, left = (np.abs(old.probabilities - one.probabilities).max() for one in (before, new))
    # Left are whole grey levels in the dark, and a light that was taken from part of the clips.
    assert left < off / 3
    assert before.distance is not None
    assert new.distance is not None
    assert new.distance < before.distance
    assert model.preprocessing != adapted.model.preprocessing
    for name, tensor in model.state_dict().items():
        assert torch.equal(adapted.model.state_dict()[name], tensor)
    # Its card knows the new camera now; to adapt to it again changes nothing.
    again = adapt_model(adapted.model, night, options=AdaptOptions(methods=("light",)))
    assert "look like those of the training already" in again.refused[0]
    assert again.model.preprocessing.std == pytest.approx(adapted.model.preprocessing.std, rel=0.05)


def test_recordings_like_the_training_are_nothing_to_adapt_to() -> None:
    other_day = [recording(f"other{seed}.mp4", 20, 50 + seed) for seed in range(2)]
    adapted = adapt_model(knowing(), other_day)
    assert any("there is nothing to adapt to" in one for one in adapted.refused)


def test_what_the_picture_does_not_tell_the_embeddings_do() -> None:
    """Light that was wrong is put right even where eight numbers of the picture see nothing."""
    model = knowing()
    model.card["known"]["appearance"]["limit"] *= 1e6  # whatever comes looks like the training's
    light = AdaptOptions(methods=("light",))
    other_day = [recording(f"other{seed}.mp4", 20, 50 + seed) for seed in range(2)]
    (one,) = adapt_model(model, other_day, options=light).refused
    assert "came no nearer to it (" in one
    dark = adapt_model(model, [darker(one) for one in DAY], options=light)
    assert dark.change.nearer
    assert dark.refused == ()


def test_embeddings_came_nearer_if_a_tenth_of_their_distance_is_gone() -> None:
    def change(before: float | None, after: float | None) -> bool:
        return judge_change(seen([5, 5], before), seen([5, 5], after, seed=1)).nearer

    assert change(0.38, 0.27)  # in the dark, light put right
    assert change(1.0, 0.9)
    assert not change(1.0, 0.91)
    assert not change(0.26, 0.27)  # the camera of the training
    assert not change(None, 0.1)
    assert not change(1.0, None)


def test_a_model_that_does_not_know_its_training_is_refused() -> None:
    with pytest.raises(OptionError, match="card does not say what its training recordings look"):
        adapt_model(tiny().eval(), DAY)


@torch.no_grad()
def test_batch_norms_take_new_statistics_and_nothing_else_moves() -> None:
    torch.manual_seed(0)
    model = create_model(
        "r3d_nano", num_classes=2, memory="none", clip_frames=8, height=32, width=32
    ).eval()
    kept = copy.deepcopy(model)
    clips = [3 + 2 * torch.randn(4, 3, 8, 32, 32) for _ in range(6)]
    assert renorm(model, clips) == 24
    first, old = batch_norms(model)[0], batch_norms(kept)[0]
    # By hand for the first: what stands before it is a convolution.
    seen = torch.cat([_before_first(kept, one) for one in clips])
    share = 24 / (24 + OLD_CLIPS)
    mean = seen.mean(dim=(0, 2, 3, 4))
    expected = (1 - share) * old.running_mean + share * mean
    assert torch.allclose(first.running_mean, expected, atol=1e-3)
    moved = {
        name
        for name, tensor in model.state_dict().items()
        if not torch.equal(tensor, kept.state_dict()[name])
    }
    assert moved
    assert all("running_" in name or "num_batches" in name for name in moved)
    assert not any(one.training for one in model.modules())
    assert renorm(tiny().eval(), clips) == 0  # layer norms have no statistics


def _before_first(model: StreamClassifier, clip: torch.Tensor) -> torch.Tensor:
    seen: list[torch.Tensor] = []
    handle = batch_norms(model)[0].register_forward_hook(
        lambda m, given, out: seen.append(given[0])
    )
    model.backbone(clip)
    handle.remove()
    return seen[0]


def test_the_entropy_by_hand() -> None:
    options = AdaptOptions(methods=("entropy",), prior=0.0)
    even, prior = torch.zeros(2, 2), torch.tensor([0.5, 0.5])
    # Nobody is sure of anything: nothing to learn from.
    assert float(entropy_loss(even, prior, prior, options)) == 0
    sure = torch.tensor([[4.0, 0.0], [0.0, 0.0]])
    p = 1 / (1 + np.exp(-4))
    expected = -(p * np.log(p) + (1 - p) * np.log(1 - p)) / np.log(2)
    assert float(entropy_loss(sure, prior, prior, options)) == pytest.approx(expected, abs=1e-6)
    # All of one class, again and again: the prior objects, the more so the rarer the class is.
    strict = AdaptOptions(methods=("entropy",), prior=1.0)
    one = torch.tensor([[9.0, 0.0]] * 4)
    alike = float(entropy_loss(one, torch.tensor([0.9, 0.1]), prior, strict))
    rare = float(entropy_loss(one, torch.tensor([0.9, 0.1]), torch.tensor([0.1, 0.9]), strict))
    assert 0.3 < alike < rare


def test_only_gains_and_offsets_of_the_norms_learn_and_entropy_falls() -> None:
    model = opened(tiny("none")).eval()
    with torch.no_grad():
        model.head.weight.mul_(60)
    kept = copy.deepcopy(model)
    options = AdaptOptions(
        methods=("entropy",), updates=25, sure=1.0, prior=0.0, anchor=0.0, learning_rate=5e-3
    )
    before = look(model, DAY[:2], None).doubt
    minimise_entropy(model, DAY[:2], prior=torch.ones(2) / 2, options=options)
    assert look(model, DAY[:2], None).doubt < before
    learned = {id(one) for one in norm_parameters(model.backbone)}
    names = {name for name, one in model.named_parameters() if id(one) in learned}
    for name, tensor in kept.state_dict().items():
        if name not in names:
            assert torch.equal(model.state_dict()[name], tensor), name
    assert all(one.requires_grad for one in model.parameters())
    # An anchor holds them.
    held = copy.deepcopy(kept)
    firm = dataclasses.replace(options, anchor=1e4)
    minimise_entropy(held, DAY[:2], prior=torch.ones(2) / 2, options=firm)

    def way(other: nn.Module) -> float:
        pairs = zip(norm_parameters(other), norm_parameters(kept), strict=True)
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    assert way(held) < 0.2 * way(model)


def test_the_prior_is_that_of_the_training() -> None:
    assert prior_of({"clips": {"b": 30, "a": 10}}, ("a", "b")).tolist() == [0.25, 0.75]
    assert prior_of({}, ("a", "b")).tolist() == [0.5, 0.5]


def seen(shares: list[int], distance: float | None = None, seed: int = 0) -> Seen:
    said = np.repeat(np.arange(len(shares)), shares)
    probabilities = np.random.default_rng(seed).dirichlet(np.ones(len(shares)), len(said))
    return Seen(said, probabilities, distance)


def test_what_falls_into_one_class_or_moves_away_is_refused_and_the_rest_is_not() -> None:
    before = seen([50, 30, 20], 2.0)
    assert before.classes_in_effect == pytest.approx(np.exp(1.0297), abs=0.01)
    assert judge_change(before, seen([45, 30, 25], 1.2, seed=1)).refused == ()
    (one,) = judge_change(before, seen([100, 0, 0], 1.2, seed=1)).refused
    assert "fell into one class: 2.8 classes in effect before, 1.0 after" in one
    (two,) = judge_change(before, seen([45, 30, 25], 2.4, seed=1)).refused
    assert "moved away from the training's: 2.00 times the limit before, 2.40 after" in two
    assert judge_change(before, before).refused == ("nothing changed",)
    change = judge_change(seen([4, 0]), seen([2, 2], seed=1))
    assert change.changed == 0.5


def test_the_last_quarter_is_not_learned_from() -> None:
    assert first_held_out(recording("x.mp4", 24, 0)) == 18
    assert first_held_out(recording("x.mp4", 1, 0)) == 0
    assert len(look(tiny().eval(), DAY, None).said) == 4 * 6


def test_light_is_that_of_all_pixels_each_recording_counting_alike() -> None:
    bright, dark = np.full((2, 4, 4, 3), 200, np.uint8), np.full((9, 4, 4, 3), 100, np.uint8)
    found = light_of([bright, dark])
    assert found.mean == pytest.approx([150 / 255] * 3)
    assert found.std == pytest.approx([50 / 255] * 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"methods": ("luck",)}, "method must be one of light, norms, entropy"),
        ({"methods": ()}, "name at least one method"),
        ({"sure": 0.0}, "sure must lie in 0..1, above 0"),
        ({"updates": 0}, "updates must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate must be positive"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        AdaptOptions(**options)


def test_the_command_writes_what_may_be_used_and_nothing_else(
    make_video: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = knowing()
    save_model(model, tmp_path / "day.safetensors")
    video = make_video(tmp_path / "new.mp4", 64)
    out = tmp_path / "new.safetensors"
    given = ["adapt", str(tmp_path / "day.safetensors"), str(video), "--out", str(out)]
    code = main(given)
    told = capsys.readouterr()
    assert "on the last quarter of the recordings" in told.out
    assert "of the clips are named otherwise" in told.out
    assert (code == 0) == out.exists()
    assert code == 0 or "refused: " in told.err
    assert main([*given, "--force"]) == 0
    adapted = load_model(out)
    assert adapted.card["adapted"]["done"].keys() == {"light"}
    assert "adapted without labels to new.mp4" in adapted.card["trained_on"]
    assert adapted.preprocessing.mean != model.preprocessing.mean
    assert adapted.preprocessing.height == SIZE
    black = make_video(tmp_path / "black.mp4", 16, seed=1)
    assert main(["adapt", "missing.safetensors", str(black), "--out", str(out)]) == 2
    assert main([*given[:3], str(tmp_path / "none.mp4"), "--out", str(out)]) == 2
