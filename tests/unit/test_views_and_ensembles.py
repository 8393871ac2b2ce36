"""Many views of a clip, several models, mean weights, surprise: each is what it says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vigilia import run
from vigilia.checkpoint import load_classifier, save_model
from vigilia.cli import main
from vigilia.errors import OptionError, VideoError
from vigilia.evaluation import views as view_file
from vigilia.evaluation.surprise import watch_surprise
from vigilia.evaluation.views import classify_views, crop_places, cut_views, view_starts
from vigilia.relevance import surprise_of
from vigilia.relevance.multiscale import RelevanceState
from vigilia.stream import StreamClassifier, create_model
from vigilia.stream.averaging import average_models
from vigilia.stream.ensemble import Ensemble
from vigilia.stream.surprised import SurprisedState, surprised

MakeVideo = Callable[..., Path]


def tiny(seed: int = 0, memory: str = "gru", **options: object) -> StreamClassifier:
    torch.manual_seed(seed)
    if memory == "gru":
        options = {"hidden": 8, **options}
    model = create_model(
        "conv3d_nano",
        classes=("a", "b", "c"),
        memory=memory,
        fps=8,
        clip_frames=8,
        stride_frames=4,
        height=32,
        width=32,
        **options,
    )
    with torch.no_grad():
        model.head.weight.normal_()
    return model.eval()


def clips(count: int, rows: int = 2) -> torch.Tensor:
    return torch.randn(count, rows, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))


def test_views_are_spread_over_time_and_over_the_longer_side() -> None:
    assert view_starts(40, clip_frames=10, temporal=4) == [0, 10, 20, 30]
    assert view_starts(40, clip_frames=10, temporal=1) == [15]
    assert view_starts(5, clip_frames=10, temporal=3) == [0, 0, 0]
    assert crop_places(10, 16, crop=(10, 10), spatial=3) == [(0, 0), (0, 3), (0, 6)]
    assert crop_places(16, 10, crop=(10, 10), spatial=3) == [(0, 0), (3, 0), (6, 0)]
    assert crop_places(10, 16, crop=(10, 10), spatial=1) == [(0, 3)]


def test_views_hold_the_pixels_of_their_place_and_time() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (12, 8, 14, 3)).astype(np.uint8)
    cut = cut_views(frames, clip_frames=4, crop=(8, 8), temporal=3, spatial=3)
    assert cut.shape == (9, 4, 8, 8, 3)
    assert np.array_equal(cut[4], frames[4:8, :, 3:11])  # the middle in time and in place
    assert np.array_equal(cut[8], frames[8:12, :, 6:14])
    short = cut_views(frames[:2], clip_frames=4, crop=(8, 8), temporal=1, spatial=1)
    assert np.array_equal(short[0, 1], short[0, 3])
    with pytest.raises(OptionError, match="do not fit"):
        cut_views(frames, clip_frames=4, crop=(9, 8), temporal=1, spatial=1)
    with pytest.raises(OptionError, match="at least 1 x 1"):
        cut_views(frames, clip_frames=4, crop=(8, 8), temporal=0, spatial=1)


def test_a_clip_is_the_mean_over_views_and_models(
    make_video: MakeVideo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video(tmp_path / "clip.mp4", frames=24)  # 64 by 48 pixels
    one, two = tiny(0), tiny(1)
    found = classify_views(video, [one], temporal=3, spatial=3, batch=4)
    assert found.by_view.shape == (9, 3)
    assert np.allclose(found.by_view.sum(axis=1), 1)
    assert np.allclose(found.probabilities, found.by_view.mean(axis=0))
    assert found.by_view.std(axis=0).max() > 0
    assert found.label == found.classes[int(found.probabilities.argmax())]
    again = classify_views(video, [one], temporal=3, spatial=3, batch=9)
    assert np.allclose(again.by_view, found.by_view, atol=1e-6)
    other = classify_views(video, [two], temporal=3, spatial=3)
    both = classify_views(video, [one, two], temporal=3, spatial=3)
    assert np.allclose(both.probabilities, (found.probabilities + other.probabilities) / 2)
    monkeypatch.setattr(view_file, "LONGEST_SECONDS", 1.0)
    with pytest.raises(VideoError, match="vigilia run"):
        classify_views(video, [one])


def test_the_mean_of_weights_is_a_model() -> None:
    one, two = tiny(0), tiny(1)
    before = one.head.weight.clone()
    mean = average_models([one, two])
    assert torch.allclose(mean.head.weight, (one.head.weight + two.head.weight) / 2)
    assert torch.equal(one.head.weight, before)
    assert "mean of 2 checkpoints" in mean.card["trained_on"]
    same = average_models([one, one, one])
    for name, tensor in same.state_dict().items():
        assert torch.allclose(tensor, one.state_dict()[name], atol=1e-7), name
    with pytest.raises(OptionError, match="model 2 is not built like the first"):
        average_models([one, tiny(0, memory="none")])
    with pytest.raises(OptionError, match="at least 2"):
        average_models([one])


@torch.inference_mode()
def test_an_ensemble_answers_with_mean_probabilities_and_leaves_idle_rows_alone() -> None:
    one, two = tiny(0), tiny(1, hidden=4)
    both = Ensemble([one, two])
    states = one.init_state(2), two.init_state(2)
    state = both.init_state(2)
    for number, clip in enumerate(clips(3)):
        first, before = one.step(clip, states[0])
        second, behind = two.step(clip, states[1])
        states = before, behind
        said, state = both.step(clip, state)
        mean = (first.softmax(1) + second.softmax(1)) / 2
        assert torch.allclose(said.softmax(1), mean, atol=1e-6)
        assert state.clips.tolist() == [number + 1] * 2
    idle, after = both.step(clips(1)[0], state, active=torch.tensor([True, False]))
    assert torch.equal(idle[1], said[1])
    assert not torch.equal(idle[0], said[0])
    assert after.clips.tolist() == [4, 3]
    assert torch.equal(after.members[1].logits[1], state.members[1].logits[1])
    assert state.nbytes == both.init_state(2).nbytes


def test_an_ensemble_runs_a_recording_and_goes_on(make_video: MakeVideo, tmp_path: Path) -> None:
    video = make_video(tmp_path / "clip.mp4", frames=40)
    both = Ensemble([tiny(0), tiny(1)])
    timeline = run(video, model=both, out=tmp_path / "out")
    singles = [run(video, model=one).scores for one in both.models]
    assert timeline.scores is not None
    mean = np.mean([one.probabilities for one in singles], axis=0)
    assert np.allclose(timeline.scores.probabilities, mean, atol=1e-5)
    assert timeline.assumptions["precision"] == "float32, mean of 2 models"
    with pytest.raises(OptionError, match="another classes"):
        Ensemble([tiny(0), create_model("conv3d_nano", num_classes=2, memory="none")])


@torch.inference_mode()
def test_surprise_is_told_beside_the_same_answers() -> None:
    model = tiny()
    watching = surprised(model)
    plain, state = model.init_state(1), watching.init_state(1)
    given = clips(6, rows=1)
    given[4] += 3  # something else
    told, pooled = [], []
    for clip in given:
        expected, plain = model.step(clip, plain)
        logits, after = watching.step(clip, state)
        assert isinstance(after, SurprisedState)
        state = after
        assert torch.equal(logits, expected)
        told.append(float(state.surprise[0]))
        pooled.append(model.backbone.pool(model.backbone(clip)))
    ends = 0.5 * np.arange(1, 7)
    assert told == pytest.approx(surprise_of(torch.cat(pooled), ends).tolist(), rel=1e-4)
    assert told[:2] == [0, 0]
    assert max(range(6), key=told.__getitem__) == 4


def test_relevance_at_three_scales_can_be_chosen_and_kept(tmp_path: Path) -> None:
    model = tiny(memory="multiscale", recent_clips=3, value_dim=16, heads=2)
    _, state = model.step(clips(1)[0], model.init_state(2))
    assert isinstance(state.memory, RelevanceState)
    save_model(model, tmp_path / "kept.safetensors")
    assert load_classifier(tmp_path / "kept.safetensors").spec == model.spec
    with pytest.raises(OptionError, match="memvit, multiscale"):
        tiny(memory="elephant")


def test_the_commands_do_what_their_functions_do(
    make_video: MakeVideo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = str(make_video(tmp_path / "clip.mp4", frames=40))
    names = []
    for seed in (0, 1):
        save_model(tiny(seed), tmp_path / f"{seed}.safetensors", card={"trained_on": "noise"})
        names.append(str(tmp_path / f"{seed}.safetensors"))
    mean = str(tmp_path / "mean.safetensors")
    assert main(["average", *names, "--out", mean]) == 0
    assert torch.allclose(
        load_classifier(mean).head.weight, (tiny(0).head.weight + tiny(1).head.weight) / 2
    )
    capsys.readouterr()
    words = ["views", video, "--temporal", "2", "--spatial", "1", "--json"]
    assert main([*words, "--model", names[0], "--model", names[1]]) == 0
    (said,) = json.loads(capsys.readouterr().out)
    expected = classify_views(video, [tiny(0), tiny(1)], temporal=2, spatial=1)
    assert list(said["probabilities"].values()) == pytest.approx(expected.probabilities.tolist())
    assert said["views"] == 2
    folder = tmp_path / "surprise"
    assert main(["surprise", video, "--model", names[0], "--out", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = watch_surprise(video, tiny(0))
    assert told["clips"] == len(found.surprise) > 3
    lines = (folder / "surprise.csv").read_text().splitlines()
    assert lines[0] == "start_seconds,end_seconds,surprise"
    assert [float(line.split(",")[2]) for line in lines[1:]] == pytest.approx(
        found.surprise.tolist(), abs=1e-3
    )
    assert (folder / "surprise.png").stat().st_size > 5_000
    assert run(video, model=tiny(0)).segments == found.timeline.segments
    assert main(["surprise", video, "--model", names[0], "--threshold", "1"]) == 2
    assert "release" in capsys.readouterr().err
