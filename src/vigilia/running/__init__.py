"""A recording in, a timeline out: the pieces joined, with resume."""

from __future__ import annotations

from vigilia.running.run import RunUpdate, name_of, run, write_outputs

__all__ = ["RunUpdate", "name_of", "run", "write_outputs"]
