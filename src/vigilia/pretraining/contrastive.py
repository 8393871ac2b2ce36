"""What is near in time is alike, other recordings are not.

Two clips of one recording that end within `near_seconds` of each other, each changed in its own
way, are a pair; the loss asks which of all clips of other recordings, and the partner, is the
partner (Qian and others, "Spatiotemporal Contrastive Video Representation Learning", 2021, with the
loss of van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding",
2018). Other clips of the same recording are neither: they may well show the same. With
`far_seconds` those that lie so far away count as different, too (Sermanet and others,
"Time-Contrastive Networks", 2018).

Without far clips the camera alone tells recordings apart, and a backbone may learn nothing but
cameras: measure before you rely on it.

Letters: B pairs, C channels, T frames, H W pixels, D pooled features, E width of the comparison.
"""

from __future__ import annotations

from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vigilia.backbones import Backbone
from vigilia.pretraining.options import PretrainOptions
from vigilia.pretraining.which import features_of
from vigilia.stream import StreamClassifier

__all__ = ["ContrastivePairs", "different", "pair_loss"]


class ContrastivePairs(nn.Module):
    """A backbone, and the space in which its embeddings are compared.

    Args:
        model: whose backbone learns; its memory and head are left alone.
        options: of the method.
    """

    def __init__(self, model: StreamClassifier, options: PretrainOptions) -> None:
        super().__init__()
        self.backbone = model.backbone
        self.see = partial(features_of, model)
        self.options = options
        width = cast(int, model.backbone.embedding_dim)
        self.projector = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, options.projection)
        )

    def forward(
        self, clips: Tensor, recordings: Tensor, seconds: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss (), and figures to show.

        Args:
            clips: (2 * B, C, T, H, W); the first of all pairs, then the second.
            recordings: (2 * B,) which one.
            seconds: (2 * B,) when each clip ended.
        """
        pooled = cast(Backbone, self.backbone).pool(self.see(clips))
        z = F.normalize(self.projector(pooled).float(), dim=1)
        apart = different(recordings, seconds, far_seconds=self.options.far_seconds)
        loss, found = pair_loss(z, apart.to(z.device), temperature=self.options.temperature)
        return loss, {"loss": float(loss.detach()), "found": found}


def different(recordings: Tensor, seconds: Tensor, *, far_seconds: float = 0.0) -> Tensor:
    """Which clips are different from which, (2 * B, 2 * B) bool.

    recordings and seconds: (2 * B,). Those of other recordings and, with `far_seconds`, those of
    the same that end at least so far apart.
    """
    apart = recordings[:, None] != recordings[None]
    if far_seconds:
        apart |= (seconds[:, None] - seconds[None]).abs() >= far_seconds
    return apart


def pair_loss(z: Tensor, apart: Tensor, *, temperature: float) -> tuple[Tensor, float]:
    """Cross entropy of the partner among what is different; and the share that is found.

    z: (2 * B, E) of length 1, apart: (2 * B, 2 * B) bool -> the loss (), over clips that have
    something to be told from.
    """
    count = len(z) // 2
    partner = torch.arange(2 * count, device=z.device).roll(count)
    scores = z @ z.T / temperature
    allowed = apart.scatter(1, partner[:, None], True)
    scores = scores.masked_fill(~allowed, float("-inf"))
    asked = apart.any(dim=1)
    if not asked.any():
        return z.sum() * 0, 0.0
    loss = F.cross_entropy(scores[asked], partner[asked])
    found = (scores[asked].argmax(dim=1) == partner[asked]).float().mean()
    return loss, float(found)
