"""What an examination finds: one value a question, with advice where something can be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Report", "Status"]

Status = Literal["ok", "note", "problem"]
"""A note is worth knowing; with a problem something does not work."""


@dataclass(frozen=True)
class Finding:
    """The answer to one question about the machine.

    Attributes:
        name: what was asked.
        status: whether it is as it should be.
        found: what there is, in a few words.
        advice: what to do; empty where nothing needs doing.
    """

    name: str
    status: Status
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Report:
    """All findings, in the order in which they were asked for."""

    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.status == "problem")

    @property
    def ok(self) -> bool:
        """Whether everything works; notes do not count."""
        return not self.problems
