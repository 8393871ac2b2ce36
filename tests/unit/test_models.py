"""Which model a name means, what it costs, and how foreign weights get in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from vigilia import models
from vigilia.checkpoint import load_model, read_tensors, save_model, save_tensors
from vigilia.errors import CheckpointError, OptionError
from vigilia.models import describe, describe_model, load_backbone_weights, resolve_model
from vigilia.spiking import NeuroSvt
from vigilia.state import detach, named_tensors, reset
from vigilia.stream import StreamClassifier, create_model

SMALL = {"clip_frames": 8, "stride_frames": 2, "height": 32, "width": 32}


def tiny(memory: str = "none", classes: int = 3, seed: int = 0) -> StreamClassifier:
    torch.manual_seed(seed)
    return create_model("swin3d_nano", num_classes=classes, memory=memory, **SMALL)  # type: ignore[arg-type]


def test_a_model_stays_itself_and_is_put_in_evaluation_mode() -> None:
    model = tiny().train()
    assert resolve_model(model) is model
    assert not model.training


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_loaded(tmp_path: Path, kind: type) -> None:
    model = tiny("gru")
    save_model(model, tmp_path / "sow.safetensors")
    loaded = resolve_model(kind(tmp_path / "sow.safetensors"))
    assert loaded.spec == model.spec
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


def test_a_file_without_a_suffix_is_loaded_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(tiny(), "sow")
    assert resolve_model("sow").spec == tiny().spec


def test_a_backbones_name_gives_fresh_weights_that_are_the_same_each_time() -> None:
    torch.manual_seed(1)
    one = resolve_model("swin3d_nano")
    torch.manual_seed(2)
    before = torch.get_rng_state()
    other = resolve_model("swin3d_nano")
    assert torch.equal(torch.get_rng_state(), before)
    assert one.spec.memory == "fam"
    assert "fresh weights" in one.card["trained_on"]
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_backbones_name_takes_another_memory() -> None:
    model = resolve_model("swin3d_nano", memory="gru")
    assert model.spec.memory == "gru"
    assert len(model.classes) == 400


def line(call: object, *arguments: object, error: type[Exception], **options: object) -> str:
    with pytest.raises(error) as caught:
        call(*arguments, **options)  # type: ignore[operator]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_unknown_name_names_those_that_are_near() -> None:
    text = line(resolve_model, "swin_3d_t", error=OptionError)
    assert "no model named 'swin_3d_t', and no such file" in text
    assert all(name in text for name in models.BUNDLED)
    assert "did you mean swin3d_t or " in text
    assert text.endswith("`vigilia models` lists what there is")
    assert "did you mean" not in line(resolve_model, "elephant", error=OptionError)
    assert "vivit_joint_b" in line(create_model, "vivit_join_b", num_classes=2, error=OptionError)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    text = line(resolve_model, tmp_path / "gone.safetensors", error=CheckpointError)
    assert "gone.safetensors: no such model file" in text


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert "is a folder" in line(resolve_model, tmp_path, error=CheckpointError)


@pytest.mark.parametrize("option", [{"weights": "kinetics400"}, {"memory": "gru"}])
def test_a_trained_model_brings_its_own_weights_and_memory(
    tmp_path: Path, option: dict[str, str]
) -> None:
    save_model(tiny(), tmp_path / "m.safetensors")
    text = line(resolve_model, tmp_path / "m.safetensors", error=OptionError, **option)
    assert "brings its own weights and memory" in text


def test_unknown_weights_and_memories_are_refused() -> None:
    text = line(resolve_model, "swin3d_nano", weights="imagenet", error=OptionError)
    assert "weights must be 'kinetics400', got 'imagenet'" in text
    text = line(resolve_model, "swin3d_nano", memory="elephant", error=OptionError)
    assert "no memory named 'elephant'; there are fam, pilot, gru, none" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "swin9000", "num_classes": 2},
            "no model named 'swin9000'; `vigilia models`",
        ),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({}, "num_classes must be at least 1, got None"),
        ({"classes": ["a", "a"]}, "classes must be different names"),
        ({"classes": []}, "classes must be different names, at least one"),
        ({"classes": ["a", "b"], "num_classes": 3}, "num_classes is 3, but classes has 2 names"),
        ({"num_classes": 2, "tokens": 4}, "memory 'fam' has no option 'tokens'; it has stages,"),
        ({"num_classes": 2, "memory": "none", "slots": 4}, "memory 'none' has no option 'slots'"),
        ({"num_classes": 2, "stages": (0,)}, "stages must lie in 1..4"),
        ({"num_classes": 2, "stages": ()}, "stages must lie in 1..4"),
        ({"num_classes": 2, "slots": 0, "feedback_tokens": 0}, "cannot both be 0"),
        ({"num_classes": 2, "write_every": 0}, "write_every must be at least 1"),
        ({"num_classes": 2, "slots": 1, "consolidate": True}, "at least 2 slots"),
        ({"num_classes": 2, "head_dim": 7}, "head_dim must divide the features of stage 3"),
    ],
    ids=str,
)
def test_models_that_cannot_be_built_are_refused_in_one_line(
    arguments: dict[str, object], message: str
) -> None:
    assert message in line(create_model, **({"name": "swin3d_nano"} | arguments), error=OptionError)


def test_swin_t_without_memory_costs_the_published_operations() -> None:
    facts = describe("swin3d_t", "none")
    assert facts.gflop_per_step == pytest.approx(175.5, abs=0.1)
    assert facts.parameters == pytest.approx(28.16e6, rel=1e-3)
    assert facts.receptive_frames == 32
    assert facts.receptive_seconds == 8.0
    assert facts.memory_seconds is None
    assert facts.state_bytes == 400 * 4 + 8 + 8  # the last logits, a clock, a counter


def test_fam_on_swin_t_remembers_in_less_than_12_megabytes_a_stage() -> None:
    facts = describe("swin3d_t", "fam")
    assert facts.state_bytes_bfloat16 < 2 * 12e6
    # Keys and values of 25 slots of 128 tokens, and 64 feedback tokens, at 384 and 768 features.
    tokens = (2 * 25 * 128 + 64) * (384 + 768)
    clocks = 25 * 16 + 16
    assert facts.state_bytes_bfloat16 == 2 * tokens + clocks + 400 * 4
    assert facts.state_bytes == 4 * tokens + clocks + 400 * 4
    assert facts.memory_seconds == 200.0
    assert describe("swin3d_t", "pilot").memory_seconds == 50.0
    assert facts.gflop_per_step > describe("swin3d_t", "pilot").gflop_per_step > 175.6


def test_counting_allocates_nothing_and_agrees_with_a_real_model() -> None:
    model = tiny("fam")
    with torch.device("meta"):
        like = tiny("fam")
    real = describe_model(model, torch.zeros(2, 3, 8, 32, 32))
    counted = describe_model(like, torch.empty(2, 3, 8, 32, 32, device="meta"))
    assert real.parameters == counted.parameters
    assert real.state_bytes == counted.state_bytes == model.init_state(1).nbytes
    # The real first step writes no slot, the counted one does.
    assert real.gflop_per_step < counted.gflop_per_step
    one_clip = describe_model(like, torch.empty(1, 3, 8, 32, 32, device="meta"))
    assert one_clip.gflop_per_step == pytest.approx(counted.gflop_per_step)


def plain_weights(seed: int = 3, classes: int = 3) -> dict[str, Tensor]:
    return dict(tiny("none", classes=classes, seed=seed).state_dict())


def test_backbone_weights_go_under_a_memory_that_keeps_its_own() -> None:
    model, weights = tiny("fam"), plain_weights()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    load_backbone_weights(model, weights)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name.startswith("memory.") else weights[name])


def test_a_head_of_other_classes_stays_fresh() -> None:
    model, weights = tiny("fam"), plain_weights(classes=7)
    head = model.head.weight.detach().clone()
    load_backbone_weights(model, weights)
    assert torch.equal(model.head.weight, head)
    assert torch.equal(
        model.backbone.patch_embed.norm.weight, weights["backbone.patch_embed.norm.weight"]
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["backbone.patch_embed.norm.weight", "backbone.stages.2.blocks.1.mlp.0.bias"]
)
def test_a_missing_backbone_weight_is_refused_by_name(name: str) -> None:
    weights = plain_weights()
    del weights[name]
    assert name in line(load_backbone_weights, tiny("fam"), weights, error=CheckpointError)


def test_a_weight_too_many_is_refused_by_name() -> None:
    weights = plain_weights() | {"backbone.tail": torch.zeros(1)}
    text = line(load_backbone_weights, tiny(), weights, error=CheckpointError)
    assert "do not fit swin3d_nano: backbone.tail" in text


def test_a_weight_of_another_shape_is_refused() -> None:
    weights = plain_weights() | {"backbone.patch_embed.norm.weight": torch.zeros(5)}
    text = line(load_backbone_weights, tiny(), weights, error=CheckpointError)
    assert "another architecture than swin3d_nano" in text


def test_kinetics_weights_are_not_fetched_for_a_backbone_that_has_none() -> None:
    text = line(resolve_model, "swin3d_nano", weights="kinetics400", error=OptionError)
    assert os.linesep not in text


# Models of events: the same doors


def spiking() -> NeuroSvt:
    torch.manual_seed(0)
    return create_model("neuro_svt_nano", classes=("sow", "none"), height=16, width=16, fps=100)


def test_a_spiking_model_is_created_by_the_same_function() -> None:
    model = spiking()
    assert isinstance(model, NeuroSvt)
    assert (model.spec.memory, model.spec.height) == ("event", 16)
    assert model.spec.bin_seconds == 0.01
    default = create_model("neuro_svt_ti", num_classes=3)
    assert (default.spec.height, default.spec.width, default.spec.bin_seconds) == (128, 128, 1 / 30)
    seed = create_model("neuro_svt_nano", num_classes=2, memory="seed", memory_tokens=2)
    assert (seed.spec.memory, seed.spec.options) == ("seed", {"memory_tokens": 2})


@torch.no_grad()
def test_a_spiking_model_is_saved_and_loaded_by_the_same_functions(tmp_path: Path) -> None:
    model = spiking().eval()
    torch.nn.init.normal_(model.head.weight)
    model.card = {"trained_on": "nothing"}
    save_model(model, tmp_path / "svt.safetensors")
    loaded = load_model(tmp_path / "svt.safetensors")
    assert isinstance(loaded, NeuroSvt)
    assert (loaded.spec, loaded.card) == (model.spec, model.card)
    bins = torch.randint(0, 2, (5, 2, 2, 16, 16)).float()
    mine, theirs = model.init_state(2), loaded.init_state(2)
    for one in bins:
        expected, mine = model.step(one, mine)
        logits, theirs = loaded.step(one, theirs)
    assert torch.equal(logits, expected)
    assert detach(mine).nbytes == mine.nbytes == model.init_state(2).nbytes > 0
    fresh = named_tensors(model.init_state(2))
    again = named_tensors(reset(mine, [True, False]))
    assert all(torch.equal(again[name][0], fresh[name][0]) for name in fresh)
    assert all(torch.equal(again[name][1], named_tensors(mine)[name][1]) for name in fresh)


@pytest.mark.parametrize(
    ("option", "value"),
    [("clip_frames", 8), ("stride_frames", 8), ("background", 0.5), ("drop_path", 0.1)],
)
def test_a_spiking_model_has_no_options_of_clips(option: str, value: float) -> None:
    options: dict[str, Any] = {option: value}
    text = line(create_model, "neuro_svt_nano", num_classes=2, error=OptionError, **options)
    assert text == f"neuro_svt_nano takes one bin of events a step; it has no {option}"


def test_a_model_of_events_is_refused_where_video_is_watched(tmp_path: Path) -> None:
    model = spiking()
    save_model(model, tmp_path / "svt.safetensors")
    for named in (model, "neuro_svt_nano"):
        assert "not video" in line(resolve_model, named, error=OptionError)
    text = line(resolve_model, tmp_path / "svt.safetensors", error=CheckpointError)
    assert "svt.safetensors: neuro_svt_nano takes the events of an event camera" in text


def test_a_file_of_a_kind_that_is_not_known_is_refused(tmp_path: Path) -> None:
    save_model(tiny(), tmp_path / "m.safetensors")
    tensors, header = read_tensors(tmp_path / "m.safetensors")
    assert "kind" not in header  # as every file that was written before there were two
    save_tensors(tmp_path / "m.safetensors", tensors, {**header, "kind": "smells"})
    text = line(load_model, tmp_path / "m.safetensors", error=CheckpointError)
    assert "it is a model of smells" in text
