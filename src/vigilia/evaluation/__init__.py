"""How good the results are: agreement with annotations."""

from __future__ import annotations

from vigilia.evaluation.agreement import (
    Agreement,
    ClassAgreement,
    agreement,
    format_agreement,
    pool_agreements,
)

__all__ = [
    "Agreement",
    "ClassAgreement",
    "agreement",
    "format_agreement",
    "pool_agreements",
]
