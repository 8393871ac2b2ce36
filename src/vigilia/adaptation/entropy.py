"""The norms' gains and offsets learn to be sure on the new camera, within bounds.

After Wang, Shelhamer, Liu, Olshausen, Darrell, "Tent: Fully Test-Time Adaptation by Entropy
Minimization", 2021. Alone that ends in one class for everything, the sooner the longer the bouts of
a recording last; so

- only clips that are rather sure already teach (Niu and others, "Efficient Test-Time Model
  Adaptation without Forgetting", 2022);
- the shares of the classes, over many updates, stay near those of the training;
- gains and offsets stay near where they were.

Letters: B rows, K clips of a stretch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from vigilia.adaptation.options import AdaptOptions
from vigilia.errors import VigiliaError
from vigilia.state import detach, reset
from vigilia.stream import StreamClassifier
from vigilia.training.chunk import plan_chunk
from vigilia.training.optimiser import learning_rate_at, set_learning_rate
from vigilia.training.options import TrainOptions
from vigilia.training.recordings import Recording
from vigilia.training.rows import first_cursor, make_places
from vigilia.training.schedule import Moment
from vigilia.training.stretch import pixel_view

__all__ = ["entropy_loss", "minimise_entropy", "norm_parameters"]

MEMORY = 0.9
"""Of the running shares of the classes, what an update leaves."""
RARE = 1e-3


def norm_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Gains and offsets of the backbone's norms."""
    kinds = (nn.LayerNorm, nn.GroupNorm, _BatchNorm)
    return [
        parameter
        for module in model.modules()
        if isinstance(module, kinds)
        for parameter in module.parameters(recurse=False)
    ]


def entropy_loss(logits: Tensor, shares: Tensor, prior: Tensor, options: AdaptOptions) -> Tensor:
    """What is to be small, () -- logits: (N, C), shares: (C,) of earlier updates, prior: (C,).

    The mean entropy of the clips that are sure, and how far the shares, these clips counted in,
    are from the prior.
    """
    chances = logits.float().softmax(dim=1)
    entropy = -(chances * chances.clamp(min=1e-8).log()).sum(dim=1) / math.log(logits.shape[1])
    sure = entropy.detach() < options.sure
    loss = (entropy * sure).sum() / sure.sum().clamp(min=1)
    mixed = MEMORY * shares + (1 - MEMORY) * chances.mean(dim=0)
    return loss + options.prior * (mixed * (mixed / prior).log()).sum()


def minimise_entropy(
    model: StreamClassifier,
    recordings: Sequence[Recording],
    *,
    prior: Tensor,
    options: AdaptOptions,
    on_update: Callable[[int, int], None] | None = None,
) -> None:
    """Learns in place.

    Args:
        model: in evaluation mode, and left in it: batch norms keep their statistics.
        recordings: to learn from; labels are not looked at.
        prior: (C,) shares of the classes in the training.
        options: how.
        on_update: called with the update and the number of all.

    Raises:
        VigiliaError: the loss is not a number.
    """
    if len(model.classes) < 2:
        return
    learning = norm_parameters(model.backbone)
    model.requires_grad_(False)
    for parameter in learning:
        parameter.requires_grad_(True)
    start = [parameter.detach().clone() for parameter in learning]
    course = TrainOptions(
        rows=options.rows,
        chunk_clips=options.chunk_clips,
        learning_rate=options.learning_rate,
        seed=options.seed,
    )
    optimiser = torch.optim.AdamW(learning, lr=options.learning_rate, weight_decay=0.0)
    places = make_places(recordings, course)
    view, cursor = pixel_view(model, recordings), first_cursor(places)
    state: Any = model.init_state(options.rows)
    wanted = prior.to(model.head.weight.device).clamp(min=RARE)
    wanted = wanted / wanted.sum()
    shares = wanted.clone()
    for update in range(options.updates):
        set_learning_rate(optimiser, learning_rate_at(update, options.updates, course))
        plan = plan_chunk(places, cursor, update, Moment(0, options.chunk_clips, False, None))
        cursor, logits = plan.cursor, []
        for batch in plan.batches:
            if batch.starts.any():
                state = reset(state, torch.from_numpy(batch.starts))
            said, state = view(batch, state)
            logits.append(said)
        together = torch.cat(logits)
        loss = entropy_loss(together, shares, wanted, options)
        moved = torch.stack(
            [(now - then).square().sum() for now, then in zip(learning, start, strict=True)]
        )
        loss = loss + options.anchor * moved.sum()
        if not torch.isfinite(loss):
            raise VigiliaError(f"the loss is {float(loss)} at update {update}; lower the rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learning, 1.0)
        optimiser.step()
        state = detach(state)
        now = together.detach().float().softmax(dim=1).mean(dim=0)
        shares = MEMORY * shares + (1 - MEMORY) * now
        if on_update is not None:
            on_update(update + 1, options.updates)
    model.requires_grad_(True)


def prior_of(card: dict[str, Any], classes: Sequence[str]) -> Tensor:
    """(C,) shares of the classes among the clips of the training; all alike if not said."""
    counts = np.array([float(card.get("clips", {}).get(name, 0)) for name in classes])
    if not counts.sum():
        counts = np.ones(len(classes))
    return torch.from_numpy(counts / counts.sum()).float()
