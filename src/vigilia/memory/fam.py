"""FAM, feedback-attention memory: two bounded tiers that later clips attend to.

The recent tier is a queue of L slots, each M summary tokens of one written clip; the feedback tier
is F recurrent tokens that have no horizon (Hwang et al., "TransformerFAM", 2024). Both are read in
the last block of the chosen stages, and by the pooled embedding, through gates that start at zero.
Gradient flows from a later clip's loss through the reading into the writing: memory is not detached
(the same paper, section 3.3; detached, its receptive field is the clip).

Letters: B streams, L slots, M summary tokens, F feedback tokens, D features, h heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from vigilia.errors import OptionError
from vigilia.memory.base import Features, Readers, chosen_dims
from vigilia.memory.feedback import FeedbackTier
from vigilia.memory.reading import EmbeddingReader, FeedbackReadout, MemoryReader, slot_bias
from vigilia.memory.slots import merge_neighbours, push
from vigilia.memory.writing import SummaryWriter
from vigilia.state import State, any_row

__all__ = ["FeedbackAttentionMemory", "MemoryState", "StageMemory", "StageState"]


@dataclass(frozen=True)
class StageState(State):
    """What one stage remembers.

    Attributes:
        keys: (B, L, M, D) projected once, when written; oldest slot first.
        values: (B, L, M, D) likewise.
        feedback: (B, F, D).
    """

    keys: Tensor
    values: Tensor
    feedback: Tensor


@dataclass(frozen=True)
class MemoryState(State):
    """Both tiers of every chosen stage.

    Attributes:
        stages: one `StageState` a chosen stage.
        slot_seconds: (B, L) float64, when the slot's clip ended (the mean, if it was merged).
        slot_spans: (B, L) int64, how many written clips a slot stands for; 0 while it is empty.
    """

    stages: tuple[StageState, ...]
    slot_seconds: Tensor
    slot_spans: Tensor


class StageMemory(nn.Module):
    """Readers, writer and feedback tier of one stage."""

    def __init__(
        self,
        dim: int,
        *,
        heads: int,
        summary_tokens: int,
        feedback_tokens: int,
        slot_tokens: int,
        embedding_dim: int,
        reads_embedding: bool,
        hidden: int,
    ) -> None:
        super().__init__()
        self.reader = MemoryReader(dim, heads=heads)
        # The feedback tokens start with nineteen twentieths of the attention. Stored tokens
        # outnumber them by far and would drown the few that carry what is older; where the slots
        # help, the bias learns to let them in.
        self.feedback_bias = (
            nn.Parameter(
                torch.full((heads,), math.log(19 * max(1.0, slot_tokens / feedback_tokens)))
            )
            if feedback_tokens
            else None
        )
        self.writer = (
            SummaryWriter(dim, tokens=summary_tokens, heads=heads) if summary_tokens else None
        )
        self.feedback = (
            FeedbackTier(
                dim,
                tokens=feedback_tokens,
                heads=heads,
                embedding_dim=embedding_dim,
                hidden=hidden,
            )
            if feedback_tokens
            else None
        )
        self.embedding_reader = (
            EmbeddingReader(embedding_dim, memory_dim=dim, heads=heads) if reads_embedding else None
        )
        self.readout = (
            FeedbackReadout(embedding_dim, memory_dim=dim, tokens=feedback_tokens, hidden=hidden)
            if reads_embedding and feedback_tokens
            else None
        )

    def recall(
        self, state: StageState, slot_bias: Tensor, first: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Everything there is to attend to: keys (B, S, D), values (B, S, D), bias (B, h, 1, S).

        Args:
            state: what the stage remembers.
            slot_bias: (B, h, 1, L * M).
            first: (B,) bool, rows whose feedback tokens nothing was written to yet.
            dtype: of the clip's tokens.
        """
        key, value = self.reader.nothing(len(first))
        keys, values = [key], [value]
        bias = [torch.zeros(len(first), self.reader.heads, 1, 1, device=key.device, dtype=dtype)]
        if self.feedback is not None:
            own_keys, own_values = self.reader.project(state.feedback.to(dtype))
            assert self.feedback_bias is not None
            level = self.feedback_bias.to(dtype)[None, :, None, None]
            level = level.masked_fill(first[:, None, None, None], float("-inf"))  # (B, h, 1, 1)
            keys.append(own_keys)
            values.append(own_values)
            bias.append(level.expand(-1, -1, 1, own_keys.shape[1]))
        keys.append(state.keys.flatten(1, 2).to(dtype))  # (B, L * M, D)
        values.append(state.values.flatten(1, 2).to(dtype))
        bias.append(slot_bias)
        return torch.cat(keys, 1), torch.cat(values, 1), torch.cat(bias, -1)

    def read(self, x: Tensor, state: StageState, slot_bias: Tensor, first: Tensor) -> Tensor:
        """What memory adds to a clip's tokens. x: (B, T, H, W, D) -> (B, T, H, W, D)."""
        recalled = self.recall(state, slot_bias, first, x.dtype)
        return self.reader(x.flatten(1, 3), *recalled).view_as(x)


class FeedbackAttentionMemory(nn.Module):
    """The memory itself; obeys `vigilia.memory.base.Memory`.

    Args:
        stage_dims: D of every stage of the backbone.
        embedding_dim: D of the backbone's pooled summary.
        stages: numbers of the stages that are remembered and that read, counted from 1.
        slots: L; 0 leaves the feedback tier alone.
        summary_tokens: M.
        feedback_tokens: F; 0 leaves the recent tier alone.
        write_every: a slot is written every so many clips. With a stride of a quarter clip, 4
            writes clips that do not overlap.
        consolidate: when the queue is full, merge neighbours instead of dropping the oldest slot.
        reads_embedding: the pooled embedding reads, too; see `EmbeddingReader` and
            `FeedbackReadout`.
        hidden: units of the two hidden layers through which the feedback tokens hear the embedding
            and answer it; None for twice the stage's D, 0 for neither. Without them what a token
            hears, and whether it keeps what it has, is a threshold on a sum of features: no red
            cross can be told from red discs and green crosses.
        head_dim: features per attention head; divides every chosen D.

    Raises:
        OptionError: a value that cannot work.
    """

    def __init__(
        self,
        *,
        stage_dims: tuple[int, ...],
        embedding_dim: int,
        stages: tuple[int, ...] = (3, 4),
        slots: int = 25,
        summary_tokens: int = 128,
        feedback_tokens: int = 64,
        write_every: int = 4,
        consolidate: bool = False,
        reads_embedding: bool = True,
        hidden: int | None = None,
        head_dim: int = 32,
    ) -> None:
        super().__init__()
        self._dims = chosen_dims(stage_dims, stages, head_dim=head_dim)
        if slots < 0 or feedback_tokens < 0 or slots + feedback_tokens == 0:
            raise OptionError(
                f"slots and feedback_tokens cannot both be 0, got {slots} and {feedback_tokens}; "
                'for no memory at all use memory="none"'
            )
        if summary_tokens < 1 or write_every < 1:
            raise OptionError(
                f"summary_tokens and write_every must be at least 1, got {summary_tokens} "
                f"and {write_every}"
            )
        if hidden is not None and hidden < 0:
            raise OptionError(f"hidden must not be negative, got {hidden}")
        if consolidate and slots == 1:
            raise OptionError("consolidate needs at least 2 slots to merge, got 1")
        self.embedding_dim = embedding_dim
        self.stage_numbers = tuple(stages)
        self.slots = slots
        self.summary_tokens = summary_tokens
        self.feedback_tokens = feedback_tokens
        self.write_every = write_every
        self.consolidate = consolidate
        self.stages = nn.ModuleList(
            StageMemory(
                stage_dims[stage - 1],
                heads=stage_dims[stage - 1] // head_dim,
                summary_tokens=summary_tokens if slots else 0,
                feedback_tokens=feedback_tokens,
                slot_tokens=slots * summary_tokens,
                embedding_dim=embedding_dim,
                reads_embedding=reads_embedding,
                hidden=2 * stage_dims[stage - 1] if hidden is None else hidden,
            )
            for stage in stages
        )

    def init_state(
        self, batch_size: int, *, device: torch.device, dtype: torch.dtype
    ) -> MemoryState:
        """The empty memory: no slot is filled, no feedback token has been written."""
        queue = (batch_size, self.slots, self.summary_tokens)

        def zeros(*shape: int, dtype: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, device=device, dtype=dtype)

        return MemoryState(
            stages=tuple(
                StageState(
                    keys=zeros(*queue, dim),
                    values=zeros(*queue, dim),
                    feedback=zeros(batch_size, self.feedback_tokens, dim),
                )
                for dim in self._dims
            ),
            slot_seconds=zeros(batch_size, self.slots, dtype=torch.float64),
            slot_spans=zeros(batch_size, self.slots, dtype=torch.int64),
        )

    def readers(self, state: MemoryState, *, seconds: Tensor, clips: Tensor) -> Readers:
        """One reader for each chosen stage; see `vigilia.memory.base.Memory.readers`."""
        age = seconds[:, None] - state.slot_seconds  # (B, L)
        filled = state.slot_spans > 0
        first = clips == 0

        def reader_of(stage: StageMemory, kept: StageState) -> Callable[[Tensor], Tensor]:
            bias = slot_bias(stage.reader.age_bias, age, filled, self.summary_tokens)
            return lambda x: stage.read(x, kept, bias, first)

        return {number: reader_of(stage, kept) for number, stage, kept in self._each_stage(state)}

    def _each_stage(self, state: MemoryState) -> Iterator[tuple[int, StageMemory, StageState]]:
        modules = cast(Iterable[StageMemory], self.stages)
        return zip(self.stage_numbers, modules, state.stages, strict=True)

    def update(
        self,
        features: Features,
        pooled: Tensor,
        state: MemoryState,
        *,
        seconds: Tensor,
        clips: Tensor,
    ) -> tuple[Tensor, MemoryState]:
        """Moves the feedback tier on and, when a row's turn has come, writes a slot."""
        first = clips == 0
        due = (clips + 1) % self.write_every == 0
        # Between turns nothing is pooled: three clips out of four cost no writing at all.
        writing = self.slots > 0 and any_row(due)
        if writing:
            state = self._make_room(state, due)
        pushed = None if self.write_every == 1 else due
        stages = []
        for number, stage, held in self._each_stage(state):
            kept = held
            x = features[number - 1].flatten(1, 3)  # (B, N, D)
            if stage.feedback is not None:
                tokens = stage.feedback(kept.feedback.to(x.dtype), x, pooled, first)
                kept = replace(kept, feedback=tokens.to(kept.feedback.dtype))
            if writing and stage.writer is not None:
                keys, values = stage.reader.project(stage.writer(x))
                kept = replace(
                    kept,
                    keys=push(kept.keys, keys, pushed),
                    values=push(kept.values, values, pushed),
                )
            stages.append(kept)
        state = replace(state, stages=tuple(stages))
        if writing:
            state = replace(
                state,
                slot_seconds=push(state.slot_seconds, seconds, pushed),
                slot_spans=push(state.slot_spans, torch.ones_like(clips), pushed),
            )
        return pooled + self._read_embedding(pooled, state, seconds), state

    def _read_embedding(self, pooled: Tensor, state: MemoryState, seconds: Tensor) -> Tensor:
        """What memory adds to the embedding, the clip itself already written. (B, D)."""
        added = torch.zeros_like(pooled)
        written = torch.zeros_like(seconds, dtype=torch.bool)
        age = seconds[:, None] - state.slot_seconds
        for _, stage, kept in self._each_stage(state):
            if stage.embedding_reader is not None:
                bias = slot_bias(
                    stage.reader.age_bias, age, state.slot_spans > 0, self.summary_tokens
                )
                recalled = stage.recall(kept, bias, written, pooled.dtype)
                added = added + stage.embedding_reader(pooled, *recalled)
            if stage.readout is not None:
                added = added + stage.readout(kept.feedback.to(pooled.dtype), pooled)
        return added

    def _make_room(self, state: MemoryState, due: Tensor) -> MemoryState:
        if not self.consolidate:
            return state
        tensors = [state.slot_seconds]
        for stage in state.stages:
            tensors += [stage.keys, stage.values]
        (slot_seconds, *rest), spans = merge_neighbours(tuple(tensors), state.slot_spans, due)
        stages = tuple(
            replace(stage, keys=keys, values=values)
            for stage, keys, values in zip(state.stages, rest[::2], rest[1::2], strict=True)
        )
        return MemoryState(stages=stages, slot_seconds=slot_seconds, slot_spans=spans)
