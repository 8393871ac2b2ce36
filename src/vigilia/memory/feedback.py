"""The feedback tier: tokens that pass from clip to clip and have no horizon.

Hwang et al., "TransformerFAM: Feedback attention is working memory" (2024), section 3: the tokens
of the previous step are the queries; they attend to themselves and to the current block, pass
through a feed-forward layer and become the next tokens. The first residual is zero. Three
things are ours. The tokens are normalised and blended with the previous ones by a learned,
input-dependent retention, so that they stay bounded over any number of steps and can hold a fact
unchanged. And they hear the backbone's pooled summary beside what they attend to, so that an event
which is one token in hundreds need not be found by attention before it can be remembered; a hidden
layer in between tells what is to be kept from what only resembles it.

Letters: B streams, F feedback tokens, N tokens of a clip, D features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vigilia.layers.attention import attend

__all__ = ["FeedbackTier", "retained_share"]

STRETCH = 0.1
"""How far the sigmoid of the retention reaches beyond 0 and 1 before it is cut off."""


def retained_share(x: Tensor) -> Tensor:
    """A sigmoid that reaches 0 and 1: stretched to -0.1..1.1 and cut off.

    A plain sigmoid keeps at most 0.999 or so of a token in each clip: after a thousand clips a
    third is left. This one keeps all of it from an input of 2.4 on, bit for bit, however long
    nothing happens. The stretch is that of the hard concrete gate (Louizos et al., "Learning
    sparse neural networks through L0 regularization", 2018, section 2.2).
    """
    return (torch.sigmoid(x) * (1 + 2 * STRETCH) - STRETCH).clamp(0, 1)


class FeedbackTier(nn.Module):
    """F recurrent tokens over one stage of the backbone.

    Args:
        dim: D.
        tokens: F; more than 64 helped nobody (TransformerFAM, table 4).
        heads: attention heads; divides D.
        embedding_dim: width of the backbone's pooled summary, which every token hears.
        hidden: units of the layer through which the summary is heard, beside the sum that is heard
            directly; 0 for none.
        longest_clips: slowest time constant, in clips, that the retention starts with.
    """

    def __init__(
        self,
        dim: int,
        *,
        tokens: int,
        heads: int,
        embedding_dim: int,
        hidden: int,
        longest_clips: float = 8.0,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.start = nn.Parameter(torch.empty(tokens, dim))
        self.norm_tokens = nn.LayerNorm(dim)
        self.norm_clip = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        self.norm_summary = nn.LayerNorm(embedding_dim)
        self.hear_summary = nn.Linear(embedding_dim, dim)
        self.hear_apart = (
            nn.Sequential(nn.Linear(embedding_dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
            if hidden
            else None
        )
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)
        )
        self.norm_next = nn.LayerNorm(dim)
        self.retention = nn.Linear(2 * dim, dim)
        nn.init.normal_(self.start, std=1.0)
        # What is heard must weigh as much as what is held, or a short event leaves no trace.
        nn.init.xavier_uniform_(self.hear_summary.weight)
        for layer in self.hear_apart or ():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        # Time constants spread evenly on a log scale over the channels, as in Tallec and Ollivier,
        # "Can recurrent neural networks warp time?" (2018): some channels forget at once, some
        # hold for many clips; how to hold for hours is learned, and gradient reaches both.
        keep = 1 - 1 / torch.logspace(0, math.log2(longest_clips), dim, base=2.0)
        with torch.no_grad():
            self.retention.weight.mul_(0.1)
            self.retention.bias.copy_(torch.logit((keep + STRETCH) / (1 + 2 * STRETCH)))

    def forward(self, tokens: Tensor, x: Tensor, summary: Tensor, first: Tensor) -> Tensor:
        """One step of the recurrence.

        tokens: (B, F, D), x: (B, N, D), summary: (B, E), first: (B,) bool -> (B, F, D).

        Args:
            tokens: the previous step's tokens; not looked at where `first`.
            x: the current clip's tokens.
            summary: the backbone's pooled summary of the clip.
            first: rows for which no step was made yet; they start from the learned prompt.
        """
        first = first[:, None, None]
        previous = torch.where(first, self.start.to(tokens.dtype), tokens)
        own = self.norm_tokens(previous)
        keys, values = self.key_value(torch.cat([own, self.norm_clip(x)], dim=1)).chunk(2, dim=-1)
        heard = self.output(attend(self.query(own), keys, values, heads=self.heads))  # (B, F, D)
        heard = heard + self._hear(self.norm_summary(summary))[:, None]
        candidate = heard + torch.where(first, torch.zeros_like(previous), previous)
        candidate = self.norm_next(candidate + self.feed_forward(candidate))
        keep = retained_share(self.retention(torch.cat([own, heard], dim=-1)))
        # Under autocast the layers answer in bfloat16; what is held stays as exact as it came.
        candidate = candidate.to(previous.dtype)
        blended = torch.lerp(candidate, previous, keep.to(previous.dtype))
        return torch.where(first, candidate, blended)

    def _hear(self, summary: Tensor) -> Tensor:
        """summary: (B, E), normalised -> (B, D)."""
        heard = self.hear_summary(summary)
        return heard if self.hear_apart is None else heard + self.hear_apart(summary)
