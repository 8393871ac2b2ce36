"""Recordings in, timelines out: the pieces joined, with resume.

classify.py    samples -> steps, one recording
saved.py       an unfinished run on disk
recording.py   one recording on its way to a timeline
run.py         vigilia.run: one recording
many.py        several, in one engine
outputs.py     where a timeline is written
"""

from __future__ import annotations

from vigilia.running.many import Outcome, run_many
from vigilia.running.outputs import name_of, write_outputs
from vigilia.running.recording import RunUpdate
from vigilia.running.run import run

__all__ = ["Outcome", "RunUpdate", "name_of", "run", "run_many", "write_outputs"]
