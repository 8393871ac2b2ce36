"""How a spiking model sees a stretch of bins, and what it is taught beside its labels.

In training a part of a stretch is hidden: nothing but noise is shown there, while the labels stay.
The longest gap grows over the first part of the course, as in `vigilia.spiking.training`, whose
docstring says why; the gate is told when something is to be seen, and neurons that fire where
nothing is cost a little.

Letters: K bins of a stretch, B rows, H W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vigilia.errors import OptionError
from vigilia.spiking import NeuroSvt, SpikingOutputs, SpikingState
from vigilia.state import reset
from vigilia.training.event_recordings import unpack_bins
from vigilia.training.recordings import Recording
from vigilia.training.rows import Batch

__all__ = ["EventTeaching", "EventView"]


@dataclass(frozen=True)
class EventTeaching:
    """What is added to the loss of labels.

    Attributes:
        longest_gap: bins that are hidden at most; 0 hides none.
        growing: share of the course in which the longest gap grows from 1.
        hidden_noise: share of pixels with noise events in hidden bins, of each polarity.
        gate_weight: of telling the gate when there is something to be seen.
        quiet_weight: of the share of neurons that fire in hidden and empty bins.
        mirror: flip a stretch left to right with probability one half.
        seed: of gaps, noise and mirrors.

    Raises:
        OptionError: a value that cannot work.
    """

    longest_gap: int = 30
    growing: float = 0.4
    hidden_noise: float = 0.01
    gate_weight: float = 0.3
    quiet_weight: float = 0.1
    mirror: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.longest_gap < 0:
            raise OptionError(f"longest_gap must be at least 0, got {self.longest_gap}")
        for name in ("growing", "hidden_noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise OptionError(f"{name} must lie in 0..1, got {getattr(self, name)}")
        for name in ("gate_weight", "quiet_weight"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise OptionError(f"{name} must be 0 or more, got {getattr(self, name)}")


@dataclass(frozen=True)
class EventView:
    """A view, see `vigilia.training.stretch`.

    Attributes:
        model: is called.
        recordings: what batches point into.
        teaching: None shows every bin as it is, and adds nothing to the loss.
        course: how much of the training is over, from 0 to 1.
    """

    model: NeuroSvt
    recordings: Sequence[Recording]
    teaching: EventTeaching | None = None
    course: float = 0.0

    def at(self, course: float) -> EventView:
        """The view of another moment of the training."""
        return dataclasses.replace(self, course=course)

    def __call__(self, batch: Batch, state: Any) -> tuple[Tensor, Any]:
        """One bin, as it is: (logits, state)."""
        outputs, state = self._sequence(self._load([batch]), [batch], state)
        return outputs[0].logits[0], state

    def stretch(self, batches: Sequence[Batch], state: Any) -> tuple[list[Tensor], Any]:
        """K bins: (logits of each, state)."""
        logits, _, state = self.taught(batches, state)
        return logits, state

    def taught(self, batches: Sequence[Batch], state: Any) -> tuple[list[Tensor], Tensor, Any]:
        """K bins: logits of each, the loss beside that of labels, state."""
        bins = self._load(batches)
        hidden = torch.zeros(bins.shape[:2], dtype=torch.bool)
        if self.teaching is not None:
            bins, hidden = self._changed(bins, batches, self.teaching)
        outputs, state = self._sequence(bins, batches, state)
        logits = torch.cat([out.logits for out in outputs])
        extra = logits.new_zeros(())
        if self.teaching is not None:
            extra = _extra(outputs, bins, hidden, self.teaching)
        return list(logits), extra, state

    def _load(self, batches: Sequence[Batch]) -> Tensor:
        """(K, B, 2, H, W) float32."""
        spec = self.model.spec
        packed = np.stack(
            [
                np.stack(
                    [
                        self.recordings[index].frames[clip]
                        for index, clip in zip(batch.recordings, batch.clips, strict=True)
                    ]
                )
                for batch in batches
            ]
        )
        bits = unpack_bins(packed, spec.height, spec.width)
        return torch.from_numpy(bits).to(self.model.head.weight.device).float()

    def _sequence(
        self, bins: Tensor, batches: Sequence[Batch], state: SpikingState
    ) -> tuple[list[SpikingOutputs], SpikingState]:
        """All bins between two places at which a row starts anew are one sequence."""
        seconds = torch.from_numpy(np.stack([batch.seconds for batch in batches])).to(bins.device)
        starts = [at for at, batch in enumerate(batches) if batch.starts.any()]
        outputs = []
        for begin, end in pairwise(sorted({0, *starts, len(batches)})):
            if batches[begin].starts.any():
                state = reset(state, torch.from_numpy(batches[begin].starts))
            out, state = self.model.sequence(bins[begin:end], state, seconds=seconds[begin:end])
            outputs.append(out)
        return outputs, state

    def _changed(
        self, bins: Tensor, batches: Sequence[Batch], teaching: EventTeaching
    ) -> tuple[Tensor, Tensor]:
        """Bins with a part hidden, and (K, B) bool, which; the same whenever it is asked again."""
        steps, rows = bins.shape[:2]
        hidden = torch.zeros(steps, rows, dtype=torch.bool)
        grown = min(1.0, self.course / teaching.growing) if teaching.growing else 1.0
        longest = min(round(teaching.longest_gap * grown), steps - 1)
        for row, (play, clip) in enumerate(zip(batches[0].plays, batches[0].clips, strict=True)):
            if teaching.mirror and np.random.default_rng([teaching.seed, 2, play]).random() < 0.5:
                bins[:, row] = bins[:, row].flip(-1)
            random = np.random.default_rng([teaching.seed, 11, play, clip])
            # Short gaps are more frequent: a bin that shows nothing teaches little.
            gap = int((longest + 1) * random.random() ** 2)
            begin = int(random.integers(1, steps - gap + 1)) if gap else 0
            hidden[begin : begin + gap, row] = True
            noise = random.random((gap, *bins.shape[2:]), dtype=np.float32)
            shown = torch.from_numpy((noise < teaching.hidden_noise).astype(np.float32))
            bins[begin : begin + gap, row] = shown.to(bins.device)
        return bins, hidden


def _extra(
    outputs: Sequence[SpikingOutputs], bins: Tensor, hidden: Tensor, teaching: EventTeaching
) -> Tensor:
    """The gate told what is to be seen, and the cost of spikes where nothing is."""
    drive = torch.cat([out.drive for out in outputs])  # (K, B, M)
    activity = torch.cat([out.activity for out in outputs])  # (K, B)
    hidden = hidden.to(bins.device)
    amount = bins.mean((2, 3, 4))  # (K, B)
    empty = hidden | (amount == 0)
    # Bins much emptier than their stretch may go either way: noise, or the end of a movement.
    typical = amount.masked_fill(empty, torch.nan).nanmedian(0).values
    seen = ~empty & (amount >= 0.25 * typical.nan_to_num(0))
    loss = drive.new_zeros(())
    counted = seen | empty
    if teaching.gate_weight and bool(counted.any()):
        wanted = seen[counted][:, None].expand(-1, drive.shape[-1]).to(drive.dtype)
        told = F.binary_cross_entropy_with_logits(2 * drive[counted], wanted)
        loss = loss + teaching.gate_weight * told
    if teaching.quiet_weight and bool(empty.any()):
        loss = loss + teaching.quiet_weight * activity[empty].mean()
    return loss
