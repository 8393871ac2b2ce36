"""Video Swin against torchvision's, through our own weight converter, on random weights."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn

import vigilia.backbones as backbones
from vigilia.backbones import Swin3D, from_torchvision
from vigilia.backbones._torchvision import import_torchvision
from vigilia.errors import CheckpointError, OptionError, VigiliaError
from vigilia.layers.flops import count_flops

import_torchvision()

from torchvision.models import video  # noqa: E402
from torchvision.models._api import WeightsEnum  # noqa: E402

VARIANTS = ("swin3d_t", "swin3d_s", "swin3d_b")


def fill(reference: nn.Module, generator: torch.Generator) -> None:
    """Weights that are far from the initial ones: every norm, bias and position table matters."""
    for name, parameter in reference.named_parameters():
        if "norm" in name and name.endswith("weight"):
            parameter.data.normal_(1.0, 0.3, generator=generator)
        elif name.endswith("bias"):
            parameter.data.normal_(0.0, 0.2, generator=generator)
        elif name.endswith("relative_position_bias_table"):
            parameter.data.normal_(0.0, 1.0, generator=generator)
        else:
            fan_in = parameter[0].numel()
            parameter.data.normal_(0.0, 0.7 * fan_in**-0.5, generator=generator)


@lru_cache(maxsize=1)
def pair(name: str) -> tuple[nn.Module, Swin3D, nn.Linear]:
    """torchvision's model with random weights, and our backbone and head with the same."""
    with torch.device("meta"):
        reference = getattr(video, name)()
        ours = getattr(backbones, name)()
    reference.to_empty(device="cpu")
    for module in reference.modules():
        if hasattr(module, "define_relative_position_index"):
            module.define_relative_position_index()
    fill(reference, torch.Generator().manual_seed(len(name) + ord(name[-1])))
    weights = from_torchvision(reference.state_dict())
    own = {key.removeprefix("backbone."): weights[key] for key in weights if "head" not in key}
    ours.load_state_dict(own, strict=True, assign=True)
    head = nn.Linear(ours.embedding_dim, 400)
    head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
    return reference.eval(), ours.eval(), head


@lru_cache(maxsize=3)
def meta_state_dict(name: str) -> dict[str, Tensor]:
    with torch.device("meta"):
        return getattr(video, name)().state_dict()


@pytest.mark.parametrize(
    ("name", "clip_shape"),
    [
        ("swin3d_t", (1, 16, 112, 112)),  # windows that fit, and are shifted on all three axes
        ("swin3d_t", (2, 18, 40, 64)),  # two streams; two windows in time, the second half empty
        ("swin3d_t", (1, 5, 50, 70)),  # nothing is a multiple of anything; T below the window
        ("swin3d_t", (1, 19, 33, 130)),  # padded in time as well; H below, W above the window
        ("swin3d_t", (1, 1, 3, 2)),  # a single patch, mostly padding
        ("swin3d_s", (1, 32, 64, 64)),
        ("swin3d_b", (1, 16, 96, 80)),
    ],
)
def test_logits_agree_with_torchvision(name: str, clip_shape: tuple[int, ...]) -> None:
    reference, ours, head = pair(name)
    streams, frames, height, width = clip_shape
    clip = torch.randn(streams, 3, frames, height, width)
    with torch.inference_mode():
        expected = reference(clip)
        logits = head(ours.pool(ours(clip)))
    assert expected.std() > 0.1  # else any two models would agree
    torch.testing.assert_close(logits, expected, rtol=0.0, atol=1e-5)


def test_every_stage_agrees_with_torchvision() -> None:
    reference, ours, _ = pair("swin3d_t")
    clip = torch.randn(1, 3, 18, 72, 61)
    expected = []
    with torch.inference_mode():
        x = reference.patch_embed(clip)
        for index, part in enumerate(reference.features):
            x = part(x)
            if index % 2 == 0:
                expected.append(x)
        features = ours(clip)
    assert len(features) == 4
    for ours_stage, theirs in zip(features, expected, strict=True):
        torch.testing.assert_close(ours_stage, theirs, rtol=1e-5, atol=2e-5)


def test_gradients_agree_with_torchvision() -> None:
    reference, ours, head = pair("swin3d_t")
    clip = torch.randn(1, 3, 18, 60, 60)
    for module in (reference, ours, head):
        module.zero_grad()
    reference(clip).square().sum().backward()
    # The two share their tensors, so the reference's gradients are set aside first.
    expected = {name: parameter.grad.clone() for name, parameter in reference.named_parameters()}
    ours.zero_grad()
    head(ours.pool(ours(clip))).square().sum().backward()
    expected = from_torchvision(expected)
    for name, parameter in ours.named_parameters():
        theirs = expected[f"backbone.{name}"]
        scale = float(theirs.abs().max())
        assert scale > 0.0
        torch.testing.assert_close(parameter.grad / scale, theirs / scale, rtol=0.0, atol=1e-4)


@pytest.mark.parametrize("name", VARIANTS)
def test_drop_path_rises_as_in_torchvision(name: str) -> None:
    with torch.device("meta"):
        reference, ours = getattr(video, name)(), getattr(backbones, name)()
    expected = [block.stochastic_depth.p for stage in reference.features[::2] for block in stage]
    rates = [block.drop_path.probability for stage in ours.stages for block in stage.blocks]
    assert rates == pytest.approx(expected)
    assert rates[0] == 0.0
    assert rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "parameters", "gflops"),
    [
        ("swin3d_t", 28_158_070, 175.53),
        ("swin3d_s", 49_816_678, 331.4),
        ("swin3d_b", 88_048_984, 562.7),
    ],
)
def test_parameters_and_operations_are_the_published_ones(
    name: str, parameters: int, gflops: float
) -> None:
    weights = from_torchvision(meta_state_dict(name))
    assert sum(tensor.numel() for tensor in weights.values()) == parameters
    with torch.device("meta"):
        backbone = getattr(backbones, name)().eval()
        clip = torch.empty(1, 3, 32, 224, 224)
    with torch.no_grad():
        operations = count_flops(lambda: backbone.pool(backbone(clip)))
    assert operations / 1e9 == pytest.approx(gflops, rel=0.001)
    published = getattr(video, f"Swin3D_{name[-1].upper()}_Weights").KINETICS400_V1.meta
    # torchvision publishes multiply-adds, of 16 frames.
    assert operations / 4e9 == pytest.approx(published["_ops"], rel=0.001)


def test_converter_keeps_another_number_of_classes() -> None:
    with torch.device("meta"):
        weights = from_torchvision(video.swin3d_t(num_classes=7).state_dict())
    assert weights["head.weight"].shape == (7, 768)
    assert weights["head.bias"].shape == (7,)


def wrong_dicts() -> dict[str, tuple[Callable[[dict[str, Tensor]], None], str]]:
    block = "features.4.5."

    def drop(name: str) -> Callable[[dict[str, Tensor]], None]:
        return lambda weights: weights.__delitem__(name)

    def put(name: str, *shape: int) -> Callable[[dict[str, Tensor]], None]:
        return lambda weights: weights.__setitem__(name, torch.empty(shape, device="meta"))

    return {
        "missing bias": (drop(f"{block}attn.proj.bias"), "blocks.5.attention.proj.bias"),
        "missing head": (drop("head.weight"), "head.weight"),
        "unknown name": (put(f"{block}attn.extra", 3), f"{block}attn.extra"),
        "unknown top": (put("classifier", 3), "classifier"),
        "a block more": (put("features.6.2.norm1.weight", 768), "features.6.2.norm1.weight"),
        "wrong shape": (put(f"{block}mlp.0.weight", 384, 1536), f"{block}mlp.0.weight"),
        "transposed table": (
            put(f"{block}attn.relative_position_bias_table", 12, 2535),
            "relative_position_bias_table",
        ),
        "head too wide": (put("head.weight", 400, 1024), "head.weight"),
        "head bias": (put("head.bias", 399), "head.bias"),
        "scalar": (put("patch_embed.proj.weight"), "patch_embed.proj.weight"),
        "all gone": (lambda weights: weights.clear(), "missing"),
    }


@pytest.mark.parametrize("case", wrong_dicts())
def test_converter_refuses_a_wrong_state_dict_in_one_line(case: str) -> None:
    damage, named = wrong_dicts()[case]
    weights = dict(meta_state_dict("swin3d_t"))
    damage(weights)
    with pytest.raises(CheckpointError) as caught:
        from_torchvision(weights)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_converter_leaves_its_argument_alone() -> None:
    weights = dict(meta_state_dict("swin3d_t"))
    before = list(weights)
    from_torchvision(weights)
    assert list(weights) == before


def test_class_names_are_those_of_the_weights() -> None:
    names = backbones.kinetics400_classes()
    assert names == tuple(video.Swin3D_T_Weights.KINETICS400_V1.meta["categories"])
    assert (len(names), names[0], names[-1]) == (400, "abseiling", "zumba")


def test_preprocessing_is_that_of_the_weights() -> None:
    for enum, member in backbones.KINETICS400_WEIGHTS.values():
        preset = getattr(getattr(video, enum), member).transforms()
        assert tuple(preset.mean) == backbones.KINETICS400_MEAN
        assert tuple(preset.std) == backbones.KINETICS400_STD
        assert list(preset.crop_size) == [backbones.KINETICS400_CROP_PIXELS] * 2
        assert list(preset.resize_size) == [backbones.KINETICS400_RESIZE_PIXELS]


def test_fetching_converts_what_was_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(self: WeightsEnum, *, progress: bool, check_hash: bool) -> dict[str, Tensor]:
        asked.append((self.url, progress, check_hash))
        return meta_state_dict("swin3d_b")

    monkeypatch.setattr(WeightsEnum, "get_state_dict", download)
    weights = backbones.fetch_kinetics400("swin3d_b_22k")
    assert weights.keys() == from_torchvision(meta_state_dict("swin3d_b")).keys()
    assert asked == [(video.Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1.url, False, True)]


@pytest.mark.parametrize("failure", [URLError("no route to host"), RuntimeError("invalid hash\nx")])
def test_a_failed_download_is_one_line(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(self: WeightsEnum, **_: bool) -> dict[str, Tensor]:
        raise failure

    monkeypatch.setattr(WeightsEnum, "get_state_dict", download)
    with pytest.raises(VigiliaError, match=r"could not download https://.*swin3d_s.*") as caught:
        backbones.fetch_kinetics400("swin3d_s")
    assert "\n" not in str(caught.value)


def test_only_known_weights_are_fetched() -> None:
    with pytest.raises(OptionError, match="swin3d_nano"):
        backbones.fetch_kinetics400("swin3d_nano")
