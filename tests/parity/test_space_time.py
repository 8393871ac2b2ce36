"""Space-time transformers against transformers, naive attention, and what was published."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from oracles import transformers
from torch import Tensor, nn

from vigilia.backbones import BACKBONES
from vigilia.backbones.space_time import (
    FactorisedEncoder,
    SpaceTime,
    attention_macs,
    from_timesformer,
    from_vivit,
    make_schemes,
)
from vigilia.backbones.space_time.attention import StepAttention
from vigilia.backbones.space_time.schemes import Step
from vigilia.errors import CheckpointError
from vigilia.layers.flops import count_flops
from vigilia.layers.linear_attention import draw_projections, performer_attention, softmax_features

TIMESFORMER = {"divided": "divided_space_time", "joint": "joint_space_time", "space": "space_only"}


def randomise(model: nn.Module, seed: int = 0) -> None:
    """Weights far from the initial ones: every norm, bias, position and class token matters."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)


def timesformer(scheme: str) -> nn.Module:
    config = transformers.TimesformerConfig(
        image_size=24,
        patch_size=8,
        num_frames=5,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=48,
        attention_type=TIMESFORMER[scheme],
        num_labels=7,
    )
    model = transformers.TimesformerForVideoClassification(config).eval()
    randomise(model)
    return model


def vivit() -> nn.Module:
    config = transformers.VivitConfig(
        image_size=24,
        tubelet_size=[2, 8, 8],
        num_frames=8,
        hidden_size=32,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=48,
        num_labels=7,
    )
    model = transformers.VivitForVideoClassification(config).eval()
    randomise(model)
    return model


def ours(weights: dict[str, Tensor], **options: object) -> tuple[SpaceTime, nn.Linear]:
    sizes = {"dim": 32, "depth": 4, "heads": 4, "height": 24, "width": 24, "mlp_ratio": 1.5}
    backbone = SpaceTime(**sizes, class_token=True, **options).eval()  # type: ignore[arg-type]
    own = {name.removeprefix("backbone."): x for name, x in weights.items() if "head" not in name}
    backbone.load_state_dict(own, strict=True)
    head = nn.Linear(32, 7)
    head.load_state_dict({"weight": weights["head.weight"], "bias": weights["head.bias"]})
    return backbone, head


@pytest.mark.parametrize("scheme", TIMESFORMER)
@torch.inference_mode()
def test_logits_agree_with_timesformer(scheme: str) -> None:
    reference = timesformer(scheme)
    weights = from_timesformer(reference.state_dict())
    backbone, head = ours(weights, attention=scheme, tubelet=(1, 8, 8), frames=5)
    clip = torch.randn(2, 3, 5, 24, 24)
    expected = reference(clip.transpose(1, 2)).logits
    features = backbone(clip)
    if scheme == "space":  # transformers forgets the mean over frames, so frames are compared
        logits = head(backbone.norm(features[-1])).flatten(0, 3)
    else:
        logits = head(backbone.pool(features))
    assert expected.std() > 0.1  # else any two models would agree
    torch.testing.assert_close(logits, expected, rtol=0.0, atol=1e-5)


@torch.inference_mode()
def test_logits_agree_with_vivit() -> None:
    reference = vivit()
    backbone, head = ours(
        from_vivit(reference.state_dict(), times=4),
        attention="joint",
        tubelet=(2, 8, 8),
        frames=8,
        joint_positions=True,
        activation="tanh",
    )
    clip = torch.randn(2, 3, 8, 24, 24)
    expected = reference(clip.transpose(1, 2)).logits
    assert expected.std() > 0.1
    torch.testing.assert_close(head(backbone.pool(backbone(clip))), expected, rtol=0.0, atol=1e-5)


def test_gradients_agree_with_timesformer() -> None:
    reference = timesformer("divided")
    backbone, head = ours(
        from_timesformer(reference.state_dict()),
        attention="divided",
        tubelet=(1, 8, 8),
        frames=5,
    )
    clip = torch.randn(1, 3, 5, 24, 24)
    reference(clip.transpose(1, 2)).logits.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in reference.named_parameters()}
    expected = from_timesformer(gradients)
    head(backbone.pool(backbone(clip))).square().sum().backward()
    for name, parameter in backbone.named_parameters():
        theirs = expected[f"backbone.{name}"]
        scale = float(theirs.abs().max())
        assert scale > 0.0
        torch.testing.assert_close(parameter.grad / scale, theirs / scale, rtol=0.0, atol=1e-4)


def test_names_of_the_files_on_the_hub_convert_too() -> None:
    here = vivit().state_dict()
    there = {}
    for name, tensor in here.items():
        for new, old in (
            (".layers.", ".encoder.layer."),
            ("attention.q_proj", "attention.attention.query"),
            ("attention.k_proj", "attention.attention.key"),
            ("attention.v_proj", "attention.attention.value"),
            ("attention.o_proj", "attention.output.dense"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ):
            name = name.replace(new, old)
        there[name] = tensor
    expected, converted = from_vivit(here, times=4), from_vivit(there, times=4)
    assert converted.keys() == expected.keys() != there.keys()
    assert all(torch.equal(converted[name], expected[name]) for name in expected)


def wrong_dicts() -> dict[str, tuple[Callable[[dict[str, Tensor]], object], str]]:
    block = "timesformer.encoder.layer.2."
    return {
        "missing bias": (lambda w: w.pop(f"{block}output.dense.bias"), "stages.2.0.mlp.2.bias"),
        "unknown name": (lambda w: w.update(extra=torch.ones(3)), "extra"),
        "wrong shape": (
            lambda w: w.update({f"{block}temporal_dense.weight": torch.ones(32, 31)}),
            "(32, 32), got (32, 31)",
        ),
        "no square": (
            lambda w: w.update(
                {"timesformer.embeddings.position_embeddings": torch.ones(1, 9, 32)}
            ),
            "8 positions are no square",
        ),
        "a block more": (
            lambda w: w.update({"timesformer.encoder.layer.4.temporal_dense.bias": torch.ones(32)}),
            "5 blocks",
        ),
        "all gone": (lambda w: w.clear(), "0 blocks"),
    }


@pytest.mark.parametrize("case", wrong_dicts())
def test_converter_refuses_a_wrong_state_dict_in_one_line(case: str) -> None:
    damage, named = wrong_dicts()[case]
    weights = dict(timesformer("divided").state_dict())
    damage(weights)
    with pytest.raises(CheckpointError) as caught:
        from_timesformer(weights)
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


PUBLISHED = {  # parameters with a head of 400 classes, GMAC of one clip, its frames
    "timesformer_space_b": (86_106_256, 140.5, 8),
    "timesformer_joint_b": (86_112_400, 179.56, 8),
    # 0.2 less than the published 195.83: one projection serves all copies of the class token.
    "timesformer_divided_b": (121_566_352, 195.63, 8),
    # 195.49 is the cost without the layer between the steps, which the parameter count includes.
    "timesformer_local_global_b": (121_564_816, 195.49 + 12 * 1568 * 768**2 / 1e9, 8),
    "timesformer_axial_b": (157_018_768, 246.12, 8),
    "vivit_joint_b": (88_954_000, 451.52, 32),
    "vivit_factorised_encoder_b": (115_062_928, 283.34, 32),
    "vivit_factorised_self_b": (117_319_312, 371.09, 32),
    "vivit_factorised_dot_b": (88_952_464, 276.18, 32),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_multiply_adds_are_the_published_ones(name: str) -> None:
    parameters, gmacs, frames = PUBLISHED[name]
    with torch.device("meta"), torch.no_grad():
        backbone = BACKBONES[name]().eval()
        clip = torch.empty(1, 3, frames, 224, 224)
        counted = count_flops(lambda: backbone.pool(backbone(clip)))
    head = 400 * (backbone.embedding_dim + 1)
    assert sum(x.numel() for x in backbone.parameters()) + head == parameters
    assert counted / 2e9 == pytest.approx(gmacs, rel=1e-4)


def pairs(grid: tuple[int, int, int], together: Callable[..., Tensor]) -> Tensor:
    """(N, N) bool: which tokens see which, from their coordinates."""
    t, h, w = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    places = [one.flatten() for one in (t, h, w)]
    return together(*[(one[:, None], one[None]) for one in places])


def same(pair: tuple[Tensor, Tensor], step: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
    return step(pair[0]) == step(pair[1])


def masks(attention: str, grid: tuple[int, int, int], k: int) -> list[list[Tensor]]:
    """For every step, for every part of its heads, the mask as the papers describe it."""
    half_h, half_w = (grid[1] + 1) // 2, (grid[2] + 1) // 2
    everything = pairs(grid, lambda t, h, w: same(t) | ~same(t))
    space = pairs(grid, lambda t, h, w: same(t) & same(h, lambda x: x * 0))
    time = pairs(grid, lambda t, h, w: same(h) & same(w))
    width = pairs(grid, lambda t, h, w: same(t) & same(h))
    height = pairs(grid, lambda t, h, w: same(t) & same(w))
    quadrant = pairs(
        grid, lambda t, h, w: same(h, lambda x: x // half_h) & same(w, lambda x: x // half_w)
    )
    lattice = pairs(
        grid,
        lambda t, h, w: (
            same(t, lambda x: x % 2) & same(h, lambda x: x % 2) & same(w, lambda x: x % 2)
        ),
    )
    block = pairs(grid, lambda t, h, w: same(t, lambda x: x // k) & same(h, lambda x: x * 0))
    every_kth = pairs(grid, lambda t, h, w: same(t, lambda x: x % k) & same(h) & same(w))
    return {
        "joint": [[everything]],
        "space": [[space]],
        "divided": [[time], [space]],
        "local_global": [[quadrant], [lattice]],
        "axial": [[time], [width], [height]],
        "factorised_self": [[space], [time]],
        "factorised_dot": [[space, time]],
        "strided": [[block], [every_kth]],
        "block_local": [[block]],
    }[attention]


def naive(module: StepAttention, x: Tensor, masks: list[Tensor]) -> Tensor:
    """Dense attention of every token to every other under a mask for each part of the heads."""
    q, k, v = (
        one.unflatten(-1, (module.heads, -1)).transpose(1, 2)
        for one in module.qkv(x.flatten(1, 3)).chunk(3, dim=-1)
    )
    mask = torch.stack(masks).repeat_interleave(module.heads // len(masks), dim=0)
    scores = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).masked_fill(~mask, float("-inf"))
    mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
    return module.proj(mixed).view(x.shape)


@pytest.mark.parametrize("grid", [(4, 4, 6), (5, 3, 5), (3, 1, 2)])
@pytest.mark.parametrize(
    "attention", [name for name in make_schemes() if name not in ("linformer", "performer")]
)
@torch.inference_mode()
def test_every_step_is_masked_attention(attention: str, grid: tuple[int, int, int]) -> None:
    scheme = make_schemes(block_frames=2)[attention]
    for step, allowed in zip(scheme.steps, masks(attention, grid, 2), strict=True):
        module = StepAttention(16, 4, step, grid=grid)
        x = torch.randn(2, *grid, 16)
        out, beside = module(x)
        assert beside is None
        torch.testing.assert_close(out, naive(module, x, allowed), rtol=0.0, atol=1e-5)


def test_global_tokens_see_all_and_all_see_them() -> None:
    module = StepAttention(16, 4, make_schemes(2)["block_local"].steps[0], grid=(4, 2, 3))
    x, beside = torch.randn(2, 4, 2, 3, 16), torch.randn(2, 1, 3, 16)
    together = torch.cat([beside[:, 0], x.flatten(1, 3)], dim=1)[:, None, None]  # a row of tokens
    mask = torch.ones(27, 27, dtype=torch.bool)
    mask[3:, 3:] = masks("block_local", (4, 2, 3), 2)[0][0]
    expected = naive(module, together, [mask]).flatten(1, 3)
    out, out_beside = module(x, beside)
    torch.testing.assert_close(out_beside[:, 0], expected[:, :3], rtol=0.0, atol=1e-5)
    torch.testing.assert_close(out.flatten(1, 3), expected[:, 3:], rtol=0.0, atol=1e-5)


@torch.inference_mode()
def test_linformer_with_a_place_for_every_token_is_joint_attention() -> None:
    step = make_schemes()["linformer"].steps[0]
    module = StepAttention(16, 4, step, grid=(2, 2, 3), places=12)
    for places in (module.key_places, module.value_places):
        places.copy_(torch.eye(12).view(12, 2, 2, 3))
    x, everything = torch.randn(2, 2, 2, 3, 16), torch.ones(12, 12, dtype=torch.bool)
    torch.testing.assert_close(module(x)[0], naive(module, x, [everything]), rtol=0.0, atol=1e-5)
    module.value_places.mul_(2.0)
    bias = module.proj.bias
    doubled = 2.0 * (naive(module, x, [everything]) - bias) + bias
    torch.testing.assert_close(module(x)[0], doubled, rtol=0.0, atol=1e-5)


@torch.inference_mode()
def test_performer_is_attention_with_its_kernel_written_out() -> None:
    q, k, v = torch.randn(3, 2, 7, 8).unbind(0)
    projections = draw_projections(6, 4, torch.Generator().manual_seed(0))
    heads = [one.unflatten(-1, (2, -1)).transpose(1, 2) for one in (q, k, v)]
    kernel = softmax_features(heads[0], projections, over=(-1,)) @ softmax_features(
        heads[1], projections, over=(-2, -1)
    ).transpose(-2, -1)
    weights = kernel / kernel.sum(dim=-1, keepdim=True)
    expected = (weights @ heads[2]).transpose(1, 2).flatten(2)
    out = performer_attention(q, k, v, projections, heads=2)
    torch.testing.assert_close(out, expected, rtol=0.0, atol=1e-5)


@torch.inference_mode()
def test_performer_comes_close_to_softmax_attention_with_many_features() -> None:
    q, k, v = torch.randn(3, 1, 32, 8, generator=torch.Generator().manual_seed(1)).unbind(0)
    q, k = q / 2, k / 2
    expected = F.scaled_dot_product_attention(q, k, v)
    errors = []
    for features in (16, 256, 4096):
        squares = []
        for seed in range(4):
            projections = draw_projections(features, 8, torch.Generator().manual_seed(seed))
            out = performer_attention(q, k, v, projections, heads=1)
            squares.append((out - expected).square().mean())
        errors.append(float(torch.stack(squares).mean().sqrt()))
    # Sixteen times the features: a quarter of the error.
    assert errors[0] > 2.5 * errors[1] > 6 * errors[2]
    assert errors[2] < 0.006


def attention_counted(attention: str, grid: tuple[int, int, int], beside: int, rows: int) -> int:
    scheme = make_schemes(block_frames=2)[attention]
    total = 0
    for number, step in enumerate(scheme.steps):
        module = StepAttention(16, 4, step, grid=grid, places=5, features=6)
        between = scheme.between and number < len(scheme.steps) - 1
        fc = nn.Linear(16, 16)
        x = torch.randn(1, *grid, 16)
        others = torch.randn(1, rows, beside, 16) if beside else None

        def run(module: StepAttention = module, x: Tensor = x, fc: nn.Module = fc) -> None:
            out, out_beside = module(x, others)  # noqa: B023
            if between:  # noqa: B023
                fc(out)
                if out_beside is not None:
                    fc(out_beside)

        total += count_flops(run)
    return total // 2


@pytest.mark.parametrize("attention", make_schemes())
@torch.inference_mode()
def test_the_counted_cost_is_the_formula(attention: str) -> None:
    grid, dim = (4, 6, 2), 16
    tokens, places, (t, h, w) = 48, 12, grid
    square, k, m, r = tokens * dim**2, 2, 6, 5
    by_hand = {
        "joint": 4 * square + 2 * tokens * tokens * dim,
        "space": 4 * square + 2 * tokens * places * dim,
        "divided": 9 * square + 2 * tokens * (t + places) * dim,
        "local_global": 9 * square + 2 * tokens * (tokens // 4 + tokens // 8) * dim,
        "axial": 14 * square + 2 * tokens * (t + h + w) * dim,
        "factorised_self": 8 * square + 2 * tokens * (t + places) * dim,
        "factorised_dot": 4 * square + tokens * (t + places) * dim,
        "strided": 8 * square + 2 * tokens * (k * places + t // k) * dim,
        "block_local": 4 * square + 2 * tokens * k * places * dim,
        "linformer": 4 * square + 4 * tokens * r * dim,
        "performer": 4 * square + 4 * tokens * m * dim + tokens * m * 4,
    }[attention]
    options = {"heads": 4, "block_frames": k, "places": r, "features": m}
    assert attention_macs(attention, grid, dim, **options) == by_hand
    assert attention_counted(attention, grid, 0, 1) == by_hand
    if make_schemes()[attention].class_token:
        rows = t if attention == "space" else 1
        expected = attention_macs(attention, grid, dim, class_tokens=1, class_rows=rows, **options)
        assert attention_counted(attention, grid, 1, rows) == expected


def test_a_grid_that_boxes_do_not_fill_costs_its_padding() -> None:
    assert attention_counted("strided", (5, 1, 3), 0, 1) == attention_macs(
        "strided", (5, 1, 3), 16, block_frames=2
    )


@torch.inference_mode()
def test_the_factorised_encoder_is_a_vit_per_frame_and_one_over_frames() -> None:
    model = FactorisedEncoder(
        dim=16,
        depth=3,
        temporal_depth=2,
        heads=4,
        tubelet=(2, 8, 8),
        frames=6,
        height=16,
        width=24,
        class_token=True,
    ).eval()
    randomise(model)

    def encode(tokens: Tensor, blocks: list[nn.Module]) -> Tensor:
        """tokens: (B, N, D), the plain transformer with the blocks' weights."""
        for block in blocks:
            step = block.steps[0]
            x = step.norm(tokens)
            q, k, v = (
                one.unflatten(-1, (4, -1)).transpose(1, 2)
                for one in step.attention.qkv(x).chunk(3, dim=-1)
            )
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
            tokens = tokens + step.attention.proj(mixed)
            tokens = tokens + block.mlp(block.norm(tokens))
        return tokens

    clip = torch.randn(2, 3, 6, 16, 24)
    frames = model.tubelets(clip).flatten(0, 1).flatten(1, 2) + model.positions.space.flatten(0, 2)
    first = (model.beside[0] + model.positions.beside).expand(6, 1, -1)
    spatial = [block for stage in model.stages[:-1] for block in stage]
    seen = model.frame_norm(encode(torch.cat([first, frames], dim=1), spatial)[:, 0])
    times = seen.view(2, 3, 16) + model.time_positions.space.flatten(0, 2)
    first = (model.beside[1] + model.time_positions.beside).expand(2, 1, -1)
    expected = model.norm(encode(torch.cat([first, times], dim=1), list(model.stages[-1]))[:, 0])
    torch.testing.assert_close(model.pool(model(clip)), expected, rtol=0.0, atol=1e-5)


def published_attention(step: nn.Module, x: Tensor) -> Tensor:
    """x: (R, N, D), torch's own multi-head attention with the step's weights."""
    attention = step.attention
    x = step.norm(x).transpose(0, 1)  # (N, R, D)
    mixed, _ = F.multi_head_attention_forward(
        x,
        x,
        x,
        x.shape[-1],
        attention.heads,
        attention.qkv.weight,
        attention.qkv.bias,
        None,
        None,
        False,
        0.0,
        attention.proj.weight,
        attention.proj.bias,
        training=False,
        need_weights=False,
    )
    return mixed.transpose(0, 1)


@torch.inference_mode()
def test_vivits_third_model_is_attention_over_space_then_over_time() -> None:
    """Section 3.3, equations 4 to 6, with torch's attention, from pixels to the embedding."""
    sizes = {"dim": 16, "depth": 4, "heads": 4, "tubelet": (2, 8, 8), "frames": 6}
    model = SpaceTime(
        attention="factorised_self",
        **sizes,  # type: ignore[arg-type]
        height=16,
        width=24,
        joint_positions=True,
        activation="tanh",
    ).eval()
    randomise(model)
    clip = torch.randn(2, 3, 6, 16, 24)
    x = model.embed(clip).flatten(2, 3)  # (B, T, N, D)
    for block in (block for stage in model.stages for block in stage):
        space, time = block.steps
        x = x + published_attention(space, x.flatten(0, 1)).unflatten(0, (2, 3))
        tubes = x.transpose(1, 2)  # (B, N, T, D)
        mixed = published_attention(time, tubes.flatten(0, 1)).unflatten(0, (2, 6))
        x = x + mixed.transpose(1, 2)
        x = x + block.mlp(block.norm(x))
    expected = model.norm(x).mean(dim=(1, 2))
    assert expected.std() > 0.1
    torch.testing.assert_close(model.pool(model(clip)), expected, rtol=0.0, atol=1e-5)


@torch.inference_mode()
def test_vivits_fourth_model_gives_half_of_the_heads_to_space_and_half_to_time() -> None:
    """Section 3.3: Y = Concat(Y_s, Y_t) W_O, with the keys of a frame and of a tube."""
    module = StepAttention(16, 4, make_schemes()["factorised_dot"].steps[0], grid=(3, 2, 3))
    x = torch.randn(2, 3, 2, 3, 16)
    q, k, v = module.qkv(x).flatten(2, 3).chunk(3, dim=-1)  # each (B, T, N, D)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(B, R, N, D / 2): two heads of four features."""
        heads = [one.unflatten(-1, (2, 4)).transpose(2, 3) for one in (q, k, v)]
        return F.scaled_dot_product_attention(*heads).transpose(2, 3).flatten(3)

    over_space = attend(*(one[..., :8] for one in (q, k, v)))
    over_time = attend(*(one[..., 8:].transpose(1, 2) for one in (q, k, v))).transpose(1, 2)
    expected = module.proj(torch.cat([over_space, over_time], dim=-1)).view(x.shape)
    torch.testing.assert_close(module(x)[0], expected, rtol=0.0, atol=1e-5)


@torch.inference_mode()
def test_the_factorised_encoder_costs_the_formula() -> None:
    times, places, dim, mlp = 3, 6, 16, 4
    model = FactorisedEncoder(
        dim=dim,
        depth=3,
        temporal_depth=2,
        heads=4,
        tubelet=(2, 8, 8),
        frames=6,
        height=16,
        width=24,
        class_token=True,
    ).eval()
    clip = torch.randn(1, 3, 6, 16, 24)
    spatial = 4 * (times * places + times) * dim**2 + 2 * times * (places + 1) ** 2 * dim
    temporal = 4 * (times + 1) * dim**2 + 2 * (times + 1) ** 2 * dim
    mlps = 2 * mlp * dim**2 * (3 * times * (places + 1) + 2 * (times + 1))
    tubelets = times * places * dim * 3 * 2 * 8 * 8
    counted = count_flops(lambda: model(clip)) // 2
    assert counted == 3 * spatial + 2 * temporal + mlps + tubelets


def test_a_step_is_named_by_what_it_groups() -> None:
    """Temporal first: the order that TimeSformer found better."""
    first, second = make_schemes()["divided"].steps
    assert isinstance(first, Step)
    assert (first.groupings[0].box, first.class_rule) == (("whole", 1, 1), "left out")
    assert second.groupings[0].box == (1, "whole", "whole")
