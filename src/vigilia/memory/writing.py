"""Writing: a clip's tokens become M summary tokens.

Letters: B streams, N tokens of a clip, M summary tokens, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vigilia.layers.attention import attend

__all__ = ["SummaryWriter"]


class SummaryWriter(nn.Module):
    """Pools a stage's tokens by M learned queries.

    Cross-attention pooling, not an average repeated M times: M copies of a mean have rank one, and
    reading them is reading one token M times over.
    """

    def __init__(self, dim: int, *, tokens: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.queries = nn.Parameter(torch.empty(tokens, dim))
        self.norm = nn.LayerNorm(dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        # Wide enough that the queries look at different tokens from the first step on.
        nn.init.normal_(self.queries, std=1.0)

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, N, D) -> (B, M, D)."""
        keys, values = self.key_value(self.norm(x)).chunk(2, dim=-1)
        queries = self.queries.expand(len(x), -1, -1)
        return self.output(attend(queries, keys, values, heads=self.heads))
