"""Training on event streams: a loss in every bin, gaps that grow, and a gate that is told when.

Each part is there for a reason:

- Many short streams first, where they can be had. What is seen in one bin is half seen in the next:
  from a glimpse of many scenes the eyes learn several times as much as from as many bins of few.
- A loss in every bin, hidden ones too. With one at the end nothing is learned, by a GRU neither.
- Gaps grow over the first part of the training, and never beyond what is stated: that a memory
  holds for longer than that is for a test to show.
- The gate is told when something is to be seen. Left alone it can shut in the first hundreds of
  updates, when what is written is noise to heads that cannot read yet; behind a shut gate nothing
  learns any more.
- A throw-away read-out learns to answer from each bin by itself, straight from the spikes that the
  memory is offered: a shorter way to the eyes than through membranes and ladders.
- Cells of an axis are classes: which of them an object is in is learned from each bin, and paths
  are found by what the bins said. From the mean of paths alone it would be learned slowly.
- Spikes on bins in which nothing is to be seen cost a little: silence is to be free.

Letters: T bins, B streams, O objects, H W pixels, C cells of an axis, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vigilia.errors import OptionError, VigiliaError
from vigilia.spiking.paths import at_places

__all__ = ["EventBatch", "Progress", "SpikingTraining", "bin_loss", "gap_at", "train_on_events"]


@dataclass(frozen=True)
class EventBatch:
    """Streams of the same length, with what should be answered in each bin.

    Attributes:
        bins: (T, B, 2, H, W).
        classes: (B, O) int64.
        places: (T, B, O, 2) from -1 to 1, or None where places are not to be learned.
        present: (T, B) 1 where there is something to be seen, 0 where there is not, -1 where it
            does not matter, such as while an occluder comes.
    """

    bins: Tensor
    classes: Tensor
    places: Tensor | None
    present: Tensor

    def __post_init__(self) -> None:
        steps, rows = self.bins.shape[:2]
        if self.bins.ndim != 5 or self.classes.shape[:1] != (rows,) or self.classes.ndim != 2:
            raise OptionError(
                f"bins must be (T, B, 2, H, W) and classes (B, O), got "
                f"{tuple(self.bins.shape)} and {tuple(self.classes.shape)}"
            )
        if self.present.shape != (steps, rows):
            raise OptionError(f"present must be ({steps}, {rows}), got {tuple(self.present.shape)}")


class EventModel(Protocol):
    """What can be trained: `NeuroSvt`, and anything that takes and gives the same."""

    def init_state(self, batch_size: int) -> Any:
        """Streams that have seen nothing."""

    def sequence(self, bins: Tensor, state: Any) -> tuple[Any, Any]:
        """bins (T, B, 2, H, W) -> outputs with logits, position and perhaps drive; state."""


@dataclass(frozen=True)
class SpikingTraining:
    """Options of a training.

    Attributes:
        updates: how many.
        rows: B of a batch.
        learning_rate: at its peak, of AdamW; it falls to zero as a cosine.
        weight_decay: of AdamW.
        warmup: updates in which the learning rate rises.
        clip_norm: of the gradient.
        longest_gap: bins without anything to be seen, at most.
        glimpses: share of the updates that come first and learn from many short streams, where
            there are such.
        growing: share of the other updates in which the longest gap grows from 1.
        first_bins: at the start of a stream that are not scored: nothing can be known yet.
        place_weight: of the squared error of places, beside the cross-entropy of classes.
        cell_weight: of the cross-entropy of the cells in which each bin shows objects.
        gate_weight: of telling the gate when there is something to be seen.
        glance_weight: of the throw-away read-out's loss, where something is to be seen.
        quiet_weight: of the share of neurons that fire where there is nothing.
        seed: of the gaps.
    """

    updates: int = 3000
    rows: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 0.0
    warmup: int = 50
    clip_norm: float = 1.0
    longest_gap: int = 30
    glimpses: float = 0.0
    growing: float = 0.4
    first_bins: int = 2
    place_weight: float = 1.0
    cell_weight: float = 0.3
    gate_weight: float = 0.3
    glance_weight: float = 1.0
    quiet_weight: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.updates < 1 or self.rows < 1 or self.longest_gap < 0:
            raise OptionError(
                f"updates and rows must be at least 1 and longest_gap at least 0, got "
                f"{self.updates}, {self.rows} and {self.longest_gap}"
            )
        if not self.learning_rate > 0 or not 0 <= self.growing <= 1 or not 0 <= self.glimpses <= 1:
            raise OptionError(
                f"learning_rate must be positive, growing and glimpses from 0 to 1, got "
                f"{self.learning_rate}, {self.growing} and {self.glimpses}"
            )

    @property
    def first_whole(self) -> int:
        """The first update, counted from 0, that learns from whole streams."""
        return round(self.glimpses * self.updates)


@dataclass(frozen=True)
class Progress:
    """How a training goes.

    Attributes:
        update: from 1.
        updates: in all.
        loss: of this update.
        accuracy: share of objects that are named right in the last bin of this update's streams.
    """

    update: int
    updates: int
    loss: float
    accuracy: float


def gap_at(update: int, options: SpikingTraining) -> int:
    """The longest gap of an update, counted from 0; gaps grow once the glimpses are over."""
    growing = options.growing * (options.updates - options.first_whole)
    grown = min(1.0, (update - options.first_whole + 1) / max(1.0, growing))
    return min(options.longest_gap, max(1, round(options.longest_gap * grown)))


class Glance(nn.Module):
    """The throw-away read-out: the class from a single bin's spikes.

    Args:
        inputs: spikes that it sees.
        outputs: O * K logits.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layer = nn.Linear(inputs, outputs)

    def loss(self, outputs: Any, batch: EventBatch) -> Tensor:
        """Mean over the bins in which something is to be seen; 0 without any."""
        seen = batch.present > 0  # (T, B)
        if not bool(seen.any()):
            return outputs.logits.new_zeros(())
        logits = self.layer(outputs.glance[seen]).unflatten(-1, (batch.classes.shape[1], -1))
        classes = batch.classes.expand(*seen.shape, -1)[seen]
        return F.cross_entropy(logits.flatten(0, 1), classes.flatten())


def bin_loss(outputs: Any, batch: EventBatch, options: SpikingTraining) -> tuple[Tensor, float]:
    """The loss of a batch, and the share of right answers in its last bin.

    Args:
        outputs: logits (T, B, O * K), position (T, B, 2 O), and from models with a gate drive
            (T, B, M) and activity (T, B).
        batch: what should have been answered.
        options: weights of the parts.
    """
    objects = batch.classes.shape[1]
    begin = min(options.first_bins, len(batch.bins) - 1)
    logits = outputs.logits.unflatten(-1, (objects, -1))  # (T, B, O, K)
    truth = batch.classes.expand(len(logits) - begin, -1, -1)
    loss = F.cross_entropy(logits[begin:].flatten(0, 2), truth.flatten())
    accuracy = float((logits[-1].detach().argmax(-1) == batch.classes).float().mean())
    if batch.places is not None and options.place_weight:
        places = outputs.position.unflatten(-1, (objects, 2))
        far = (places[begin:] - batch.places[begin:]).square().sum(-1)
        loss = loss + options.place_weight * far.mean()
        said = getattr(outputs, "places", None)
        if options.cell_weight and said is not None:
            loss = loss + options.cell_weight * _cell_loss(said, batch)
    drive = getattr(outputs, "drive", None)
    if drive is not None:
        counted = batch.present >= 0
        if options.gate_weight and bool(counted.any()):
            wanted = batch.present[counted][:, None].expand(-1, drive.shape[-1]).to(drive.dtype)
            told = F.binary_cross_entropy_with_logits(2 * drive[counted], wanted)
            loss = loss + options.gate_weight * told
        empty = batch.present == 0
        if options.quiet_weight and bool(empty.any()):
            loss = loss + options.quiet_weight * outputs.activity[empty].mean()
    return loss, accuracy


def _cell_loss(said: Tensor, batch: EventBatch) -> Tensor:
    """Cross-entropy of both axes' cells where objects are to be seen; 0 without any.

    An object between the middles of two cells is in both, by its distance.

    Args:
        said: (T, B, O, 2, C) logarithms of probabilities.
        batch: with places.
    """
    assert batch.places is not None
    seen = batch.present > 0
    if not bool(seen.any()):
        return said.new_zeros(())
    shown = at_places(said[seen], batch.places[seen][..., None])[..., 0]  # (S, O, 2)
    return -shown.sum(-1).mean()


def train_on_events(
    model: nn.Module,
    draw: Callable[[int], EventBatch],
    options: SpikingTraining | None = None,
    *,
    glimpse: Callable[[], EventBatch] | None = None,
    on_update: Callable[[Progress], None] | None = None,
) -> None:
    """Trains a model in place, and leaves it in evaluation mode.

    Args:
        model: an `EventModel`.
        draw: a fresh batch whose streams have a gap of so many bins.
        options: by default those that the permanence benchmark uses.
        glimpse: a fresh batch of many short streams, for the updates before
            `options.first_whole`.
        on_update: called after every update.

    Raises:
        VigiliaError: the loss is not a number.
    """
    options = options or SpikingTraining()
    if glimpse is None:
        options = replace(options, glimpses=0.0)
    generator = torch.Generator().manual_seed(options.seed)
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
    )
    watcher: Any = model
    glance: Glance | None = None
    model.train()
    for update in range(options.updates):
        for group in optimiser.param_groups:
            group["lr"] = _rate_at(update, options)
        if glimpse is not None and update < options.first_whole:
            batch = glimpse()
        else:
            longest = gap_at(update, options)
            # Short gaps are more frequent: a bin that shows nothing teaches little.
            batch = draw(int((longest + 1) * torch.rand((), generator=generator).square()))
        outputs, _ = watcher.sequence(batch.bins, watcher.init_state(batch.bins.shape[1]))
        loss, accuracy = bin_loss(outputs, batch, options)
        if options.glance_weight and hasattr(outputs, "glance"):
            if glance is None:
                sizes = outputs.glance.shape[-1], outputs.logits.shape[-1]
                glance = Glance(*sizes).to(outputs.glance)
                optimiser.add_param_group({"params": list(glance.parameters())})
            loss = loss + options.glance_weight * glance.loss(outputs, batch)
        if not torch.isfinite(loss):
            raise VigiliaError(
                f"the loss is {float(loss.detach())} at update {update + 1}; try a smaller "
                f"learning rate than {options.learning_rate}"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
        optimiser.step()
        if on_update is not None:
            on_update(Progress(update + 1, options.updates, float(loss.detach()), accuracy))
    model.eval()


def _rate_at(update: int, options: SpikingTraining) -> float:
    rising = min(1.0, (update + 1) / max(1, options.warmup))
    falling = 0.5 * (1 + math.cos(math.pi * update / options.updates))
    return options.learning_rate * rising * max(falling, 0.01)
