"""MViT v1 and v2 against torchvision's and the published counts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones import mvit
from vigilia.backbones._torchvision import import_torchvision
from vigilia.errors import CheckpointError, OptionError
from vigilia.layers.flops import count_flops

import_torchvision()

from torchvision.models import video  # noqa: E402
from torchvision.models.video import mvit as theirs  # noqa: E402


def spread(model: nn.Module) -> nn.Module:
    """Norms, biases, class token and position tables that all matter."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 or "pos" in name:
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def reference_of(version: int, size: tuple[int, int, int]) -> nn.Module:
    """torchvision's model for clips of another size; its builders take none but 16 x 224 x 224."""
    original = theirs._mvit
    try:
        theirs._mvit = lambda **settings: original(
            **settings | {"spatial_size": size[1:], "temporal_size": size[0]}
        )
        return spread((video.mvit_v1_b if version == 1 else video.mvit_v2_s)(num_classes=7))
    finally:
        theirs._mvit = original


def loaded(model: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    own = {n.removeprefix("backbone."): x for n, x in weights.items() if n.startswith("backbone.")}
    model.load_state_dict(own, strict=True)
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("version", [1, 2])
def test_logits_agree_with_torchvision(version: int) -> None:
    torch.manual_seed(0)
    size = (6, 64, 32)
    reference = reference_of(version, size)
    weights = mvit.from_torchvision(reference.state_dict(), clip_size=size)
    ours = loaded(mvit.MViT(version=version, clip_size=size), weights)
    clip = torch.randn(2, 3, *size)
    expected = reference(clip)
    assert expected.std() > 0.1
    logits = ours.pool(ours(clip)) @ weights["head.weight"].T + weights["head.bias"]
    torch.testing.assert_close(logits, expected, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "parameters", "gmacs"),
    [("mvit_v1_b", 36_610_672, 70.60), ("mvit_v2_s", 34_537_744, 64.22)],
)
def test_parameters_and_operations_are_the_published_ones(
    name: str, parameters: int, gmacs: float
) -> None:
    with torch.device("meta"):
        weights = mvit.from_torchvision(getattr(video, name)().state_dict())
        backbone, clip = getattr(mvit, name)().eval(), torch.empty(1, 3, 16, 224, 224)
    assert sum(tensor.numel() for tensor in weights.values()) == parameters
    with torch.no_grad():
        operations = count_flops(lambda: backbone(clip))
        grids = [tuple(x.shape[1:]) for x in backbone(clip)]
    assert operations / 2e9 == pytest.approx(gmacs, abs=0.005)
    dims = (192, 384, 768, 768) if name == "mvit_v1_b" else (96, 192, 384, 768)
    sides = zip((56, 28, 14, 7), dims, strict=True)
    assert grids == [*((8, side, side, dim) for side, dim in sides), (1, 1, 1, 768)]


def small(version: int = 2, **options: Any) -> mvit.MViT:
    torch.manual_seed(0)
    settings = {"dim": 8, "depths": (1, 2, 1), "clip_size": (8, 32, 32), "stride_kv": 4} | options
    return spread(mvit.MViT(version=version, **settings))  # type: ignore[return-value]


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("class_token", [True, False])
def test_readers_are_called_once_a_stage_and_reach_what_follows(
    version: int, class_token: bool
) -> None:
    backbone = small(version, class_token=class_token)
    clip, seen = torch.randn(2, 3, 7, 30, 41), []

    def reader(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return torch.ones_like(x)

    stages = range(1, len(backbone.stage_dims) + 1)
    with torch.no_grad():
        plain = backbone(clip)
        nothing = backbone(clip, dict.fromkeys(stages, torch.zeros_like))
        read = backbone(clip, dict.fromkeys(stages, reader))
    assert all(torch.equal(a, b) for a, b in zip(plain, nothing, strict=True))
    assert seen == [tuple(x.shape) for x in plain]
    assert len(seen) == 3 + class_token
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(plain, read, strict=True))
    with pytest.raises(OptionError, match="readers name stages"):
        backbone(clip, {len(seen) + 1: reader})


@pytest.mark.parametrize(("number", "version"), [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)])
@torch.no_grad()
def test_a_reader_adds_between_attention_and_mlp_but_behind_a_widening_one(
    number: int, version: int
) -> None:
    backbone = small(version, class_token=False)
    clip, seen = torch.randn(1, 3, 8, 32, 32), []

    def reader(x: Tensor) -> Tensor:
        seen.append(x)
        return increment.expand_as(x)

    increment = torch.randn(8 * 2 ** (number - 1) * (2 if version == 1 and number < 3 else 1))
    got = backbone(clip, {number: reader})[number - 1]
    block = backbone.stages[number - 1][-1]
    expected = seen[0] + increment
    if version == 2 or number == 3:
        expected = block.finish(expected.flatten(1, 3), got.shape[1:4]).view_as(got)
    torch.testing.assert_close(got, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("version", [1, 2])
def test_every_parameter_of_the_nano_sizes_learns(version: int) -> None:
    backbone = (mvit.mvit_v1_nano if version == 1 else mvit.mvit_v2_nano)()
    backbone.pool(backbone(torch.randn(2, 3, 8, 64, 64))).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


def test_foreign_weights_are_held_to_names_and_shapes() -> None:
    with torch.device("meta"):
        weights = dict(video.mvit_v2_s().state_dict())
    weights["blocks.16.norm1.weight"] = torch.empty(768, device="meta")
    with pytest.raises(CheckpointError, match=r"unknown blocks\.16\.norm1\.weight"):
        mvit.from_torchvision(weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": 3}, "version must be 1 or 2"),
        ({"depths": (1, 0)}, "depths must name a block"),
        ({"stride_kv": 6}, "stride_kv must divide by 4"),
    ],
)
def test_options_that_cannot_work_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        small(**options)
