"""4. Memory: what earlier clips leave for later ones.

MEMORIES names the presets. Each is a function of the backbone and of its own options, and returns
a module that obeys `vigilia.memory.base.Memory`. The options are the signature.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from vigilia.backbones import Backbone
from vigilia.memory.base import Features, Memory, Readers
from vigilia.memory.fam import FeedbackAttentionMemory
from vigilia.memory.gru import GruMemory
from vigilia.memory.memvit import MemvitMemory, Size
from vigilia.memory.none import NoMemory

__all__ = ["MEMORIES", "Features", "Memory", "Readers", "fam", "gru", "memvit", "none", "pilot"]


def fam(
    backbone: Backbone,
    *,
    stages: tuple[int, ...] = (3, 4),
    slots: int = 25,
    summary_tokens: int = 128,
    feedback_tokens: int = 64,
    write_every: int = 4,
    consolidate: bool = False,
    reads_embedding: bool = True,
    hidden: int | None = None,
    head_dim: int = 32,
) -> FeedbackAttentionMemory:
    """Both tiers: 25 slots of clips that do not overlap (200 s at 4 FPS), and 64 feedback tokens.

    The options are those of `FeedbackAttentionMemory`.
    """
    return FeedbackAttentionMemory(
        stage_dims=backbone.stage_dims,
        embedding_dim=backbone.embedding_dim,
        stages=tuple(stages),
        slots=slots,
        summary_tokens=summary_tokens,
        feedback_tokens=feedback_tokens,
        write_every=write_every,
        consolidate=consolidate,
        reads_embedding=reads_embedding,
        hidden=hidden,
        head_dim=head_dim,
    )


def pilot(
    backbone: Backbone,
    *,
    stages: tuple[int, ...] = (3, 4),
    slots: int = 25,
    summary_tokens: int = 128,
    head_dim: int = 32,
) -> FeedbackAttentionMemory:
    """The published pilot's memory: a queue alone, every clip written, so 50 s at 4 FPS.

    Three quarters of it are duplicates, since clips overlap by three quarters; `fam` is better.
    """
    return fam(
        backbone,
        stages=stages,
        slots=slots,
        summary_tokens=summary_tokens,
        feedback_tokens=0,
        write_every=1,
        reads_embedding=False,
        head_dim=head_dim,
    )


def gru(backbone: Backbone, *, hidden: int = 1024) -> GruMemory:
    """One recurrent layer over pooled clip features, the baseline to beat."""
    return GruMemory(embedding_dim=backbone.embedding_dim, hidden=hidden)


def memvit(
    backbone: Backbone,
    *,
    stages: tuple[int, ...] = (3, 4),
    clips: int = 2,
    write_every: int = 4,
    grid: tuple[int, int, int] = (4, 7, 7),
    compression: tuple[int, int, int] = (2, 2, 2),
    head_dim: int = 32,
) -> MemvitMemory:
    """Cached and compressed tokens of earlier clips, without gradient, after MeMViT: a baseline.

    The options are those of `MemvitMemory`, which says what differs from the paper.
    """
    return MemvitMemory(
        stage_dims=backbone.stage_dims,
        embedding_dim=backbone.embedding_dim,
        stages=tuple(stages),
        clips=clips,
        write_every=write_every,
        grid=cast(Size, tuple(grid)),
        compression=cast(Size, tuple(compression)),
        head_dim=head_dim,
    )


def none(backbone: Backbone) -> NoMemory:
    """The plain backbone: every clip is judged by itself."""
    return NoMemory(embedding_dim=backbone.embedding_dim)


MEMORIES: dict[str, Callable[..., Any]] = {
    "fam": fam,
    "pilot": pilot,
    "gru": gru,
    "none": none,
    "memvit": memvit,
}
