"""A model that also tells how much each clip surprised it; see `vigilia.relevance.predictive`.

What is predicted is the pooled embedding of the next clip. A predictor that has learned nothing
expects each clip to be as the one before.

Letters: B streams, D features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor

from vigilia.memory import Features
from vigilia.relevance.predictive import PredictionState, TokenPredictor
from vigilia.stream.classifier import StreamClassifier
from vigilia.stream.values import StreamState

__all__ = ["SurprisedClassifier", "SurprisedState", "surprised"]


@dataclass(frozen=True)
class SurprisedState(StreamState):
    """A stream's state, and what it expects.

    Attributes:
        prediction: of the next clip's embedding.
        surprise: (B,) of the last clip: about 1 when all is as usual, 0 for the first two.
    """

    prediction: PredictionState
    surprise: Tensor


class SurprisedClassifier(StreamClassifier):
    """A `StreamClassifier` whose state says how surprising the last clip was.

    Attributes:
        predictor: of the next pooled embedding.
    """

    predictor: TokenPredictor

    def init_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> SurprisedState:
        """Nothing was seen, so nothing is expected: all zeros."""
        state = super().init_state(batch_size, device=device, dtype=dtype)
        where = state.logits.device
        return SurprisedState(
            memory=state.memory,
            backbone=state.backbone,
            seconds=state.seconds,
            clips=state.clips,
            logits=state.logits,
            prediction=self.predictor.init_state(batch_size, 1, device=where),
            surprise=torch.zeros(batch_size, device=where),
        )

    def step_features(
        self, features: Features, pooled: Tensor, state: StreamState, *, seconds: Tensor
    ) -> tuple[Tensor, StreamState]:
        """The second half of `step`, and the surprise."""
        held = cast(SurprisedState, state)
        logits, new = super().step_features(features, pooled, state, seconds=seconds)
        seen, prediction = self.predictor(pooled[:, None].float(), held.prediction, seconds=seconds)
        return logits, replace(
            held,
            memory=new.memory,
            backbone=new.backbone,
            seconds=new.seconds,
            clips=new.clips,
            logits=new.logits,
            prediction=prediction,
            surprise=seen.surprise.detach(),
        )


def surprised(
    model: StreamClassifier, predictor: TokenPredictor | None = None
) -> SurprisedClassifier:
    """The same model, the same weights, with surprise in its state.

    Args:
        model: is left as it is, and shares its weights; its answers are the same to the bit.
        predictor: a trained one; None expects each clip to be as the one before.
    """
    other = SurprisedClassifier(model.backbone, model.memory, spec=model.spec)
    other.head = model.head
    other.card = model.card
    width = cast(int, model.backbone.embedding_dim)
    other.predictor = (predictor or TokenPredictor(width, hidden=1)).to(model.head.weight.device)
    return other.train(model.training)
