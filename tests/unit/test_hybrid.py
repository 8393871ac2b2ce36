"""Hybrids: pyramid attention against its mask, trunks, coupled branches, the contract of each."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones.families import FAMILIES
from vigilia.backbones.hybrid import Hybrid
from vigilia.backbones.image_trunk import image_trunk, small_trunk
from vigilia.errors import MissingExtraError, OptionError
from vigilia.layers.flops import count_flops
from vigilia.layers.pyramid_attention import PyramidAttention
from vigilia.layers.token_block import AxisAttention, CrossAttention

NANO = ("cnn_transformer_nano", "pcsa_nano", "two_branch_nano", "slowfast_transformer_nano")


@torch.no_grad()
def test_pyramid_attention_is_dense_attention_under_its_mask() -> None:
    torch.manual_seed(0)
    radii, dilations = (1, 2, 1), (1, 1, 2)
    frames, height, width, dim = 3, 5, 4, 6
    layer = PyramidAttention(dim, radii=radii, dilations=dilations)
    x = torch.randn(2, frames, height, width, dim)
    q, k, v = layer.qkv(x).flatten(1, 3).chunk(3, dim=-1)  # (B, N, D)
    places = torch.cartesian_prod(*map(torch.arange, (frames, height, width)))[:, 1:]
    offsets = places[:, None] - places[None]  # (N, N, 2)
    mixed = []
    for group, (radius, dilation) in enumerate(zip(radii, dilations, strict=True)):
        part = slice(2 * group, 2 * group + 2)
        near = (offsets.abs() <= radius * dilation).all(-1) & (offsets % dilation == 0).all(-1)
        scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(2)
        mixed.append(scores.masked_fill(~near, float("-inf")).softmax(-1) @ v[..., part])
    expected = layer.proj(torch.cat(mixed, dim=-1)).view(x.shape)
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_pyramid_attention_costs_the_formula() -> None:
    frames, height, width, dim = 3, 5, 4, 6
    layer = PyramidAttention(dim, radii=(1, 2, 1), dilations=(1, 1, 2))
    tokens, group = frames * height * width, dim // 3
    products = sum(2 * frames * tokens * places * group for places in (9, 25, 9))
    x = torch.randn(1, frames, height, width, dim)
    assert count_flops(lambda: layer(x)) // 2 == 4 * tokens * dim**2 + products


@torch.no_grad()
@pytest.mark.parametrize("over", ["time", "space", "joint"])
def test_axis_attention_looks_along_its_axes_and_nowhere_else(over: str) -> None:
    torch.manual_seed(0)
    layer, x = AxisAttention(8, heads=2, over=over), torch.randn(1, 3, 4, 5, 8)
    touched = x.clone()
    touched[0, 1, 2, 3] += 1.0
    changed = (layer(x) != layer(touched)).any(-1)[0]
    expected = torch.zeros(3, 4, 5, dtype=torch.bool)
    place = {"time": (slice(None), 2, 3), "space": (1,), "joint": (slice(None),)}[over]
    expected[place] = True
    assert torch.equal(changed, expected)


@torch.no_grad()
def test_hidden_tokens_are_not_asked() -> None:
    torch.manual_seed(0)
    layer = CrossAttention(8, 6, heads=2, gate=1.0)
    x, other = torch.randn(2, 2, 1, 3, 8), torch.randn(2, 5, 6)
    hidden = torch.tensor([[0, 1, 0, 1, 1], [0, 0, 0, 0, 1]], dtype=torch.bool)
    touched = torch.where(hidden[..., None], 1e3, other)
    assert torch.equal(layer(x, other, hidden), layer(x, touched, hidden))
    kept = layer(x[:1], other[:1, [0, 2]])
    torch.testing.assert_close(layer(x, other, hidden)[:1], kept, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NANO)
def test_readers_are_called_once_a_stage_and_reach_what_follows(name: str) -> None:
    torch.manual_seed(0)
    backbone = FAMILIES[name]().eval()
    clip, seen = torch.randn(1, 3, 9, 33, 30), []

    def reader(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return torch.ones_like(x)

    stages = range(1, len(backbone.stage_dims) + 1)
    with torch.no_grad():
        plain = backbone(clip)
        nothing = backbone(clip, dict.fromkeys(stages, torch.zeros_like))
        read = backbone(clip, dict.fromkeys(stages, reader))
    assert all(torch.equal(a, b) for a, b in zip(plain, nothing, strict=True))
    assert sorted(seen) == sorted(tuple(x.shape) for x in plain)
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(plain, read, strict=True))
    assert tuple(x.shape[-1] for x in plain) == backbone.stage_dims
    assert backbone.pool(read).shape == (1, backbone.embedding_dim)
    with pytest.raises(OptionError, match="readers name stages"):
        backbone(clip, {9: reader})
    with pytest.raises(OptionError, match="frames first"):
        backbone(clip.transpose(1, 2))


@pytest.mark.parametrize("name", NANO)
def test_every_parameter_learns_also_when_activations_are_computed_again(name: str) -> None:
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        backbone = FAMILIES[name](checkpoint_activations=again).train()
        backbone.pool(backbone(torch.randn(2, 3, 8, 32, 32))).square().sum().backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert plain is not None
        assert plain.abs().max() > 0
        torch.testing.assert_close(recomputed, plain, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NANO)
def test_what_happens_in_one_frame_reaches_all_of_the_last_stage(name: str) -> None:
    torch.manual_seed(0)
    backbone = FAMILIES[name]().eval()
    clip = torch.randn(1, 3, 8, 32, 32)
    touched = clip.clone()
    touched[:, :, 2] += 1.0
    with torch.no_grad():
        last = backbone(clip)[3] - backbone(touched)[3]
    assert (last.abs().amax(dim=(0, 2, 3, 4)) > 1e-5).all()


@pytest.mark.parametrize(
    ("name", "dim"),
    [("resnet18", 512), ("mobilenet_v3_small", 576), ("convnext_tiny", 768), ("vgg11", 512)],
)
def test_any_image_network_is_an_eye(name: str, dim: int) -> None:
    with torch.device("meta"):
        trunk = image_trunk(name)
        seen = trunk(torch.empty(2, 3, 5, 64, 96))
    assert trunk.dim == dim
    assert seen.shape == (2, 5, 2, 3, dim)


@torch.no_grad()
def test_image_weights_load_into_the_eye_and_give_the_networks_own_features() -> None:
    from torchvision import models

    torch.manual_seed(0)
    image, trunk = models.mobilenet_v3_small().eval(), image_trunk("mobilenet_v3_small").eval()
    result = trunk.network.load_state_dict(image.state_dict(), strict=False)
    assert not result.missing_keys
    clip = torch.randn(1, 3, 2, 64, 64)
    for frame in range(2):
        expected = image.features(clip[:, :, frame]).permute(0, 2, 3, 1)
        torch.testing.assert_close(trunk(clip)[:, frame], expected)


def test_eyes_that_cannot_be_had_are_one_clear_line() -> None:
    with pytest.raises(OptionError, match="torchvision has no 'resnet19'"):
        image_trunk("resnet19")
    try:
        import timm  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtraError, match="needs timm, which is not installed"):
            image_trunk("timm:resnet18")
    with torch.device("meta"):
        trunk = image_trunk("resnet18")
        with pytest.raises(OptionError, match="must be at least 32 pixels"):
            trunk(torch.empty(1, 3, 2, 31, 64))


def test_options_that_cannot_work_are_one_clear_line() -> None:
    def build(**options: object) -> nn.Module:
        settings = {"trunk": small_trunk((8,)), "dim": 8, "depths": (1,), "heads": 2} | options
        return Hybrid(**settings)  # type: ignore[arg-type]

    with pytest.raises(OptionError, match="attention must be divided, joint or pyramid"):
        build(attention="axial")
    with pytest.raises(OptionError, match="depths must name a block"):
        build(depths=())
    with pytest.raises(OptionError, match="does not divide by its 3 heads"):
        build(heads=3)
    with pytest.raises(OptionError, match="does not divide into 4 groups"):
        build(dim=6, attention="pyramid")
