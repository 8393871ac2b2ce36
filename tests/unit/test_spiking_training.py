"""Training on event streams: what the loss asks for, and that a small task is learned."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vigilia.errors import OptionError, VigiliaError
from vigilia.spiking import SpikingOutputs, create_spiking_model
from vigilia.spiking.paths import CELLS
from vigilia.spiking.training import (
    EventBatch,
    Progress,
    SpikingTraining,
    bin_loss,
    gap_at,
    train_on_events,
)


def batch(steps: int = 4, rows: int = 2, *, places: bool = True) -> EventBatch:
    return EventBatch(
        torch.zeros(steps, rows, 2, 16, 16),
        torch.tensor([[1], [2]]),
        torch.zeros(steps, rows, 1, 2) if places else None,
        torch.tensor([1.0, 1.0, -1.0, 0.0])[:, None].expand(steps, rows),
    )


# The middle of the picture lies between the two cells in its middle.
CERTAIN = torch.full((CELLS,), -50.0)
CERTAIN[CELLS // 2 - 1 : CELLS // 2 + 1] = 0.0

DRIVE = torch.tensor([100.0, 100.0, 0.0, -100.0])[:, None, None]


def outputs(logits: Tensor, **changes: Tensor) -> SpikingOutputs:
    steps, rows = logits.shape[:2]
    fields: dict[str, Tensor] = {
        "logits": logits,
        "position": torch.zeros(steps, rows, 2),
        "places": CERTAIN.expand(steps, rows, 1, 2, CELLS),
        "gates": torch.zeros(steps, rows, 1),
        "drive": DRIVE.expand(steps, rows, 1) if "drive" not in changes else DRIVE,
        "glance": torch.zeros(steps, rows, 5),
        "activity": torch.zeros(steps, rows),
    }
    return SpikingOutputs(**fields | changes)


def perfect() -> Tensor:
    logits = torch.full((4, 2, 3), -50.0)
    logits[:, 0, 1] = logits[:, 1, 2] = 50
    return logits


def test_who_is_right_loses_nothing() -> None:
    loss, accuracy = bin_loss(outputs(perfect()), batch(), SpikingTraining(quiet_weight=1))
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert accuracy == 1


def test_the_first_bins_are_not_asked_and_every_later_one_is() -> None:
    for step, asked in enumerate([False, False, True, True]):
        logits = perfect()
        logits[step] = 0
        loss, _ = bin_loss(outputs(logits), batch(), SpikingTraining(first_bins=2))
        expected = torch.tensor(3.0).log().item() / 2 if asked else 0
        assert loss.item() == pytest.approx(expected, abs=1e-5), step


def test_the_gate_is_told_where_it_matters() -> None:
    options = SpikingTraining(gate_weight=1)
    for step, cost in enumerate([2.0, 2.0, 0.0, 2.0]):
        drive = outputs(perfect()).drive.clone()
        drive[step] = -torch.sign(drive[step])  # one on the wrong side of the threshold
        loss, _ = bin_loss(outputs(perfect(), drive=drive), batch(), options)
        assert loss.item() == pytest.approx(cost / 3 * 1.0635, rel=0.01, abs=1e-6), step


def test_places_and_silence_have_their_price() -> None:
    said = outputs(perfect(), position=torch.full((4, 2, 2), 0.5))
    loss, _ = bin_loss(said, batch(), SpikingTraining(place_weight=2))
    assert loss.item() == pytest.approx(2 * 0.5, abs=1e-6)
    assert bin_loss(said, batch(places=False), SpikingTraining())[0].item() < 1e-6
    busy = outputs(perfect(), activity=torch.full((4, 2), 0.25))
    loss, _ = bin_loss(busy, batch(), SpikingTraining(quiet_weight=2))
    assert loss.item() == pytest.approx(0.5, abs=1e-6)


def test_cells_are_asked_for_while_something_is_seen() -> None:
    # A digit in the middle of cell 3 of 16 across, and a quarter below the middle of cell 5.
    place = torch.tensor([3.5, 5.75]) / 8 - 1
    asked = replace(batch(), places=place.expand(4, 2, 1, 2))
    said = torch.full((2, CELLS), 1e-9)
    said[0, 3], said[1, 5], said[1, 6] = 0.5, 0.75, 0.25
    position = place.expand(4, 2, 2)
    options = SpikingTraining(cell_weight=2)

    def loss(places: Tensor) -> float:
        shown = outputs(perfect(), position=position, places=places)
        return bin_loss(shown, asked, options)[0].item()

    spread = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))  # what cannot be had for less
    every = said.log().expand(4, 2, 1, 2, CELLS).clone()
    assert loss(every) == pytest.approx(2 * (math.log(2) + spread), abs=1e-5)
    every[2:] = -99.0  # nothing is to be seen, or it does not matter
    assert loss(every) == pytest.approx(2 * (math.log(2) + spread), abs=1e-5)


def test_gaps_grow_to_the_longest_and_no_further() -> None:
    options = SpikingTraining(updates=100, growing=0.5, longest_gap=30)
    gaps = [gap_at(update, options) for update in range(100)]
    assert gaps[0] == 1
    assert gaps[24] == 15
    assert gaps[49:] == [30] * 51
    assert gaps == sorted(gaps)


def test_glimpses_come_first_and_gaps_grow_behind_them() -> None:
    options = SpikingTraining(updates=120, glimpses=1 / 6, growing=0.5, longest_gap=30)
    assert [gap_at(update, options) for update in (20, 44, 69, 119)] == [1, 15, 30, 30]
    torch.manual_seed(0)
    model = create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16, dim=16)
    asked = []

    def draw(gap: int) -> EventBatch:
        asked.append("whole")
        return show(gap)

    def glimpse() -> EventBatch:
        asked.append("glimpse")
        whole = show(0, rows=6)
        return EventBatch(whole.bins[:2], whole.classes, None, whole.present[:2])

    options = SpikingTraining(updates=5, glimpses=0.6, longest_gap=2)
    train_on_events(model, draw, options, glimpse=glimpse)
    assert asked == ["glimpse"] * 3 + ["whole"] * 2
    asked.clear()
    train_on_events(model, draw, options)  # who has none begins with whole streams
    assert asked == ["whole"] * 5


def show(gap: int, *, rows: int = 8, seed: list[int] | None = None) -> EventBatch:
    """Events on the left or on the right half for four bins, then none for `gap`."""
    generator = torch.Generator().manual_seed(0 if seed is None else seed[0])
    if seed is not None:
        seed[0] += 1
    classes = torch.randint(2, (rows, 1), generator=generator)
    bins = (torch.rand(4 + gap, rows, 2, 16, 16, generator=generator) < 0.3).float()
    left = torch.arange(16) < 8
    bins *= torch.where(classes[:, 0, None] == 0, left, ~left).float()[None, :, None, None]
    bins[4:] = 0
    present = (torch.arange(4 + gap) < 4).float()[:, None].expand(-1, rows)
    return EventBatch(bins, classes, None, present)


def test_a_small_task_is_learned_and_held_for_longer_than_it_was_trained() -> None:
    torch.manual_seed(0)
    model = create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16, dim=16)
    counter, told = [1], list[Progress]()
    train_on_events(
        model,
        lambda gap: show(gap, seed=counter),
        SpikingTraining(updates=25, warmup=5, longest_gap=4),
        on_update=told.append,
    )
    assert not model.training
    assert [one.update for one in told] == list(range(1, 26))
    assert told[-1].loss < 0.6 * told[0].loss
    test = show(100, rows=50, seed=[999])
    with torch.no_grad():
        said, _ = model.sequence(test.bins, model.init_state(50))
    assert (said.logits[-1].argmax(-1) == test.classes[:, 0]).float().mean() > 0.95


def test_one_update_does_not_throw_a_hidden_object_across_the_picture() -> None:
    torch.manual_seed(0)
    model = create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16, dim=64)
    shown = show(30, rows=4).bins
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3)
    outputs, _ = model.train().sequence(shown, model.init_state(4))
    (outputs.position[-1].sum() - outputs.places[:4, ..., -1].sum()).backward()
    optimiser.step()
    with torch.no_grad():
        _, state = model.eval().sequence(shown, model.init_state(4))
    assert 0 < state.position.abs().max() < 0.3


def test_the_same_seed_trains_the_same_weights() -> None:
    torch.manual_seed(0)
    fresh = create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16)
    ends = []
    for _ in range(2):
        model, counter = copy.deepcopy(fresh), [1]
        torch.manual_seed(3)
        train_on_events(model, lambda gap, c=counter: show(gap, seed=c), SpikingTraining(updates=2))
        ends.append(model.state_dict())
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


def test_a_loss_that_is_no_number_is_one_clear_line() -> None:
    model = create_spiking_model("neuro_svt_nano", num_classes=2, height=16, width=16)
    with torch.no_grad():
        model.head_bias.fill_(float("nan"))
    with pytest.raises(VigiliaError, match="the loss is nan at update 1; try a smaller learning"):
        train_on_events(model, show, SpikingTraining(updates=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"updates": 0}, "updates and rows must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"growing": 2.0}, "growing and glimpses from 0 to 1, got 0.005, 2.0 and 0.0"),
        ({"glimpses": 1.5}, "growing and glimpses from 0 to 1, got 0.005, 0.4 and 1.5"),
    ],
)
def test_options_that_cannot_work_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        SpikingTraining(**options)


def test_batches_whose_parts_do_not_fit_are_refused() -> None:
    good = batch()
    with pytest.raises(OptionError, match=r"bins must be \(T, B, 2, H, W\) and classes \(B, O\)"):
        EventBatch(good.bins, torch.tensor([1, 2]), None, good.present)
    with pytest.raises(OptionError, match=r"present must be \(4, 2\), got \(2, 4\)"):
        EventBatch(good.bins, good.classes, None, good.present.T)
