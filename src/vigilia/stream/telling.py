"""A model that also tells what memory added to each clip: the read that a larger one may teach.

Letters: B streams, D pooled features, E embedding, R features of a read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from vigilia.memory import Features
from vigilia.stream.classifier import StreamClassifier
from vigilia.stream.values import StreamState

__all__ = ["TellingClassifier", "TellingState", "telling"]


@dataclass(frozen=True)
class TellingState(StreamState):
    """A stream's state, and what memory last added.

    Attributes:
        read: (B, R) of the last clip: the embedding less the clip's own, R = D; of a memory whose
            embedding is wider, such as a GRU, what stands beside the clip's own, R = E - D.
        pooled: (B, D) the clip's own.
    """

    read: Tensor
    pooled: Tensor


class TellingClassifier(StreamClassifier):
    """A `StreamClassifier` whose state says what memory added to the last clip."""

    def init_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TellingState:
        """Nothing was seen, and nothing added: all zeros."""
        state = super().init_state(batch_size, device=device, dtype=dtype)
        width = cast(int, self.backbone.embedding_dim)
        held = cast(int, self.memory.embedding_dim)
        added = state.logits.new_zeros(batch_size, held - width if held > width else width)
        return TellingState(
            memory=state.memory,
            backbone=state.backbone,
            seconds=state.seconds,
            clips=state.clips,
            logits=state.logits,
            read=added,
            pooled=state.logits.new_zeros(batch_size, width),
        )

    def step_features(
        self, features: Features, pooled: Tensor, state: StreamState, *, seconds: Tensor
    ) -> tuple[Tensor, StreamState]:
        """The second half of `step`, and what memory added."""
        embedding, remembered = self.remember(features, pooled, state, seconds=seconds)
        width = pooled.shape[1]
        wider = embedding.shape[1] > width
        logits = self.head(embedding)
        return logits, replace(
            cast(TellingState, state),
            memory=remembered,
            seconds=seconds,
            clips=state.clips + 1,
            logits=logits,
            read=embedding[:, width:] if wider else embedding - pooled,
            pooled=pooled,
        )


def telling(model: StreamClassifier) -> TellingClassifier:
    """The same model, the same weights, with memory's reads in its state.

    Args:
        model: is left as it is, and shares its weights; its answers are the same to the bit.
    """
    other = TellingClassifier(model.backbone, model.memory, spec=model.spec)
    other.head = model.head
    other.card = model.card
    return other.train(model.training)
