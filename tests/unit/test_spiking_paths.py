"""Paths: found by what bins show, followed while nothing is to be seen."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vigilia.spiking.paths import CELLS, Paths, cell_weights, triangle


def paths(*, walls: float = 0.5, objects: int = 1, tau: float = 100.0) -> Paths:
    """Reads the cell of each axis from a spike of its own."""
    model = Paths(2 * CELLS, 4, objects=objects, tau=tau)
    with torch.no_grad():
        one = 12.0 * torch.eye(2 * CELLS)
        model.place.weight.copy_(one.repeat(objects, 1))
        model.walls.copy_(torch.logit(torch.full((2,), walls)) / 16)
    return model.eval()


def spikes_at(places: Tensor) -> Tensor:
    """places: (..., 2) -> spikes (..., 2 * C) in the nearest cells."""
    cell = ((places + 1) * CELLS / 2).floor().long().clamp(0, CELLS - 1)
    return nn.functional.one_hot(cell, CELLS).float().flatten(-2)


def follow(model: Paths, places: Tensor, seen: int) -> Tensor:
    """places: (T, B, 2), shown in the first `seen` bins -> what is said of every bin."""
    steps, rows = places.shape[:2]
    gate = (torch.arange(steps) < seen)[:, None].expand(-1, rows)
    bins = torch.arange(1.0, steps + 1, dtype=torch.float64)[:, None].expand(-1, rows)
    codes = torch.zeros(steps, rows, 4)
    with torch.no_grad():
        said, _, _ = model(
            spikes_at(places), codes, gate, bins, model.rest(rows, device=torch.device("cpu"))
        )
    return said


def bouncing(steps: int, rows: int, *, walls: float = 0.5) -> Tensor:
    """(T, B, 2) places of straight paths."""
    generator = torch.Generator().manual_seed(3)
    begin = 4 * torch.rand(rows, 2, generator=generator)
    speed = 0.05 + 0.25 * torch.rand(rows, 2, generator=generator)
    return walls * triangle(begin + speed * torch.arange(1, steps + 1)[:, None, None])


def test_a_triangle_bounces_between_its_walls() -> None:
    phases = torch.tensor([0.0, 0.5, 1.0, 2.0, 2.5, 4.0, 7.0, -0.5])
    expected = torch.tensor([-1.0, -0.5, 0.0, 1.0, 0.5, -1.0, 0.0, -0.5])
    assert torch.equal(triangle(phases), expected)


def test_a_place_lies_between_the_middles_of_two_cells() -> None:
    lower, share = cell_weights(torch.tensor([-1.0, -1 + 1 / 16, -1 + 5 / 32, 1.0]))
    assert lower.tolist() == [0, 0, 0, CELLS - 2]
    assert share.tolist() == pytest.approx([0, 0, 0.75, 1])


def test_what_was_seen_for_ten_bins_is_followed_round_the_walls() -> None:
    places = bouncing(30, 40)
    far = (follow(paths(), places, 10) - places).norm(dim=-1).mean(1)
    still = (places[9] - places).norm(dim=-1).mean(1)
    assert far[9] < 0.06  # half a cell; a cell is 0.125 wide
    assert far[19] < 0.2 < 0.4 < still[19]


def test_the_longer_it_was_seen_the_longer_it_is_followed() -> None:
    places = bouncing(94, 40)
    far = (follow(paths(), places, 60) - places).norm(dim=-1).mean(1)
    assert far[59] < 0.05
    assert far[93] < 0.1


def test_where_nothing_is_known_the_middle_is_said() -> None:
    places = bouncing(12, 5)
    assert follow(paths(), places, 0).abs().max() < 1e-6
    late = follow(paths(), bouncing(500, 20), 10)
    assert late[-50:].abs().mean() < 0.5 * late[:50].abs().mean()


def test_evidence_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vigilia.spiking.paths.RESOLUTION", (2, 2))  # phases 0, 2; speeds 0, 0.4
    model = paths(walls=0.5, tau=4.0)
    said = torch.full((1, 1, 2, CELLS), -100.0)
    said[0, 0, :, 3] = torch.tensor(0.25).log()  # from -0.625 to -0.5; its neighbour ends at -0.375
    said[0, 0, :, 4] = torch.tensor(0.75).log()
    where = model._where(torch.tensor([[5.0]], dtype=torch.float64))[0]
    # Standing still at either wall; those that move five bins from it are at the other.
    assert where[0, 0].tolist() == pytest.approx([-0.5, 0.5, 0.5, -0.5])
    fit = model._fit(said, where)
    least = 0.01 / CELLS
    ends = torch.tensor([0.25, 0.75]) * 0.99 + least
    between = ends.log().mean().item()  # -0.5 is the edge between both
    assert fit[0, 0, 0].tolist() == pytest.approx(
        [between, math.log(least), math.log(least), between]
    )
    once = model.evidence(fit, torch.zeros_like(fit), torch.tensor(True))
    assert torch.equal(once, fit)
    twice = model.evidence(fit, once, torch.tensor(True))
    assert torch.allclose(twice, 1.75 * fit)
    assert torch.equal(model.evidence(fit, twice, torch.tensor(False)), twice)


def test_steps_in_training_say_the_same() -> None:
    model, places = paths(), bouncing(14, 3)
    apart = follow(model, places, 10)
    gate = (torch.arange(14) < 10)[:, None].expand(-1, 3)
    bins = torch.arange(1.0, 15, dtype=torch.float64)[:, None].expand(-1, 3)
    evidence = model.rest(3, device=torch.device("cpu"))
    together, _, _ = model(spikes_at(places), torch.zeros(14, 3, 4), gate, bins, evidence)
    assert torch.allclose(together, apart, atol=1e-6)


def test_walls_are_found_within_a_training() -> None:
    model, places = paths(walls=0.88), bouncing(30, 16)
    optimiser = torch.optim.AdamW([model.walls], lr=4e-3)
    gate = (torch.arange(30) < 10)[:, None].expand(-1, 16)
    bins = torch.arange(1.0, 31, dtype=torch.float64)[:, None].expand(-1, 16)
    model.train()
    for _ in range(60):
        optimiser.zero_grad()
        evidence = model.rest(16, device=torch.device("cpu"))
        said, _, _ = model(spikes_at(places), torch.zeros(30, 16, 4), gate, bins, evidence)
        (said - places).square().mean().backward()
        optimiser.step()
    assert model.bounds().tolist() == pytest.approx([0.5, 0.5], abs=0.1)


def test_of_two_that_cross_it_is_known_which_began_where() -> None:
    # One from the left and one from the right: a bin shows both places and not whose they are.
    time = torch.arange(1.0, 31)
    left = 0.5 * triangle(0.2 + 0.2 * time)
    both = torch.stack([left, -left], -1)  # (T, 2): they meet after four bins, and again
    model = paths(objects=2)
    with torch.no_grad():
        assert model.begins is not None
        model.begins[0, 0, : CELLS // 2] = 4.0
        model.begins[1, 0, CELLS // 2 :] = 4.0
    cells = sum(spikes_at(x[:, None, None].expand(-1, 1, 2)) for x in both.unbind(-1))
    gate = (time <= 10)[:, None]
    with torch.no_grad():
        said, _, _ = model(
            cells.clamp(max=1),
            torch.zeros(30, 1, 4),
            gate,
            time.double()[:, None],
            model.rest(1, device=torch.device("cpu")),
        )
    across = said.view(30, 2, 2)[..., 0]
    assert (across - both).abs()[9:24].max() < 0.25
