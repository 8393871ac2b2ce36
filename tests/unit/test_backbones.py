"""The backbone contract, held by every entry of BACKBONES, and what Video Swin adds to it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones import BACKBONES, Swin3D, conv3d_nano, swin3d_nano
from vigilia.errors import OptionError
from vigilia.layers.drop import DropPath, drop_path
from vigilia.layers.flops import count_flops


def small(drop_path: float = 0.0, checkpoint_activations: bool = False) -> Swin3D:
    """Every mechanism in a hurry: two stages, both with a shifted block, weights far from zero."""
    backbone = Swin3D(
        embed_dim=8,
        depths=(2, 2),
        num_heads=(1, 2),
        window_size=(2, 3, 2),
        drop_path=drop_path,
        checkpoint_activations=checkpoint_activations,
    )
    for parameter in backbone.parameters():
        nn.init.normal_(parameter, std=0.3)
    return backbone


@pytest.mark.parametrize("name", [n for n in BACKBONES if n.startswith(("swin3d", "conv3d"))])
def test_stages_have_the_promised_shapes(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        features = backbone(torch.empty(2, 3, 16, 61, 70))
        pooled = backbone.pool(features)
    times, rows, columns = (8, 8, 8, 8), (16, 8, 4, 2), (18, 9, 5, 3)
    if name.startswith("swin3d_nano"):  # patches of 8 x 8 pixels
        rows, columns = (8, 4, 2, 1), (9, 5, 3, 2)
    if name.startswith("conv3d_nano"):  # halves height and width each time, and time once
        times, rows, columns = (16, 16, 8, 8), (31, 16, 8, 4), (35, 18, 9, 5)
    assert len(features) == len(backbone.stage_dims) == 4
    for index, stage in enumerate(features):
        expected = (2, times[index], rows[index], columns[index], backbone.stage_dims[index])
        assert stage.shape == expected
    pools_stages = getattr(backbone, "pools_stages", True)
    pooled_stages = backbone.stage_dims if pools_stages else backbone.stage_dims[-1:]
    assert backbone.embedding_dim == sum(pooled_stages)
    assert pooled.shape == (2, backbone.embedding_dim)


@pytest.mark.parametrize("name", ["swin3d_t", "swin3d_s", "swin3d_b"])
def test_stages_of_the_published_clip(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        features = backbone(torch.empty(1, 3, 32, 224, 224))
    shapes = [tuple(stage.shape[1:4]) for stage in features]
    assert shapes == [(16, 56, 56), (16, 28, 28), (16, 14, 14), (16, 7, 7)]


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("swin3d_nano", (24, 48, 96, 192)),
        ("swin3d_t", (96, 192, 384, 768)),
        ("swin3d_s", (96, 192, 384, 768)),
        ("swin3d_b", (128, 256, 512, 1024)),
    ],
)
def test_stage_widths(name: str, dims: tuple[int, ...]) -> None:
    with torch.device("meta"):
        assert BACKBONES[name]().stage_dims == dims


def test_the_nano_backbone_is_nano() -> None:
    backbone = swin3d_nano().eval()
    assert sum(parameter.numel() for parameter in backbone.parameters()) == 826_125
    clip = torch.empty(1, 3, 32, 64, 64)
    with torch.no_grad():
        assert count_flops(lambda: backbone(clip)) < 0.3e9


def test_pooling_is_the_mean_of_normalised_tokens() -> None:
    backbone = small().eval()
    features = backbone(torch.randn(2, 3, 8, 24, 16))
    tokens = features[-1].flatten(1, 3)
    centred = tokens - tokens.mean(-1, keepdim=True)
    scaled = centred / (tokens.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = (scaled * backbone.norm.weight + backbone.norm.bias).mean(1)
    torch.testing.assert_close(backbone.pool(features), expected, rtol=1e-4, atol=1e-5)


def test_readers_are_called_once_with_the_tokens_of_their_stage() -> None:
    backbone = small().eval()
    clip = torch.randn(2, 3, 8, 24, 16)
    seen: list[tuple[int, tuple[int, ...]]] = []

    def reader(number: int, x: Tensor) -> Tensor:
        seen.append((number, tuple(x.shape)))
        return torch.zeros_like(x)

    plain = backbone(clip)
    read = backbone(clip, {number: lambda x, n=number: reader(n, x) for number in (2, 1)})
    assert seen == [(1, (2, 4, 6, 4, 8)), (2, (2, 4, 3, 2, 16))]
    assert all(torch.equal(a, b) for a, b in zip(plain, read, strict=True))


@pytest.mark.parametrize("number", [1, 2])
def test_a_reader_adds_between_attention_and_mlp_of_the_last_block(number: int) -> None:
    backbone = small().eval()
    clip = torch.randn(1, 3, 8, 24, 16)
    seen: list[Tensor] = []
    increment = torch.randn(1, 4, 6, 4, 8) if number == 1 else torch.randn(1, 4, 3, 2, 16)

    def reader(x: Tensor) -> Tensor:
        seen.append(x)
        return increment

    plain = backbone(clip)
    read = backbone(clip, {number: reader})
    block = backbone.stages[number - 1].blocks[-1]
    for features, middle in ((plain, seen[0]), (read, seen[0] + increment)):
        expected = middle + block.mlp(block.norm2(middle))
        torch.testing.assert_close(features[number - 1], expected, rtol=0.0, atol=0.0)
    for index in range(number - 1):
        assert torch.equal(plain[index], read[index])
    for index in range(number - 1, 2):
        assert not torch.allclose(plain[index], read[index])


@pytest.mark.parametrize("number", [1, 4])
def test_a_reader_adds_before_the_mlp_of_a_convolutional_stage(number: int) -> None:
    backbone = conv3d_nano().eval()
    clip = torch.randn(1, 3, 8, 24, 16)
    seen: list[Tensor] = []

    def reader(x: Tensor) -> Tensor:
        seen.append(x)
        return torch.ones_like(x)

    plain, read = backbone(clip), backbone(clip, {number: reader})
    for features, middle in ((plain, seen[0]), (read, seen[0] + 1)):
        expected = middle + backbone.stages[number - 1].mlp(middle)
        torch.testing.assert_close(features[number - 1], expected, rtol=0.0, atol=0.0)
    assert len(seen) == 1
    with pytest.raises(OptionError, match="has 1 to 4"):
        backbone(clip, {5: reader})
    with pytest.raises(OptionError, match="frames first"):
        backbone(clip.transpose(1, 2))


@pytest.mark.parametrize("name", ["small", "swin3d_nano", "conv3d_nano"])
def test_rows_of_a_batch_do_not_mix(name: str) -> None:
    backbone = (small() if name == "small" else BACKBONES[name]()).eval()
    clip = torch.randn(3, 3, 16, 32, 32)
    other = clip.clone()
    other[1] = torch.randn_like(other[1])
    with torch.inference_mode():
        before, after = backbone(clip), backbone(other)
    for a, b in zip(before, after, strict=True):
        assert torch.equal(a[0], b[0])
        assert torch.equal(a[2], b[2])
        assert not torch.allclose(a[1], b[1])
    alone = backbone(clip[2:])
    for a, b in zip(before, alone, strict=True):
        torch.testing.assert_close(a[2:], b, rtol=1e-4, atol=1e-5)


def test_checkpointing_changes_neither_features_nor_gradients_nor_the_readers_calls() -> None:
    torch.manual_seed(5)
    plain = small(drop_path=0.5).train()
    saving = small(drop_path=0.5, checkpoint_activations=True).train()
    saving.load_state_dict(plain.state_dict())
    clip = torch.randn(2, 3, 8, 20, 16)
    gain = torch.tensor(0.5, requires_grad=True)
    results = []
    for backbone in (plain, saving):
        calls = []

        def reader(x: Tensor, calls: list[int] = calls) -> Tensor:
            calls.append(1)
            return gain * x

        torch.manual_seed(7)
        features = backbone(clip, {1: reader, 2: reader})
        backbone.pool(features).square().sum().backward()
        gradients = [parameter.grad for parameter in backbone.parameters()]
        results.append((features, [*gradients, gain.grad]))
        gain.grad = None
        assert len(calls) == 2
    (features, gradients), (saved_features, saved_gradients) = results
    for a, b in zip([*features, *gradients], [*saved_features, *saved_gradients], strict=True):
        assert torch.equal(a, b)


def test_checkpointing_keeps_fewer_tensors_for_the_backward_pass() -> None:
    clip = torch.randn(1, 3, 8, 24, 16)
    kept = {}
    for saving in (False, True):
        backbone = small(checkpoint_activations=saving).train()
        sizes: list[int] = []

        def keep(x: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(x.numel())
            return x

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
            backbone(clip)
        kept[saving] = sum(sizes)
    assert kept[True] < kept[False] / 2


@pytest.mark.parametrize("name", ["small", "swin3d_nano"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    backbone = (small() if name == "small" else swin3d_nano()).train()
    backbone.pool(backbone(torch.randn(2, 3, 32, 64, 64))).square().sum().backward()
    for parameter_name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name


def test_bfloat16_weights_and_autocast_come_close_to_float32() -> None:
    backbone = swin3d_nano().eval()
    clip = torch.randn(1, 3, 32, 32, 32)
    with torch.inference_mode():
        exact = backbone.pool(backbone(clip))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mixed = backbone.pool(backbone(clip))
        backbone.to(torch.bfloat16)
        low = backbone.pool(backbone(clip.to(torch.bfloat16)))
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), exact, rtol=0.0, atol=0.1)
    torch.testing.assert_close(low.float(), exact, rtol=0.0, atol=0.1)


def test_a_module_holds_parameters_only() -> None:
    backbone = small()
    backbone(torch.randn(1, 3, 8, 24, 16))
    assert list(backbone.buffers()) == []
    assert set(backbone.state_dict()) == {name for name, _ in backbone.named_parameters()}


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((1, 32, 3, 64, 64), "frames first"),
        ((3, 32, 64, 64), r"\(3, 32, 64, 64\)"),
        ((1, 1, 32, 64, 64), "C=3"),
        ((1, 3, 0, 64, 64), r"\(1, 3, 0, 64, 64\)"),
    ],
)
def test_a_clip_of_another_layout_is_refused(shape: tuple[int, ...], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        swin3d_nano()(torch.empty(shape))


def test_a_reader_of_an_unknown_stage_is_refused() -> None:
    with pytest.raises(OptionError, match=r"\[0, 5\].*1 to 4"):
        swin3d_nano()(torch.empty(1, 3, 2, 8, 8), {0: torch.relu, 3: torch.relu, 5: torch.relu})


def test_impossible_architectures_are_refused() -> None:
    with pytest.raises(OptionError, match="depths and num_heads"):
        Swin3D(depths=(2, 2), num_heads=(3,))
    with pytest.raises(OptionError, match="depths and num_heads"):
        Swin3D(depths=(2, 0), num_heads=(3, 6))
    with pytest.raises(OptionError, match="96 does not divide by its 5 heads"):
        Swin3D(depths=(1,), num_heads=(5,))
    with pytest.raises(OptionError, match="drop_path"):
        Swin3D(depths=(1, 1), num_heads=(1, 1), drop_path=1.5)


def test_dropped_rows_are_zero_and_the_others_are_rescaled() -> None:
    torch.manual_seed(3)
    x = torch.rand(4000, 3, 2) + 0.5
    out = drop_path(x, 0.3, training=True)
    kept = out[:, 0, 0] != 0
    assert torch.equal(out[~kept], torch.zeros_like(out[~kept]))
    torch.testing.assert_close(out[kept], x[kept] / 0.7)
    # 4,000 rows: the share of dropped ones has a standard deviation of 0.0072.
    assert abs(float((~kept).float().mean()) - 0.3) < 0.03
    assert abs(float(out.mean() / x.mean()) - 1.0) < 0.05


def test_drop_path_at_its_ends() -> None:
    x = torch.randn(5, 4)
    assert drop_path(x, 0.9, training=False) is x
    assert drop_path(x, 0.0, training=True) is x
    assert torch.equal(drop_path(x, 1.0, training=True), torch.zeros(5, 4))
    layer = DropPath(0.9)
    assert layer.eval()(x) is x
    assert not torch.equal(layer.train()(x), x)


def test_drop_path_acts_in_the_backbone_only_while_training() -> None:
    backbone = small(drop_path=1.0)
    clip = torch.randn(1, 3, 8, 24, 16)
    assert torch.equal(backbone.eval()(clip)[1], backbone.eval()(clip)[1])
    # The last block drops both of its branches for certain, so the stage ends as it was before.
    block = backbone.train().stages[-1].blocks[-1]
    x = torch.randn(1, 4, 3, 2, 16)
    assert torch.equal(block(x), x)


def test_operations_are_counted_two_for_a_multiply_add() -> None:
    x, weight = torch.empty(5, 7, device="meta"), torch.empty(7, 11, device="meta")
    assert count_flops(lambda: x @ weight) == 2 * 5 * 7 * 11
    q = torch.randn(1, 2, 6, 4)
    attention = nn.functional.scaled_dot_product_attention
    assert count_flops(lambda: attention(q, q, q)) == 2 * (2 * 2 * 6 * 6 * 4)


def test_importing_the_backbones_leaves_torchvision_alone() -> None:
    program = "import sys, vigilia.backbones; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
