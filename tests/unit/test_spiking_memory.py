"""The memory token: what it keeps while nothing moves, and how it is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.spiking.memory_token import LEVELS, Ladder, Membrane, SpikingMemory, _regions
from vigilia.spiking.readout import held

WHERE: dict[str, Any] = {"device": torch.device("cpu"), "dtype": torch.float32}


def memory(seed: int = 0, **options: Any) -> SpikingMemory:
    torch.manual_seed(seed)
    chosen: dict[str, Any] = {
        "grid": (4, 4),
        "heads": 2,
        "tokens": 1,
        "taus": (2.0, 100.0),
        "gated": True,
        "reset": "none",
        "regions": 4,
        "tau": None,
    }
    return SpikingMemory(16, **chosen | options).eval()


def tokens(steps: int, rows: int = 2, *, rate: float = 0.3, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, rows, 16, 16, generator=generator) < rate).float()


def fresh(rows: int = 2) -> Tensor:
    return torch.ones(rows, dtype=torch.bool)


def test_a_membrane_moves_by_its_share_and_only_through_an_open_gate() -> None:
    membrane = Membrane(2, taus=(2, 4), reset="none")
    assert membrane.taus.tolist() == pytest.approx([2, 4])
    stored, current = torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[3.0, -3.0]]])
    _, moved = membrane(current, stored, torch.ones(1, 1, 1))
    assert moved.flatten().tolist() == pytest.approx([2, 0], abs=1e-6)
    _, kept = membrane(current, stored, torch.zeros(1, 1, 1))
    assert torch.equal(kept, stored)


def test_the_bank_is_spread_evenly_in_logarithm() -> None:
    taus = Membrane(5, taus=(2.0, 162.0), reset="none").taus
    assert taus.tolist() == pytest.approx([2, 6, 18, 54, 162], rel=1e-4)


def test_an_ordinary_neuron_fires_at_one_and_forgets() -> None:
    membrane = Membrane(2, taus=(2.0, 2.0), reset="hard")
    shown, kept = membrane(torch.tensor([[[3.0, 1.0]]]), torch.zeros(1, 1, 2), torch.ones(1, 1, 1))
    assert shown.tolist() == [[[1, 0]]]
    assert kept.flatten().tolist() == pytest.approx([0, 0.5])


def test_a_ladder_fires_above_and_below_and_not_at_zero() -> None:
    ladder = Ladder(torch.tensor([1.0, 10.0]))
    assert not ladder(torch.zeros(3, 2)).any()
    fired = ladder(torch.tensor([1.0, -2.6]))  # in units of the scale: 1 and -0.26
    assert fired.tolist() == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0]
    assert len(LEVELS) == 3


def test_blank_bins_change_nothing_that_is_remembered() -> None:
    part = memory()
    nn.init.normal_(part.write_pooled.weight)
    with torch.no_grad():
        codes, traces, state = part(tokens(3), part.init_state(2, **WHERE), first=fresh())
        later, later_traces, after = part(torch.zeros(300, 2, 16, 16), state, first=~fresh())
    assert traces.gates.all()
    assert not later_traces.gates.any()
    assert torch.equal(after.membrane, state.membrane)
    assert torch.equal(later, codes[-1:].expand_as(later))
    assert codes.any()


def test_without_a_gate_the_membrane_leaks_at_every_bin() -> None:
    part = memory(gated=False, taus=(2.0, 2.0))
    with torch.no_grad():
        _, traces, state = part(tokens(3), part.init_state(2, **WHERE), first=fresh())
        _, _, after = part(torch.zeros(30, 2, 16, 16), state, first=~fresh())
    assert traces.gates.all()
    torch.testing.assert_close(after.membrane, state.membrane * 0.5**30)


def test_noise_does_not_open_a_fresh_gate() -> None:
    part = memory()
    with torch.no_grad():
        _, noisy, _ = part(tokens(50, rate=0.001), part.init_state(2, **WHERE), first=fresh())
        _, lively, _ = part(tokens(50, rate=0.2), part.init_state(2, **WHERE), first=fresh())
    assert noisy.gates.mean() < 0.2
    assert lively.gates.mean() > 0.9


def test_the_drive_says_by_how_much_a_gate_opened() -> None:
    part = memory()
    with torch.no_grad():
        _, traces, _ = part(tokens(30, rate=0.007), part.init_state(2, **WHERE), first=fresh())
    assert traces.drive.shape == traces.gates.shape == (30, 2, 1)
    assert torch.equal(traces.drive >= 0, traces.gates > 0)
    assert 0 < traces.gates.mean() < 1
    assert traces.pooled.shape == (30, 2, len(part.pool_weight) * 16)
    assert traces.firing.shape == (30, 2, 16)
    assert traces.pooled.unique().tolist() == [0, 1]


def test_the_learned_token_is_where_the_membrane_starts() -> None:
    part = memory(tokens=2)
    blank = torch.zeros(1, 2, 16, 16)
    first = torch.tensor([True, False])
    _, _, state = part(blank, part.init_state(2, **WHERE), first=first)
    assert torch.equal(state.membrane[0], part.token)
    assert not state.membrane[1].any()


def test_what_is_remembered_decides_what_attention_finds() -> None:
    part = memory()
    nn.init.normal_(part.to_query.weight)
    shown = tokens(1, 1)
    kept = part.init_state(1, **WHERE)
    outcomes = []
    with torch.no_grad():
        for seed in (0, 1):
            torch.manual_seed(seed)
            before = replace(kept, membrane=2 * torch.randn_like(kept.membrane))
            _, _, after = part(shown, before, first=~fresh(1))
            share = torch.sigmoid(part.membrane.decay)
            outcomes.append((after.membrane - before.membrane * (1 - share)) / share)
    assert not torch.allclose(outcomes[0], outcomes[1], atol=1e-3)


def test_gradient_reaches_the_gate_the_writing_and_the_reading() -> None:
    part = memory().train()
    codes, traces, _ = part(tokens(6), part.init_state(2, **WHERE), first=fresh())
    (codes * torch.randn_like(codes)).sum().backward()
    for name, parameter in part.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert traces.gates.requires_grad


@pytest.mark.parametrize(
    ("grid", "side", "sizes"),
    [((4, 4), 2, [4] * 4), ((2, 6), 4, [2, 1, 2, 1] * 2), ((1, 1), 4, [1])],
)
def test_regions_cover_every_token_once(grid: tuple[int, int], side: int, sizes: list[int]) -> None:
    regions = _regions(grid, side)
    assert regions.sum(0).tolist() == [1] * (grid[0] * grid[1])
    assert regions.sum(1).tolist() == sizes


def test_the_last_answer_stands_until_there_is_a_new_one() -> None:
    fresh = torch.tensor([[0, 1], [1, 0], [0, 0], [1, 1]]).bool()
    new = torch.arange(4.0)[:, None].expand(4, 2) + torch.tensor([0.0, 0.5])
    out = held(fresh, new, torch.tensor([-1.0, -2.0]))
    assert out.tolist() == [[-1, 0.5], [1, 0.5], [1, 0.5], [3, 3.5]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": 0}, "memory_tokens and regions must be at least 1, got 0 and 4"),
        ({"regions": 0}, "memory_tokens and regions must be at least 1, got 1 and 0"),
        ({"taus": (1.0, 100.0)}, "memory_taus must be a finite number above 1"),
        ({"taus": (2.0, float("nan"))}, "memory_taus must be a finite number above 1"),
        ({"reset": "soft"}, "memory_reset must be none or hard, got 'soft'"),
    ],
)
def test_mistakes_are_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        memory(**options)
