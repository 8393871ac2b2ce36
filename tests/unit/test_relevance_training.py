"""Coherence and slow features as options of training: what is joined, and what the loss becomes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vigilia.relevance import coherence_loss, slow_feature_loss
from vigilia.training import TrainOptions
from vigilia.training.rows import Batch
from vigilia.training.stretch import stretch_loss, weight_of
from vigilia.training.temporal import joined, temporal_loss


def batch(labels: list[int], starts: list[bool], partners: list[int] | None = None) -> Batch:
    rows = len(labels)
    other = partners or [-1] * rows
    return Batch(
        recordings=np.zeros(rows, int),
        clips=np.zeros(rows, int),
        labels=np.array(labels),
        seconds=np.zeros(rows),
        starts=np.array(starts),
        plays=np.arange(rows),
        partners=np.where(np.array(other) >= 0, 0, -1),
        partner_clips=np.zeros(rows, int),
        partner_labels=np.array(other),
        shares=np.where(np.array(other) >= 0, 0.5, 1.0),
    )


def test_clips_are_joined_unless_a_row_starts_anew_or_the_label_changes() -> None:
    batches = [
        batch([0, 0, 1], [True, True, True]),
        batch([0, 1, -1], [False, False, False]),
        batch([0, 1, 0], [True, False, False]),
    ]
    assert joined(batches).tolist() == [[1, 0], [0, 1], [1, 1]]
    assert joined(batches[:1]).shape == (3, 0)


def test_a_change_of_the_partner_s_label_parts_a_mixed_row() -> None:
    batches = [batch([0], [True], [1]), batch([0], [False], [0])]
    assert joined(batches).tolist() == [[0]]


def test_without_weights_there_is_no_such_loss() -> None:
    assert temporal_loss(TrainOptions()) is None


@pytest.mark.parametrize("name", ["coherence", "slow_features"])
def test_the_loss_is_the_weighted_one_of_the_logits(name: str) -> None:
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 5, 3, generator=random, requires_grad=True)
    batches = [batch([0, 1], [step == 0] * 2) for step in range(5)]

    def view(_: Batch, state: Any) -> tuple[Tensor, Any]:
        return logits[:, state], state + 1

    def total(options: TrainOptions, amount: float) -> Tensor:
        temporal = temporal_loss(options, amount=amount)
        return stretch_loss(view, batches, 0, torch.ones(3), temporal=temporal)[0]  # type: ignore[arg-type]

    # `stretch_loss` resets the state of rows that start; here the state is only a counter.
    batches = [one._replace(starts=np.zeros(2, bool)) for one in batches]
    scored = weight_of(batches, torch.ones(3))
    plain = total(TrainOptions(), scored)
    more = total(dataclasses.replace(TrainOptions(), **{name: 0.3}), scored)
    loss = coherence_loss if name == "coherence" else slow_feature_loss
    assert float(((more - plain) / scored).detach()) == pytest.approx(
        0.3 * float(loss(logits, torch.ones(2, 4)).detach()), rel=1e-5
    )
    (gradient,) = torch.autograd.grad(more - plain, logits)
    assert (gradient.abs() > 0).all()


def test_training_with_coherence_prefers_the_evidence_that_lasts() -> None:
    # Two features tell the label alike; one errs for a whole bout, the other anew in every clip.
    random = np.random.default_rng(0)
    bouts = random.integers(0, 2, 40)
    labels = np.repeat(bouts, 10).reshape(8, 50)
    lasting = 2.0 * labels - 1 + np.repeat(random.normal(0, 0.7, 40), 10).reshape(8, 50)
    fleeting = 2.0 * labels - 1 + random.normal(0, 0.7, (8, 50))
    x = torch.from_numpy(np.stack([lasting, fleeting], axis=2)).float()
    batches = [batch(labels[:, step].tolist(), [False] * 8) for step in range(50)]
    leaning = {}
    for weight in (0.0, 0.5):
        torch.manual_seed(1)
        layer = torch.nn.Linear(2, 2)
        optimiser = torch.optim.Adam(layer.parameters(), lr=0.05)
        temporal = temporal_loss(TrainOptions(coherence=weight), amount=400.0)
        for _ in range(60):
            logits = layer(x)

            def view(_: Batch, state: Any, logits: Tensor = logits) -> tuple[Tensor, Any]:
                return logits[:, state], state + 1

            total, _ = stretch_loss(view, batches, 0, torch.ones(2), temporal=temporal)  # type: ignore[arg-type]
            optimiser.zero_grad()
            (total / 400).backward()
            optimiser.step()
        said = layer(x).argmax(dim=2)
        assert float((said == torch.from_numpy(labels)).float().mean()) > 0.9
        pull = (layer.weight[1] - layer.weight[0]).detach()
        leaning[weight] = float(pull[0] / pull[1])
    assert leaning[0.5] > 1.3 * leaning[0.0]
