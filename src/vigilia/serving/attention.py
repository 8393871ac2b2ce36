"""Which remembered moments a clip attends to, for people to look at.

The model does not keep its attention; here the clip is shown to the backbone once more, with
readers that look at the weights on the way. Nothing is changed, in the model or in its state.

Letters: B streams, L slots, M tokens of a slot, N tokens of a clip, S keys, D features, h heads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor

from vigilia.backbones import StreamingBackbone
from vigilia.memory.fam import FeedbackAttentionMemory, MemoryState, StageMemory, StageState
from vigilia.memory.reading import slot_bias
from vigilia.stream import StreamClassifier, StreamState

__all__ = ["StageAttention", "memory_attention"]


@dataclass(frozen=True)
class StageAttention:
    """Shares of attention in one stage, over all heads and tokens of the clip; they add up to 1.

    Attributes:
        stage: its number, from 1.
        age_seconds: (filled slots,) oldest first, since each slot's clip ended.
        span_clips: (filled slots,) written clips a slot stands for.
        slots: (filled slots,) share of each.
        feedback: share of the feedback tokens.
        nothing: share of the token that stands for no memory.
    """

    stage: int
    age_seconds: tuple[float, ...]
    span_clips: tuple[int, ...]
    slots: tuple[float, ...]
    feedback: float
    nothing: float


@torch.inference_mode()
def memory_attention(
    model: StreamClassifier, state: StreamState, frames: np.ndarray, *, end_seconds: float
) -> tuple[StageAttention, ...]:
    """What a clip reads from memory, stage by stage; nothing for memories without slots to read.

    Args:
        model: in evaluation mode.
        state: before the clip, B = 1.
        frames: (T, H, W, 3) uint8, the clip.
        end_seconds: when it ended.
    """
    memory = model.memory
    if not isinstance(memory, FeedbackAttentionMemory):
        return ()
    remembered = cast(MemoryState, state.memory)
    seconds = torch.tensor([end_seconds], dtype=torch.float64, device=state.seconds.device)
    found: list[StageAttention] = []

    def looking(
        number: int, stage: StageMemory, kept: StageState, read: Callable[[Tensor], Tensor]
    ) -> Callable[[Tensor], Tensor]:
        def look(x: Tensor) -> Tensor:
            shares = _shares(memory, stage, kept, remembered, state.clips, seconds, x)
            found.append(_described(number, shares, remembered, memory, seconds))
            return read(x)

        return look

    readers = memory.readers(remembered, seconds=seconds, clips=state.clips)
    stages = cast(Sequence[StageMemory], memory.stages)
    looked = {
        number: looking(number, stage, kept, readers[number])
        for number, stage, kept in zip(memory.stage_numbers, stages, remembered.stages, strict=True)
    }
    shown = torch.from_numpy(frames)[None].to(seconds.device)
    clip = model.preprocessing.to_clip(shown, model.backbone_dtype)
    if isinstance(model.backbone, StreamingBackbone):
        model.backbone.step(clip, state.backbone, looked)
    else:
        model.backbone(clip, looked)
    return tuple(found)


def _shares(
    memory: FeedbackAttentionMemory,
    stage: StageMemory,
    kept: StageState,
    remembered: MemoryState,
    clips: Tensor,
    seconds: Tensor,
    x: Tensor,
) -> Tensor:
    """(S,) attention of a clip's tokens x (1, T, H, W, D), averaged over heads and tokens."""
    reader = stage.reader
    tokens = x.flatten(1, 3).float()
    bias = slot_bias(
        reader.age_bias,
        seconds[:, None] - remembered.slot_seconds,
        remembered.slot_spans > 0,
        memory.summary_tokens,
    )
    keys, _, level = stage.recall(kept, bias, clips == 0, tokens.dtype)
    query = reader.query(reader.norm(tokens))

    def by_head(tensor: Tensor) -> Tensor:  # (1, N, D) -> (1, h, N, D / h)
        return tensor.unflatten(-1, (reader.heads, -1)).transpose(1, 2)

    query, keys = by_head(query), by_head(keys)
    weights = query @ keys.transpose(-1, -2) / query.shape[-1] ** 0.5 + level  # (1, h, N, S)
    return weights.softmax(-1).mean(dim=(0, 1, 2))


def _described(
    number: int,
    shares: Tensor,
    remembered: MemoryState,
    memory: FeedbackAttentionMemory,
    seconds: Tensor,
) -> StageAttention:
    """Shares by slot; the keys are: nothing, feedback tokens, slots oldest first."""
    feedback = memory.feedback_tokens
    by_slot = shares[1 + feedback :].view(-1, memory.summary_tokens).sum(1).tolist()
    ages = (seconds[:, None] - remembered.slot_seconds)[0].tolist()
    spans = remembered.slot_spans[0].tolist()
    filled = [index for index, span in enumerate(spans) if span > 0]
    return StageAttention(
        stage=number,
        age_seconds=tuple(ages[index] for index in filled),
        span_clips=tuple(spans[index] for index in filled),
        slots=tuple(by_slot[index] for index in filled),
        feedback=float(shares[1 : 1 + feedback].sum()),
        nothing=float(shares[0]),
    )
