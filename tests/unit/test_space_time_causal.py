"""Causal space-time transformers: no future, streaming equals whole, cached keys and values."""

from __future__ import annotations

import math
from copy import deepcopy
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from vigilia.backbones import BACKBONES, BackboneState, StreamingBackbone
from vigilia.backbones.pyramid import PyramidAttention
from vigilia.backbones.space_time import CAUSAL, CausalTransformer, causal_space_time
from vigilia.backbones.space_time.causal_attention import CausalAttention, causal_views
from vigilia.backbones.state_space import state_space
from vigilia.errors import OptionError
from vigilia.layers.flops import count_flops
from vigilia.layers.temporal_pyramid import pyramid_attention, pyramid_lags, pyramid_reach
from vigilia.state import map_tensors, named_tensors, reset

SCHEMES = (*CAUSAL, "factorised_encoder", "pyramid", "state_space")
BOUNDED = [name for name in SCHEMES if name != "state_space"]
SIZES = {"dim": 16, "heads": 4, "tubelet": (2, 4, 4), "step_frames": 4, "height": 8, "width": 12}


@cache
@torch.inference_mode(False)
def tiny(attention: str) -> CausalTransformer:
    """Weights far from the initial ones. Two token times a step, six places."""
    torch.manual_seed(0)
    if attention == "state_space":
        model = state_space(**SIZES, depth=4, states=3)  # type: ignore[arg-type]
    else:
        depth = 3 if attention == "factorised_encoder" else 4
        model = causal_space_time(
            attention=attention,
            **SIZES,  # type: ignore[arg-type]
            depth=depth,
            temporal_depth=1,
            reach=4,
            levels=2,
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.15)
    return model.eval()


def empty(
    model: StreamingBackbone, clip: Tensor, dtype: torch.dtype = torch.float32
) -> BackboneState:
    return model.init_state(
        len(clip), height=clip.shape[3], width=clip.shape[4], device=clip.device, dtype=dtype
    )


def play(
    model: StreamingBackbone, clip: Tensor, state: BackboneState
) -> tuple[list[Tensor], BackboneState]:
    """Step by step: each stage's tokens (B, all times, H', W', D)."""
    steps = []
    for part in clip.split(model.step_frames, dim=2):
        features, state = model.step(part, state)
        steps.append(features)
    return [torch.cat(stage, dim=1) for stage in zip(*steps, strict=True)], state


def close(a: tuple[Tensor, ...] | list[Tensor], b: tuple[Tensor, ...] | list[Tensor]) -> None:
    for one, other in zip(a, b, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("size", [(8, 12), (9, 5), (3, 4)])
@pytest.mark.parametrize("attention", SCHEMES)
@torch.inference_mode()
def test_streaming_equals_the_whole_sequence(attention: str, size: tuple[int, int]) -> None:
    model, clip = tiny(attention), torch.randn(2, 3, 24, *size)
    whole = model(clip)
    assert whole[-1].std() > 0.1
    parts, _ = play(model, clip, empty(model, clip))
    close(parts, whole)


@pytest.mark.parametrize("attention", SCHEMES)
@torch.inference_mode()
def test_a_start_inside_a_sequence_forgets_what_came_before(attention: str) -> None:
    model, clip = tiny(attention), torch.randn(3, 3, 24, 8, 12)
    starts = torch.zeros(3, 6, dtype=torch.bool)
    starts[0, 2] = starts[0, 4] = starts[2, 5] = True
    features, state = model.run_stages(clip, empty(model, clip), starts=starts)
    for row, first in ((0, 4), (1, 0), (2, 5)):
        later = clip[row : row + 1, :, 4 * first :]
        fresh, fresh_state = model.run_stages(later, empty(model, later))
        close([x[row : row + 1, 2 * first :] for x in features], fresh)
        # What is carried gives the same next step, whatever lies in places that are not seen.
        following = torch.randn(1, 3, 4, 8, 12)
        mine = map_tensors(lambda x, row=row: x[row : row + 1], state)
        close(model.step(following, mine)[0], model.step(following, fresh_state)[0])


@pytest.mark.parametrize("attention", SCHEMES)
@torch.inference_mode()
def test_later_frames_do_not_reach_earlier_tokens(attention: str) -> None:
    model, clip = tiny(attention), torch.randn(1, 3, 16, 8, 12)
    later = clip.clone()
    later[:, :, 10:] = torch.randn_like(later[:, :, 10:])
    for a, b in zip(model(clip), model(later), strict=True):
        torch.testing.assert_close(a[:, :5], b[:, :5], rtol=0.0, atol=1e-6)
        assert not torch.allclose(a[:, 5], b[:, 5])


@pytest.mark.parametrize("attention", BOUNDED)
def test_receptive_frames_are_what_reaches_a_step_and_no_more(attention: str) -> None:
    model = deepcopy(tiny(attention)).double()
    steps = -(-model.receptive_frames // 4) + 1
    clip = torch.randn(1, 3, 4 * steps, 8, 12, dtype=torch.float64, requires_grad=True)
    model(clip)[-1][:, -2:].square().sum().backward()
    assert clip.grad is not None
    reached = (clip.grad.abs().amax(dim=(0, 1, 3, 4)) > 0).tolist()
    first = clip.shape[2] - model.receptive_frames
    assert first > 0
    assert reached == [frame >= first for frame in range(clip.shape[2])]


@pytest.mark.parametrize("attention", ["divided", "state_space"])
@torch.inference_mode()
def test_rows_are_streams_of_their_own_and_can_start_anew(attention: str) -> None:
    model, clip = tiny(attention), torch.randn(3, 3, 12, 8, 12)
    _, state = model.run_stages(clip, empty(model, clip))
    state = reset(state, [False, True, False])
    following = torch.randn(3, 3, 4, 8, 12)
    features, _ = model.step(following, state)
    alone, _ = model.step(following[1:2], empty(model, following[1:2]))
    close([x[1:2] for x in features], alone)
    other, _ = play(model, torch.cat([clip, following], dim=2)[2:], empty(model, clip[2:]))
    close([x[2:, -2:] for x in features], [x[:, -2:] for x in other])


@pytest.mark.parametrize("attention", SCHEMES)
@torch.inference_mode()
def test_the_state_is_zeros_at_first_and_never_grows(attention: str) -> None:
    model, clip = tiny(attention), torch.randn(1, 3, 40, 8, 12)
    state = empty(model, clip)
    assert all(not tensor.any() for tensor in named_tensors(state).values())
    shapes = {name: (x.shape, x.dtype) for name, x in named_tensors(state).items()}
    _, after = play(model, clip, state)
    assert {name: (x.shape, x.dtype) for name, x in named_tensors(after).items()} == shapes


@torch.inference_mode()
def test_a_state_in_bfloat16_halves_the_cache_and_hardly_moves_the_tokens() -> None:
    model, clip = tiny("divided"), torch.randn(1, 3, 24, 8, 12)
    fine, coarse = empty(model, clip), empty(model, clip, torch.bfloat16)
    assert coarse.nbytes < 0.52 * fine.nbytes
    a, b = (play(model, clip, state)[0][-1] for state in (fine, coarse))
    assert b.dtype == torch.float32
    assert 0 < (a - b).abs().max() < 0.1


def causal_mask(grid: tuple[int, int, int], reach: int, every: int, together: object) -> Tensor:
    """(N, N) bool, from coordinates."""
    t, h, w = (x.flatten() for x in torch.meshgrid(*map(torch.arange, grid), indexing="ij"))
    lag = t[:, None] - t
    places = together(h[:, None], w[:, None]) == together(h, w)  # type: ignore[operator]
    return (lag >= 0) & (lag < reach) & (lag % every == 0) & places


@pytest.mark.parametrize("attention", CAUSAL)
@torch.inference_mode()
def test_every_step_is_masked_attention_with_a_bias_for_the_lag(attention: str) -> None:
    grid, reach, k = (7, 3, 4), 3, 2
    frame = (1, 1, lambda h, w: h * 0 + w * 0)
    joint = (reach, 1, lambda h, w: h * 0 + w * 0)
    time = (reach, 1, lambda h, w: 10 * h + w)
    expected = {
        "joint": [[joint]],
        "space": [[frame]],
        "divided": [[time], [frame]],
        "local_global": [
            [(reach, 1, lambda h, w: 10 * (h // 2) + w // 2)],
            [(reach, 2, lambda h, w: 10 * (h % 2) + w % 2)],
        ],
        "axial": [[time], [(1, 1, lambda h, w: h + 0 * w)], [(1, 1, lambda h, w: w + 0 * h)]],
        "factorised_self": [[frame], [time]],
        "factorised_dot": [[frame, time]],
        "strided": [[(k, 1, frame[2])], [(reach, k, time[2])]],
    }[attention]
    x, times = torch.randn(2, *grid, 16), torch.arange(7).expand(2, 7)
    lag = times[0].repeat_interleave(12)
    lag = (lag[:, None] - lag).clamp(0)
    for views, parts in zip(
        causal_views(attention, reach=reach, block_frames=k), expected, strict=True
    ):
        module = CausalAttention(16, 4, views)
        biases = iter(nn.init.normal_(bias) for bias in module.lag_bias)
        state = module.init_state(2, grid[1:], device=x.device, dtype=x.dtype)
        q, k_, v = (
            one.unflatten(-1, (4, 4)).transpose(1, 2)
            for one in module.qkv(x.flatten(1, 3)).chunk(3, dim=-1)
        )
        scores = q @ k_.transpose(-2, -1) / 2.0
        each = 4 // len(parts)
        for number, (times_seen, every, together) in enumerate(parts):
            heads = slice(number * each, (number + 1) * each)
            if times_seen > 1:
                scores[:, heads] += next(biases)[
                    :, (lag // every).clamp(max=(times_seen - 1) // every)
                ]
            mask = causal_mask(grid, times_seen, every, together)
            scores[:, heads] = scores[:, heads].masked_fill(~mask, -math.inf)
        naive = module.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2)).view(x.shape)
        torch.testing.assert_close(module(x, state, times)[0], naive, rtol=0.0, atol=1e-5)


def test_a_pyramid_sees_the_last_times_and_means_of_earlier_ones() -> None:
    assert pyramid_lags(2, 3) == [
        (0, 0, 0), (0, 1, 1), (1, 2, 3), (1, 4, 5), (2, 6, 9), (2, 10, 13),
    ]  # fmt: skip
    assert pyramid_reach(2, 3) == 14


@torch.inference_mode()
def test_pyramid_attention_is_attention_to_means() -> None:
    span, levels, before, times = 2, 2, 5, 4
    q, keys = torch.randn(3, 2, times, 4), torch.randn(3, 2, before + times, 4)
    values, bias = torch.randn_like(keys), torch.randn(2, 4)
    seen = torch.tensor([[9, 9, 9, 9], [0, 1, 2, 3], [3, 4, 5, 0]])
    out = pyramid_attention(q, keys, values, seen, bias, span=span, levels=levels)
    for row in range(3):
        for time in range(times):
            scores, shown = [], []
            for number, (_, first, last) in enumerate(pyramid_lags(span, levels)):
                if last > seen[row, time]:
                    continue
                at = slice(before + time - last, before + time - first + 1)
                key = keys[row, :, at].mean(dim=1)
                scores.append((q[row, :, time] * key).sum(-1) / 2.0 + bias[:, number])
                shown.append(values[row, :, at].mean(dim=1))
            weights = torch.stack(scores).softmax(dim=0)  # (S, h)
            expected = (weights[..., None] * torch.stack(shown)).sum(dim=0)
            torch.testing.assert_close(out[row, :, time], expected, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_a_pyramid_costs_its_levels_and_not_its_reach() -> None:
    module, x = PyramidAttention(16, 4, span=2, levels=3), torch.randn(1, 4, 2, 3, 16)
    state = module.init_state(1, (2, 3), device=x.device, dtype=x.dtype)
    counted = count_flops(lambda: module(x, state, torch.arange(4)[None])) // 2
    tokens = 4 * 6
    assert counted == 4 * tokens * 16**2 + 2 * tokens * (2 * 3) * 16


@pytest.mark.parametrize("attention", CAUSAL)
@torch.inference_mode()
def test_a_step_of_every_scheme_costs_the_formula(attention: str) -> None:
    new, reach, k, dim, grid = 2, 6, 2, 16, (4, 6)
    places = grid[0] * grid[1]
    keys, every_kth = reach - 1 + new, (reach - 1) // k * k + new
    square, tokens = new * places * dim**2, new * places
    by_hand = {
        "joint": 4 * square + 2 * tokens * keys * places * dim,
        "space": 4 * square + 2 * tokens * places * dim,
        "divided": 9 * square + 2 * tokens * (keys + places) * dim,
        "local_global": 9 * square + 2 * tokens * (keys + every_kth) * places // 4 * dim,
        "axial": 14 * square + 2 * tokens * (keys + sum(grid)) * dim,
        "factorised_self": 8 * square + 2 * tokens * (keys + places) * dim,
        "factorised_dot": 4 * square + tokens * (keys + places) * dim,
        "strided": 8 * square + 2 * tokens * ((k - 1 + new) * places + every_kth) * dim,
    }[attention]
    model = causal_space_time(
        attention=attention,
        **{**SIZES, "tubelet": (2, 4, 4), "height": 16, "width": 24},  # type: ignore[arg-type]
        depth=1,
        stages=1,
        reach=reach,
        block_frames=k,
    ).eval()
    clip = torch.randn(1, 3, 2 * new, 16, 24)
    state = empty(model, clip)
    counted = count_flops(lambda: model.step(clip, state)) // 2
    around = tokens * dim * 3 * 2 * 4 * 4 + 8 * tokens * dim**2  # the tubelets and the MLP
    assert counted - around == by_hand


@torch.inference_mode()
def test_a_step_costs_its_new_tokens_alone() -> None:
    """Two new times of six places see four times each, from a cache of three."""
    model, clip = tiny("divided"), torch.randn(1, 3, 4, 8, 12)
    state = empty(model, clip)
    counted = count_flops(lambda: model.step(clip, state)) // 2
    new, dim, places, keys = 12, 16, 6, 2 + 3  # cached times and the chunk's own
    block = 9 * new * dim**2 + 2 * new * (keys + places) * dim + 8 * new * dim**2
    assert counted == 4 * block + new * dim * 3 * 2 * 4 * 4


@pytest.mark.parametrize(
    "name", [name for name in BACKBONES if name.endswith("causal_nano")] + ["state_space_nano"]
)
def test_every_parameter_of_a_small_model_learns(name: str) -> None:
    model = BACKBONES[name]().train()
    model.pool(model(torch.randn(2, 3, 16, 24, 24))).square().sum().backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize("attention", ["divided", "pyramid", "state_space"])
def test_recomputing_activations_changes_nothing(attention: str) -> None:
    clip, gradients = torch.randn(1, 3, 8, 8, 12), []
    for recompute in (False, True):
        model = tiny(attention).train()
        for module in model.modules():
            if hasattr(module, "checkpoint_activations"):
                module.checkpoint_activations = recompute
        model.zero_grad()
        model.pool(model(clip, {3: lambda x: x})).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters()})
    model.eval()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"attention": "linformer"}, "no causal form; there are divided, joint"),
        ({"attention": "performer"}, "no causal form"),
        ({"attention": "block_local"}, "no causal form"),
        ({"attention": "joint", "reach": 0}, "reach and block_frames must be at least 1"),
        ({"attention": "joint", "step_frames": 3}, "multiple of the tubelet's 2, got 3"),
        ({"attention": "joint", "depth": 6}, "multiple of the 4 stages, got 6"),
        ({"attention": "factorised_encoder", "depth": 4}, "multiple of the 3 stages, got 4"),
        ({"attention": "factorised_dot", "heads": 1}, "divide into 2"),
        ({"attention": "pyramid", "levels": 0}, "span and levels must be at least 1"),
    ],
)
def test_options_that_cannot_work_are_one_clear_line(options: dict, named: str) -> None:
    with pytest.raises(OptionError, match=named) as caught:
        causal_space_time(**{**SIZES, "depth": 4, **options})
    assert "\n" not in str(caught.value)


def test_a_clip_of_another_length_is_refused() -> None:
    model, clip = tiny("divided"), torch.randn(1, 3, 6, 8, 12)
    with pytest.raises(OptionError, match="multiple of 4 frames, got 6"):
        model(clip)
    with pytest.raises(OptionError, match="takes the 4 new frames, got 6"):
        model.step(clip, empty(model, clip))
    with pytest.raises(OptionError, match="frames first"):
        model(torch.randn(1, 4, 3, 8, 12))
