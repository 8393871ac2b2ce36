"""What a backbone is: a clip goes in, one grid of tokens per stage comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from torch import Tensor

from vigilia.errors import OptionError

__all__ = ["Backbone", "Reader", "check_call"]

Reader = Callable[[Tensor], Tensor]


class Backbone(Protocol):
    """The contract that the memory, the classifier and the trainer rely on.

    Letters: B streams, C channels, T frames, H W pixels; T' H' W' the token grid of stage s and
    D_s its width.

    Attributes:
        stage_dims: D_s of every stage, first stage first.
        embedding_dim: D of the pooled embedding.
    """

    stage_dims: tuple[int, ...]
    embedding_dim: int

    def __call__(
        self, clip: Tensor, readers: Mapping[int, Reader] | None = None
    ) -> tuple[Tensor, ...]:
        """clip: (B, C, T, H, W) -> per stage (B, T', H', W', D_s), before any downsampling.

        Args:
            readers: by stage number, counted from 1: a function of the tokens (B, T', H', W', D_s)
                that returns an increment of the same shape. It is called once, in the stage's last
                block, between attention and MLP.
        """
        ...

    def pool(self, features: tuple[Tensor, ...]) -> Tensor:
        """features: what the call returned -> (B, D), the clip in one vector."""
        ...


def check_call(clip: Tensor, readers: Mapping[int, Reader], *, stages: int) -> None:
    """Refuses what no backbone with that many stages can be called with.

    Raises:
        OptionError: the clip has another layout, or a reader's stage does not exist.
    """
    if clip.ndim != 5 or clip.shape[1] != 3 or 0 in clip.shape:
        hint = "; frames first?" if clip.ndim == 5 and clip.shape[2] == 3 else ""
        raise OptionError(f"clip must be (B, C=3, T, H, W), got {tuple(clip.shape)}{hint}")
    if unknown := sorted(set(readers) - set(range(1, stages + 1))):
        raise OptionError(f"readers name stages {unknown}, this backbone has 1 to {stages}")
