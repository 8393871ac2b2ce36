"""Which memories take part, and the controls that must fail."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vigilia.bench.contenders import CONTENDERS, QUEUE, Contender

__all__ = ["MEMORIES", "RealMemory"]


@dataclass(frozen=True)
class RealMemory:
    """A row of the table.

    Attributes:
        contender: the memory and how it is trained; its `name` is the row's.
        history: what the memory has been shown when it is tested: "own"; "foreign": another
            stream; "shuffled": the stream's own clips, in an order drawn by chance.
    """

    contender: Contender
    history: str = "own"

    @property
    def name(self) -> str:
        return self.contender.name

    @property
    def pupil(self) -> Contender:
        """Who learns: rows that differ in the test alone share it."""
        return replace(self.contender, name="", title="")


FAM = CONTENDERS["fam"]
MEMORIES: dict[str, RealMemory] = {
    one.name: one
    for one in (
        *(RealMemory(CONTENDERS[name]) for name in ("none", "gru", "fifo", "feedback", "fam")),
        RealMemory(
            Contender(
                "fam-4th",
                "queue of every fourth clip, and feedback tier",
                "fam",
                {**QUEUE, "feedback_tokens": 8, "write_every": 4},
            )
        ),
        RealMemory(replace(FAM, name="foreign", title="fam, another stream's memory"), "foreign"),
        RealMemory(
            replace(FAM, name="shuffled", title="fam, memory of its own past in wrong order"),
            "shuffled",
        ),
    )
}
