"""The part of the loss that looks at neighbours in time: coherence, and slow features.

It acts on the logits, the classifier's own view of its embedding, of clips that follow each other
in a stretch, scored or not: a stretch that nobody labelled is to be answered smoothly, too. Between
clips with different labels nothing is to be close. The constants that smoothness alone would end
in are kept away by the losses themselves, see `vigilia.relevance.coherence`.

Letters: B rows, K clips of a stretch; of logits also classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from vigilia.relevance import coherence_loss, slow_feature_loss
from vigilia.training.options import TrainOptions
from vigilia.training.rows import Batch

__all__ = ["Temporal", "joined", "temporal_loss"]

Temporal = Callable[[Tensor, Tensor], Tensor]
"""Logits (B, K, classes) and which neighbours belong together (B, K - 1) -> a loss ()."""


def temporal_loss(options: TrainOptions, *, amount: float = 1.0) -> Temporal | None:
    """The loss that the options ask for; None where they ask for none.

    Args:
        options: `coherence` and `slow_features` are its weights.
        amount: factor on all of it.
    """
    if not (options.coherence or options.slow_features):
        return None

    def loss(logits: Tensor, together: Tensor) -> Tensor:
        total = logits.new_zeros(())
        if options.coherence:
            total = total + options.coherence * coherence_loss(logits, together)
        if options.slow_features:
            total = total + options.slow_features * slow_feature_loss(logits, together)
        return amount * total

    return loss


def joined(batches: Sequence[Batch]) -> Tensor:
    """Which clips of a stretch follow the one before in the same state. (B, K - 1), 0 or 1.

    Not where a row starts anew, nor where both are labelled, and differently. A clip without a
    label may belong to either neighbour.
    """

    def differ(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        return (before >= 0) & (after >= 0) & (before != after)

    pairs = [
        ~(
            after.starts
            | differ(before.labels, after.labels)
            | differ(before.partner_labels, after.partner_labels)
        )
        for before, after in pairwise(batches)
    ]
    if not pairs:
        return torch.zeros(len(batches[0].labels), 0)
    return torch.from_numpy(np.stack(pairs, axis=1)).float()
