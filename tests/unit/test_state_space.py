"""The selective state space: scanned in parallel or step by step, and Mamba's arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from vigilia.backbones import BACKBONES
from vigilia.backbones.space_time import UNBOUNDED_FRAMES
from vigilia.backbones.state_space import ScanState, SelectiveScan
from vigilia.layers.flops import count_flops
from vigilia.layers.selective_scan import scan


def mixer(dim: int = 8, **options: int) -> SelectiveScan:
    torch.manual_seed(0)
    module = SelectiveScan(dim, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return module


def start(module: SelectiveScan, x: Tensor) -> ScanState:
    grid = (x.shape[2], x.shape[3])
    return module.init_state(len(x), grid, device=x.device, dtype=x.dtype)


def times(x: Tensor) -> Tensor:
    return torch.arange(x.shape[1]).expand(len(x), -1)


def test_a_scan_is_the_recurrence() -> None:
    decay, drive = torch.tensor([[0.5, 2.0, 0.0, 1.0]]), torch.tensor([[1.0, 1.0, 3.0, 4.0]])
    assert scan(decay, drive, torch.tensor([8.0])).tolist() == [[5.0, 11.0, 3.0, 7.0]]


@pytest.mark.parametrize("chunk", [1, 3, 8, 32])
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_a_scan_equals_the_loop_whatever_the_chunk(steps: int, chunk: int) -> None:
    decay, drive = torch.rand(2, steps, 3, 4), torch.randn(2, steps, 3, 4)
    decay[0, steps // 2] = 0.0
    first = torch.randn(2, 3, 4)
    h, expected = first, []
    for step in range(steps):
        h = decay[:, step] * h + drive[:, step]
        expected.append(h)
    out = scan(decay, drive, first, chunk=chunk)
    torch.testing.assert_close(out, torch.stack(expected, dim=1), rtol=1e-5, atol=1e-5)


def test_gradients_of_a_scan_are_those_of_the_loop() -> None:
    decay = torch.rand(1, 5, 2, dtype=torch.float64, requires_grad=True)
    drive = torch.randn(1, 5, 2, dtype=torch.float64, requires_grad=True)
    first = torch.randn(1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *x: scan(*x, chunk=3), (decay, drive, first))


def slow(module: SelectiveScan, x: Tensor) -> Tensor:
    """x: (T, D) -> (T, D), one place, written out from the paper."""
    inner, taps = module.taps.shape
    inputs, gate = (x @ module.in_proj.weight.t()).chunk(2, dim=-1)
    hidden, out = torch.zeros(inner, module.states), []
    a = -module.log_decay.exp()
    for t in range(len(x)):
        u = module.taps_bias.clone()
        for lag in range(min(taps, t + 1)):
            u = u + module.taps[:, taps - 1 - lag] * inputs[t - lag]
        u = u * u.sigmoid()
        rank, b, c = (module.x_proj.weight @ u).split([module.rank, module.states, module.states])
        delta = torch.log1p(torch.exp(module.rate(rank)))
        hidden = torch.exp(delta[:, None] * a) * hidden + (delta * u)[:, None] * b
        y = hidden @ c + module.skip * u
        out.append(module.out_proj.weight @ (y * gate[t] * gate[t].sigmoid()))
    return torch.stack(out)


@torch.inference_mode()
def test_the_mixer_is_the_papers_equations_at_every_place() -> None:
    module, x = mixer(states=3), torch.randn(2, 9, 2, 3, 8)
    out, _ = module(x, start(module, x), times(x))
    assert out.std() > 0.01
    for row, height, width in ((0, 0, 0), (0, 1, 2), (1, 0, 1)):
        expected = slow(module, x[row, :, height, width])
        torch.testing.assert_close(out[row, :, height, width], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sizes", [[1] * 8, [3, 5], [8]])
@torch.inference_mode()
def test_portions_of_any_size_give_the_same(sizes: list[int]) -> None:
    module, x = mixer(), torch.randn(2, 8, 2, 2, 8)
    whole, end = module(x, start(module, x), times(x))
    state, parts = start(module, x), []
    for part, seen in zip(x.split(sizes, 1), times(x).split(sizes, 1), strict=True):
        out, state = module(part, state, seen)
        parts.append(out)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state.hidden, end.hidden, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(state.tail, end.tail, rtol=1e-5, atol=1e-5)


@torch.inference_mode()
def test_nothing_is_left_where_a_stream_starts_anew() -> None:
    module, x = mixer(), torch.randn(1, 8, 1, 2, 8)
    before = torch.tensor([[0, 1, 2, 0, 1, 2, 3, 4]])
    out, _ = module(x, start(module, x), before)
    alone, _ = module(x[:, 3:], start(module, x), before[:, 3:])
    torch.testing.assert_close(out[:, 3:], alone, rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_what_was_seen_long_ago_is_remembered_and_fades() -> None:
    module = SelectiveScan(8)
    x = torch.zeros(1, 400, 1, 1, 8)
    other = x.clone()
    other[:, 0] = 3.0
    hidden = []
    for clip in (x, other):
        states, state = [], start(module, clip)
        for part, seen in zip(clip.split(50, 1), times(clip).split(50, 1), strict=True):
            _, state = module(part, state, seen)
            states.append(state.hidden)
        hidden.append(torch.stack(states))
    apart = (hidden[0] - hidden[1]).abs().amax(dim=(1, 2, 3, 4, 5))
    assert apart[0] > apart[3] > apart[7] > 1e-4 * apart[0]


def test_fresh_rates_and_decays_are_the_published_ones() -> None:
    module = SelectiveScan(32)
    rates = torch.nn.functional.softplus(module.rate.bias)
    assert rates.min() >= 0.00099
    assert rates.max() <= 0.1001
    assert module.log_decay[5].exp().tolist() == pytest.approx(range(1, 17))
    # A model draws its own linear layers; these must survive it.
    model = BACKBONES["state_space_nano"]()
    inside = [m for m in model.modules() if isinstance(m, SelectiveScan)]
    assert len(inside) == 4
    assert all(torch.nn.functional.softplus(m.rate.bias).max() < 0.1001 for m in inside)
    assert model.receptive_frames == UNBOUNDED_FRAMES


@torch.inference_mode()
def test_the_counted_cost_is_the_formula() -> None:
    module, x = mixer(states=3), torch.randn(1, 4, 2, 3, 8)
    state = start(module, x)
    counted = count_flops(lambda: module(x, state, times(x))) // 2
    tokens, dim, inner, rank, states = 24, 8, 16, math.ceil(8 / 16), 3
    projections = 3 * tokens * dim * inner
    chosen = tokens * inner * (rank + 2 * states) + tokens * rank * inner
    assert counted == projections + chosen + tokens * inner * states


@torch.inference_mode()
def test_the_state_stays_float32_in_a_model_of_half_precision() -> None:
    module, x = mixer().bfloat16(), torch.randn(1, 4, 1, 2, 8).bfloat16()
    out, state = module(x, start(module, x), times(x))
    assert out.dtype == state.tail.dtype == torch.bfloat16
    assert state.hidden.dtype == torch.float32
