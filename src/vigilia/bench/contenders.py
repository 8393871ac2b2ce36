"""Who takes part: every memory of the family, as small as the benchmark's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CONTENDERS", "HORIZON_CLIPS", "Contender"]

HORIZON_CLIPS = 16
"""Clips that the recent tier reaches back; nothing older is in a plain queue."""

QUEUE = {"stages": (4,), "slots": HORIZON_CLIPS, "summary_tokens": 4, "head_dim": 24}
QUEUE |= {"write_every": 1}


@dataclass(frozen=True)
class Contender:
    """A memory and how it is trained.

    Attributes:
        name: key of tables and files.
        title: what it is, in a few words.
        memory: key of `vigilia.memory.MEMORIES`.
        options: of that memory.
        detached: no gradient flows from a clip into what earlier clips wrote.
        foreign: when tested, every stream is answered from another stream's memory.
    """

    name: str
    title: str
    memory: str
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    detached: bool = False
    foreign: bool = False


CONTENDERS: dict[str, Contender] = {
    one.name: one
    for one in (
        Contender("none", "no memory", "none"),
        Contender("gru", "GRU over pooled clips", "gru", {"hidden": 256}),
        Contender(
            "fifo-detached",
            "queue, without gradient",
            "fam",
            {**QUEUE, "feedback_tokens": 0},
            detached=True,
        ),
        Contender("fifo", "queue", "fam", {**QUEUE, "feedback_tokens": 0}),
        Contender("feedback", "feedback tier", "fam", {**QUEUE, "slots": 0, "feedback_tokens": 8}),
        Contender("fam", "queue and feedback tier", "fam", {**QUEUE, "feedback_tokens": 8}),
        Contender(
            "consolidated",
            "queue that merges neighbours",
            "fam",
            {**QUEUE, "feedback_tokens": 0, "consolidate": True},
        ),
        Contender(
            "pilot",
            "the published pilot",
            "pilot",
            {"stages": (4,), "slots": HORIZON_CLIPS, "summary_tokens": 4, "head_dim": 24},
        ),
        Contender(
            "memvit",
            "cached keys and values",
            "memvit",
            {
                "stages": (4,),
                "clips": HORIZON_CLIPS,
                "write_every": 1,
                "grid": (4, 2, 2),
                "head_dim": 24,
            },
        ),
        Contender(
            "foreign",
            "fam, with another stream's memory",
            "fam",
            {**QUEUE, "feedback_tokens": 8},
            foreign=True,
        ),
    )
}
