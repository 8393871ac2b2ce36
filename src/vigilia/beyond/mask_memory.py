"""A bounded memory of what belongs to which object, read by similarity.

Three stores, after XMem (Cheng and Schwing, "XMem: Long-term video object segmentation with an
Atkinson-Shiffrin memory model", 2022): the first frame, whose mask was given and is never
forgotten; a queue of the last frames that were written; and a long-term store of single cells, the
ones of departing frames that were read most. A cell of the present picture takes the mask of the
cells that it resembles: a softmax over negative squared distances of keys, over the best few alone
(space-time memory read-out: Oh, Lee, Xu, Kim, "Video object segmentation using space-time memory
networks", 2019; Cheng, Tai, Tang, "STCN", 2021, for the distance). It has no weights; keys come
from anywhere.

Letters: B streams, N cells of a picture, D features of a key, K objects, background among them, L
frames of the queue, P long-term cells, M cells remembered altogether.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vigilia.errors import InputError, OptionError
from vigilia.memory.slots import push
from vigilia.state import State

__all__ = ["MaskMemory", "MaskState"]

FADING = 0.95
"""Share of the past in the counts of use."""


@dataclass(frozen=True)
class MaskState(State):
    """What is remembered of every stream.

    Attributes:
        first_keys: (B, N, D) of the frame whose mask was given.
        first_masks: (B, N, K) that mask.
        keys: (B, L, N, D) of the last written frames, oldest first.
        masks: (B, L, N, K) likewise.
        uses: (B, L, N) how much each cell was read, a mean over the frames since it was written.
        written: (B,) int64, frames written so far; the queue's last ones are filled.
        long_keys: (B, P, D) of long-term cells, the most used first.
        long_masks: (B, P, K) likewise.
        long_uses: (B, P) likewise; 0 where the place is empty.
        frames: (B,) int64, frames seen behind the first.
    """

    first_keys: Tensor
    first_masks: Tensor
    keys: Tensor
    masks: Tensor
    uses: Tensor
    written: Tensor
    long_keys: Tensor
    long_masks: Tensor
    long_uses: Tensor
    frames: Tensor


@dataclass(frozen=True)
class MaskMemory:
    """How masks are remembered and read; no weights.

    Attributes:
        frames: L, of the queue.
        long_cells: P.
        write_every: every so many frames one is written.
        best: only so many remembered cells count for a cell.
        sharpness: factor on squared distances between keys.

    Raises:
        OptionError: a value that cannot work.
    """

    frames: int = 4
    long_cells: int = 256
    write_every: int = 2
    best: int = 20
    sharpness: float = 1.0

    def __post_init__(self) -> None:
        if min(self.frames, self.write_every, self.best) < 1 or self.long_cells < 0:
            raise OptionError(
                "frames, write_every and best must be at least 1, long_cells 0 or more, got "
                f"{self.frames}, {self.write_every}, {self.best} and {self.long_cells}"
            )
        if not self.sharpness > 0:
            raise OptionError(f"sharpness must be positive, got {self.sharpness}")

    def start(self, keys: Tensor, masks: Tensor) -> MaskState:
        """The memory behind the first frame.

        Args:
            keys: (B, N, D).
            masks: (B, N, K) shares of each object in each cell, which sum to 1.

        Raises:
            InputError: shapes that do not fit.
        """
        if keys.ndim != 3 or masks.ndim != 3 or keys.shape[:2] != masks.shape[:2]:
            raise InputError(
                f"keys must be (B, N, D) and masks (B, N, K), got {tuple(keys.shape)} and "
                f"{tuple(masks.shape)}"
            )
        rows, cells, dim = keys.shape
        objects = masks.shape[2]
        counts = torch.zeros(rows, dtype=torch.int64, device=keys.device)
        return MaskState(
            first_keys=keys,
            first_masks=masks,
            keys=keys.new_zeros(rows, self.frames, cells, dim),
            masks=masks.new_zeros(rows, self.frames, cells, objects),
            uses=keys.new_zeros(rows, self.frames, cells),
            written=counts,
            long_keys=keys.new_zeros(rows, self.long_cells, dim),
            long_masks=masks.new_zeros(rows, self.long_cells, objects),
            long_uses=keys.new_zeros(rows, self.long_cells),
            frames=counts.clone(),
        )

    def step(self, keys: Tensor, state: MaskState) -> tuple[Tensor, MaskState]:
        """Tells the next frame's masks, and remembers them when their turn has come.

        keys: (B, N, D) -> masks (B, N, K).
        """
        found, uses = self._read(keys, state)
        first = state.first_keys.shape[1]
        queue = self.frames * first
        state = self._used(state, uses[:, first : first + queue], uses[:, first + queue :])
        frames = state.frames + 1
        due = frames % self.write_every == 0
        if bool(due.any()):
            state = self._write(keys, found, state, due)
        return found, replace(state, frames=frames)

    def _read(self, keys: Tensor, state: MaskState) -> tuple[Tensor, Tensor]:
        """Masks (B, N, K), and how much each remembered cell was read (B, M)."""
        remembered = torch.cat([state.first_keys, state.keys.flatten(1, 2), state.long_keys], dim=1)
        masks = torch.cat([state.first_masks, state.masks.flatten(1, 2), state.long_masks], dim=1)
        scores = -self.sharpness * torch.cdist(keys, remembered).square()  # (B, N, M)
        scores = scores.masked_fill(~self._filled(state)[:, None], float("-inf"))
        best, where = scores.topk(min(self.best, scores.shape[2]), dim=2)
        weights = best.softmax(dim=2)
        chosen = torch.take_along_dim(masks[:, None], where[..., None], dim=2)  # (B, N, best, K)
        found = (weights[..., None] * chosen).sum(dim=2)
        uses = keys.new_zeros(len(keys), remembered.shape[1])
        uses.scatter_add_(1, where.flatten(1), weights.flatten(1))
        return found, uses

    def _filled(self, state: MaskState) -> Tensor:
        """(B, M) which remembered cells there are."""
        rows, cells = state.first_keys.shape[:2]
        place = torch.arange(self.frames, device=state.written.device)
        queue = place >= self.frames - state.written[:, None]  # (B, L)
        return torch.cat(
            [
                torch.ones(rows, cells, dtype=torch.bool, device=queue.device),
                queue.repeat_interleave(cells, dim=1),
                state.long_uses > 0,
            ],
            dim=1,
        )

    def _used(self, state: MaskState, queue: Tensor, long: Tensor) -> MaskState:
        """Moves the counts of use on; those of long ago fade, so that the store can change."""
        lately = queue.view_as(state.uses)
        faded = torch.lerp(long, state.long_uses, FADING).clamp(min=1e-12)
        return replace(
            state,
            uses=torch.lerp(lately, state.uses, FADING),
            long_uses=torch.where(state.long_uses > 0, faded, state.long_uses),
        )

    def _write(self, keys: Tensor, masks: Tensor, state: MaskState, due: Tensor) -> MaskState:
        """The frame joins the queue; of the one that leaves, the most used cells are kept."""
        leaving = due & (state.written >= self.frames)
        long_keys, long_masks, long_uses = state.long_keys, state.long_masks, state.long_uses
        if self.long_cells and bool(leaving.any()):
            everybody = (
                torch.cat([long_keys, state.keys[:, 0]], dim=1),
                torch.cat([long_masks, state.masks[:, 0]], dim=1),
                torch.cat([long_uses, state.uses[:, 0]], dim=1),
            )
            kept, order = everybody[2].topk(self.long_cells, dim=1)
            row = leaving[:, None]
            long_uses = torch.where(row, kept, long_uses)
            chosen = (torch.take_along_dim(one, order[..., None], dim=1) for one in everybody[:2])
            long_keys, long_masks = (
                torch.where(row[..., None], new, old)
                for new, old in zip(chosen, (long_keys, long_masks), strict=True)
            )
        return replace(
            state,
            keys=push(state.keys, keys, due),
            masks=push(state.masks, masks, due),
            uses=push(state.uses, torch.zeros_like(state.uses[:, 0]), due),
            written=state.written + due,
            long_keys=long_keys,
            long_masks=long_masks,
            long_uses=long_uses,
        )
