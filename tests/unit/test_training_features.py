"""Features kept on disk: shards that survive a kill, and a training that never sees a pixel."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from training_noise import TWO, Killed, flashes, kill_after, recording, same, tiny, weights_of

from vigilia.checkpoint import load_model, save_model
from vigilia.errors import OptionError, OutputError
from vigilia.stream import StreamClassifier
from vigilia.training import Recording, TrainOptions, evaluate_clips, train_model, train_recordings
from vigilia.training import feature_cache as cache_module
from vigilia.training.building import build_for_training
from vigilia.training.entrance import calibrate_memory, make_readable
from vigilia.training.feature_cache import cached_features
from vigilia.training.features import _batch, feature_view, train_on_features
from vigilia.training.seeing import see_recording

ONE = TWO[0]  # of 30 clips


def see(model: StreamClassifier, folder: Path, one: Recording = ONE, **more: Any) -> Any:
    return cached_features(model, one, folder, shard_clips=7, **more)


def no_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "see_clips", None)


def test_shards_hold_what_the_backbone_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, told = tiny().eval(), []
    whole = see_recording(model, ONE)
    kept = see(model, tmp_path, on_clip=lambda done, total: told.append((done, total)))
    assert told == [(7, 30), (14, 30), (21, 30), (28, 30), (30, 30)]
    assert len(list(tmp_path.glob("a-*/*.safetensors"))) == 5
    assert len(kept) == len(kept.features[2]) == 30
    assert torch.allclose(kept.pooled, whole.pooled, atol=1e-5)
    for stage in range(4):
        assert kept.features[stage][13].dtype == whole.features[stage][13].dtype
        assert torch.allclose(
            kept.features[stage][13].float(), whole.features[stage][13].float(), atol=2e-3
        )
        assert kept.features[stage][3:25:4].shape == whole.features[stage][3:25:4].shape
    no_backbone(monkeypatch)
    again = see(model, tmp_path)
    assert torch.equal(again.pooled, kept.pooled)


def test_a_killed_extraction_goes_on_with_the_shard_it_was_in(tmp_path: Path) -> None:
    model = tiny().eval()

    def killed(done: int, total: int) -> None:
        if done == 21:
            raise Killed

    with pytest.raises(Killed):
        see(model, tmp_path, on_clip=killed)
    shards = sorted(tmp_path.glob("a-*/*.safetensors"))
    assert len(shards) == 3
    written = [shard.stat().st_mtime_ns for shard in shards]
    broken = see(model, tmp_path)
    assert [shard.stat().st_mtime_ns for shard in shards] == written
    straight = see(model, tmp_path / "straight")
    assert torch.equal(broken.pooled, straight.pooled)
    assert torch.equal(broken.features[2][29], straight.features[2][29])


def test_a_damaged_shard_is_computed_again(tmp_path: Path) -> None:
    model = tiny().eval()
    straight = see(model, tmp_path / "straight").pooled
    see(model, tmp_path)
    shards = sorted(tmp_path.glob("a-*/*.safetensors"))
    shards[1].write_bytes(shards[1].read_bytes()[:100])
    shards[2].write_bytes(b"")
    shards[3].write_bytes(shards[0].read_bytes())  # whole, but about other clips
    assert torch.equal(see(model, tmp_path).pooled, straight)


@pytest.mark.parametrize("what", ["weights", "preprocessing", "pixels", "clips", "stages"])
def test_what_another_backbone_or_recording_left_is_never_used(tmp_path: Path, what: str) -> None:
    model, other, one = tiny().eval(), tiny().eval(), ONE
    see(model, tmp_path)
    if what == "weights":
        with torch.no_grad():
            next(other.backbone.parameters()).add_(1e-3)
    elif what == "preprocessing":
        pre = dataclasses.replace(model.preprocessing, background=0.5)
        other.spec = dataclasses.replace(model.spec, preprocessing=pre)
    elif what == "stages":
        other = tiny(stages=(4,)).eval()
        other.backbone.load_state_dict(model.backbone.state_dict())
    elif what == "pixels":
        one = dataclasses.replace(ONE, frames=ONE.frames[::-1])
    else:
        one = dataclasses.replace(ONE, clips=ONE.clips[::-1])
    see(other, tmp_path, one)
    assert len(list(tmp_path.iterdir())) == 2
    fresh = see(other, tmp_path / "fresh", one)
    assert torch.equal(see(other, tmp_path, one).pooled, fresh.pooled)


def test_other_labels_or_another_head_use_the_same_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny().eval()
    see(model, tmp_path)
    no_backbone(monkeypatch)
    nn.init.normal_(model.head.weight)
    nn.init.normal_(model.memory.stages[0].writer.queries)  # type: ignore[union-attr,index]
    see(model, tmp_path, dataclasses.replace(ONE, labels=1 - ONE.labels.clip(0)))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="features cannot be kept there"):
        see(tiny(), tmp_path / "taken")


# Training


def ready(memory: str = "fam", seed: int = 0) -> StreamClassifier:
    options = {"stages": (3,), "slots": 3} if memory == "fam" else {}
    model = tiny(memory, seed=seed, **options).eval()
    model.backbone.load_state_dict(tiny().backbone.state_dict())  # the memory alone differs
    make_readable(model)
    return model


LEARNED, APART = [flashes(seed) for seed in range(10)], [flashes(seed) for seed in (20, 21)]
KEPT = TrainOptions(
    epochs=12,
    rows=8,
    curriculum=(9, 18),
    carry_probability=0.5,
    freeze_backbone=True,
    learning_rate=6e-3,
    balance=0.0,
    seed=1,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder, model = tmp_path_factory.mktemp("features"), ready()
    return [[cached_features(model, one, folder) for one in group] for group in (LEARNED, APART)]


def train_kept(model: StreamClassifier, kept: Any, out: Path, **more: Any) -> Any:
    learned, apart = kept
    options = more.pop("options", KEPT)
    calibrate_memory(model, learned)
    return train_model(
        model,
        LEARNED,
        out=out,
        options=options,
        validation=APART,
        view=feature_view(model, learned, options),
        validation_view=feature_view(model, apart),
        **more,
    )


def test_kept_features_teach_a_memory_what_no_single_clip_shows(
    tmp_path: Path, kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, out = ready(), tmp_path / "m.safetensors"
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    with monkeypatch.context() as patch:
        patch.setattr(model.backbone, "forward", None)
        history = train_kept(model, kept, out)
    assert history[-1]["loss"] < 0.35 < 0.5 < history[0]["loss"]
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    # What was learned from features holds for pixels, streamed as in use.
    figures = evaluate_clips(load_model(out), APART)
    best = max(entry["balanced_accuracy"] for entry in history)
    assert figures.balanced_accuracy == pytest.approx(best, abs=0.03)
    assert figures.balanced_accuracy > 0.85


def test_noise_on_features_is_measured_in_deviations_within_recordings(
    kept: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, (learned, _) = ready(), kept
    heard: list[torch.Tensor] = []
    step = model.step_features

    def listen(features: Any, pooled: torch.Tensor, *rest: Any, **more: Any) -> Any:
        heard.append(pooled)
        return step(features, pooled, *rest, **more)

    monkeypatch.setattr(model, "step_features", listen)
    rows = 400
    same_clip = _batch(LEARNED, np.zeros(rows, np.int64), np.full(rows, 3), 0)
    for noise in (0.0, 0.5, 0.5):
        torch.manual_seed(1)
        view = feature_view(model, learned, dataclasses.replace(KEPT, feature_noise=noise))
        with torch.no_grad():
            view(same_clip, model.init_state(rows))
    plain, noisy, again = heard
    assert torch.equal(plain, learned[0].pooled[3].expand_as(plain))
    assert torch.equal(noisy, again)
    expected = torch.stack([one.pooled.var(dim=0) for one in learned]).mean(dim=0).sqrt()
    varied = expected > 1e-3
    ratio = (noisy - plain).std(dim=0)[varied] / expected[varied]
    assert ratio.mean().item() == pytest.approx(0.5, rel=0.1)


def test_a_killed_training_on_features_goes_on_bit_for_bit(tmp_path: Path, kept: Any) -> None:
    options = dataclasses.replace(
        KEPT, epochs=3, accumulate=2, checkpoint_activations=True, burn_in_clips=2
    )
    straight, broken = tmp_path / "straight.safetensors", tmp_path / "broken.safetensors"
    history = train_kept(ready(), kept, straight, options=options)
    with pytest.raises(Killed):
        train_kept(
            ready(),
            kept,
            broken,
            options=options,
            save_every_seconds=0,
            on_update=kill_after(5),
        )
    assert train_kept(ready(seed=5), kept, broken, options=options) == history
    assert same(weights_of(straight), weights_of(broken))


def test_a_memory_read_inside_the_backbone_alone_is_refused() -> None:
    model = tiny(reads_embedding=False)
    with pytest.raises(OptionError, match="cannot learn from features that were kept"):
        make_readable(model)


def test_gates_inside_the_backbone_are_shut() -> None:
    model = tiny()
    for stage in model.memory.stages:  # type: ignore[union-attr]
        nn.init.ones_(stage.reader.gate)
    make_readable(model)
    assert not any(stage.reader.gate.any() for stage in model.memory.stages)  # type: ignore[union-attr]


def test_a_curriculum_of_stretches_over_updates() -> None:
    model = tiny()
    seen = [see_recording(model, recording("a.mp4", 20, 1))]
    lengths: list[int] = []
    step = model.step_features

    def watched(*arguments: Any, **more: Any) -> Any:
        lengths.append(1)
        return step(*arguments, **more)

    model.step_features = watched  # type: ignore[method-assign]
    counts: list[int] = []
    options = TrainOptions(rows=2, curriculum=(2, 5, 9))

    def on_update(update: int, loss: float) -> None:
        counts.append(len(lengths))
        lengths.clear()

    train_on_features(model, seen, options=options, updates=6, on_update=on_update)
    assert counts == [2, 2, 5, 5, 9, 9]


# From the outside


@pytest.fixture
def annotated(make_video: Any, tmp_path: Path) -> list[Any]:
    from vigilia.training import read_annotated

    rows = ["video,start,end,label"]
    for seed, name in enumerate("ab"):
        make_video(tmp_path / f"{name}.mkv", 48, seed=seed)
        rows += [f"{name}.mkv,0,3,rest", f"{name}.mkv,3,6,walk"]
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    return read_annotated([tmp_path / "a.mkv", tmp_path / "b.mkv"], tmp_path / "labels.csv")


def test_the_second_training_on_kept_features_needs_no_backbone(
    annotated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, out = tmp_path / "start.safetensors", tmp_path / "m.safetensors"
    save_model(tiny(), start)
    options = TrainOptions(epochs=2, rows=2, curriculum=(2, 4))
    arguments: dict[str, Any] = {"model": start, "memory": "gru", "validation": ["b"]}
    told: list[str] = []
    train_recordings(
        annotated,
        out=out,
        options=options,
        cache_features=True,
        on_feature=lambda name, done, total: told.append(name),
        **arguments,
    )
    assert set(told) == {"a.mkv", "b.mkv"}
    assert len(list((tmp_path / "m.safetensors.features").iterdir())) == 2
    first = load_model(out)
    for name, value in load_model(start).backbone.state_dict().items():
        assert torch.equal(value, first.backbone.state_dict()[name]), name
    assert first.card["options"]["freeze_backbone"]
    no_backbone(monkeypatch)
    train_recordings(annotated, out=out, options=options, cache_features=True, **arguments)
    assert same(first.state_dict(), load_model(out).state_dict())


@pytest.mark.parametrize(
    "option",
    [
        {"mixup": 0.2},
        {"cutmix": 1.0},
        {"frame_drop": 0.1},
        {"tube_mask": 0.1},
        {"temporal_jitter": 1},
        {"frozen_stages": 1},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_what_would_change_the_picture_is_refused(
    annotated: Any, tmp_path: Path, option: dict[str, Any]
) -> None:
    with pytest.raises(OptionError, match=rf"^{next(iter(option))} must .* with kept features"):
        train_recordings(
            annotated,
            out=tmp_path / "m.safetensors",
            options=TrainOptions(**option),
            model=tmp_path / "start.safetensors",
            cache_features=True,
        )


def test_features_of_a_backbone_that_knows_nothing_are_refused(
    annotated: Any, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match="need a backbone that has learned"):
        train_recordings(
            annotated,
            out=tmp_path / "m.safetensors",
            options=TrainOptions(),
            cache_features=True,
        )


def test_only_a_memory_that_learned_nothing_is_calibrated(tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    save_model(tiny(), start)
    sizes = {"fps": 4.0, "clip_frames": 4, "stride_frames": 2, "size": 16, "drop_path": 0.0}
    sizes |= {"background": 1.0}
    for memory, fresh in ((None, False), ("gru", True), ("none", True)):
        _, said = build_for_training(
            start,
            None,
            ("dark", "bright"),
            memory=memory,
            memory_options={},
            seed=0,
            **sizes,  # type: ignore[arg-type]
        )
        assert said == fresh
