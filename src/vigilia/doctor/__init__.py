"""What this machine has, what it lacks for Vigilia, and what to do about it: `vigilia doctor`."""

from __future__ import annotations

from vigilia.doctor.examining import CHECKS, examine
from vigilia.doctor.findings import Finding, Report

__all__ = ["CHECKS", "Finding", "Report", "examine"]
