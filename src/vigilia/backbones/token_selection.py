"""Dynamic token selection: blocks work on the tokens that a learned score calls informative.

The others wait with the value they had and take part again in nothing but what the stage returns.
A fraction `keep` of the tokens costs that fraction of every linear layer and, where all tokens
attend to all, its square of the products. The score reaches the loss through a gate on what the
blocks change, so it learns without labels.

"DynamicViT: Efficient Vision Transformers with Dynamic Token Sparsification", Rao, Zhao, Liu, Lu,
Zhou, Hsieh, 2021, drops tokens by a score, too, but samples while training; we keep the best.

Letters: B streams, T H W the token grid, D features, F frames or 1, K kept tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vigilia.backbones.base import Reader
from vigilia.errors import OptionError
from vigilia.layers.selection import Choice, choose_tokens, gather_tokens, scatter_tokens

__all__ = ["TokenSelection", "on_selection"]


class TokenSelection(nn.Module):
    """Scores tokens and keeps the best of those that earlier stages kept.

    Args:
        dim: D.
        keep: fraction of all tokens, in (0, 1]; the number rounds, and is at least one.
        choice: what is kept; see `vigilia.layers.selection.Choice`.
    """

    def __init__(self, dim: int, keep: float, choice: Choice) -> None:
        super().__init__()
        if not 0.0 < keep <= 1.0:
            raise OptionError(f"keep must lie in (0, 1], got {keep}")
        self.keep = keep
        self.choice = choice
        self.norm = nn.LayerNorm(dim)
        self.score = nn.Linear(dim, 1)

    def count(self, grid: tuple[int, int, int]) -> int:
        """K on a grid (T, H, W): of all of it for "tokens", else of each frame."""
        frames, height, width = grid
        return max(
            1, round(self.keep * height * width * (frames if self.choice == "tokens" else 1))
        )

    def forward(self, x: Tensor, candidates: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x: (B, T, H, W, D) -> chosen (B, F, K), gates (B, F, 1, K, 1) around 1.

        Args:
            x: all tokens.
            candidates: what an earlier call chose; only these can be chosen. None means all.
        """
        scores = self.score(self.norm(x))  # (B, T, H, W, 1)
        open_to = scores[..., 0].detach()
        if candidates is not None:
            closed = torch.full_like(open_to.flatten(1), float("-inf"))
            index = candidates.flatten(1)
            open_to = closed.scatter(1, index, open_to.flatten(1).gather(1, index)).view_as(open_to)
        grid = (x.shape[1], x.shape[2], x.shape[3])
        chosen = choose_tokens(open_to, self.count(grid), self.choice)
        return chosen, 2.0 * torch.sigmoid(gather_tokens(scores, chosen))


def on_selection(reader: Reader, x: Tensor, chosen: Tensor) -> Reader:
    """A reader of the kept tokens (B, F, 1, K, D): it is shown the whole grid, as promised.

    Args:
        reader: of the whole grid.
        x: (B, T, H, W, D) the tokens that wait.
        chosen: (B, F, K).
    """

    def read(kept: Tensor) -> Tensor:
        return gather_tokens(reader(scatter_tokens(x, chosen, kept)), chosen)

    return read
